"""FairMOT multi-object tracking on edge devices.

Runtimes are opened with ``edge_fairmot.runtimes.open_runtime``, sources with
``edge_fairmot.sources.open_source``; conversion is ``edge_fairmot.convert``.
"""

__version__ = "0.1.0"
