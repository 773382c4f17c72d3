"""Backends behind one contract: :class:`edge_fairmot.contracts.Runtime`."""

from edge_fairmot.runtimes.registry import RuntimeStatus, list_runtimes, open_runtime

__all__ = ["RuntimeStatus", "list_runtimes", "open_runtime"]
