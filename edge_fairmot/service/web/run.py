"""What the page is about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge_fairmot.counting import Counter
from edge_fairmot.pipeline import RunSummary
from edge_fairmot.protocols import Outputs, SourceState


@dataclass(frozen=True, slots=True)
class WatchedRun:
    """A run as it is seen from the server's thread.

    Attributes
    ----------
    summary : callable
        What it has done so far.
    state : callable
        How its source is.
    counter : Counter or None
    source : str
        Name of the source.
    outputs : callable
        How recording and the like are.
    """

    summary: Callable[[], RunSummary]
    state: Callable[[], SourceState]
    counter: Counter | None
    source: str
    outputs: Callable[[], Outputs] = dict
