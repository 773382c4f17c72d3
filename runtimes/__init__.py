"""Backends behind one contract: :class:`edge_fairmot.protocols.Runtime`."""

from edge_fairmot.runtimes.checks import RuntimeOptions
from edge_fairmot.runtimes.registry import RuntimeStatus, list_runtimes, open_runtime

__all__ = ["RuntimeOptions", "RuntimeStatus", "list_runtimes", "open_runtime"]
