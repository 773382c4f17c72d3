"""FairMOT multi-object tracking on edge devices.

The loop and its vocabulary are here. Runtimes are opened with :func:`edge_fairmot.runtimes.open_runtime`,
sources with :func:`edge_fairmot.sources.open_source`; conversion is :mod:`edge_fairmot.convert`.
"""

from edge_fairmot.pipeline import DetectionSchedule, Pipeline, RunSummary
from edge_fairmot.tracking import Tracker, TrackerConfig
from edge_fairmot.types import Detections, Frame, RawDetections, Tracks

__version__ = "0.1.0"

__all__ = [
    "DetectionSchedule",
    "Detections",
    "Frame",
    "Pipeline",
    "RawDetections",
    "RunSummary",
    "Tracker",
    "TrackerConfig",
    "Tracks",
]
