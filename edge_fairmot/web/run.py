"""What the page is about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from edge_fairmot.counting import Counter
from edge_fairmot.pipeline import RunSummary
from edge_fairmot.sources.state import SourceState

Outputs: TypeAlias = Mapping[str, Mapping[str, Any]]
"""Outputs that go on after an error, by name: ``trouble`` is why one gives nothing now, empty where it does;
what begins with ``missed_`` counts what was lost."""


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
