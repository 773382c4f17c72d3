"""Events of counting as JSON Lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeAlias

from edge_fairmot.counting import Counter, Event
from edge_fairmot.sinks.finite import require_finite
from edge_fairmot.sinks.unbuffered_file import UnbufferedFile
from edge_fairmot.types import Frame, Tracks

DECIMALS = 3
"""Of a dwell time: milliseconds."""


EventListener: TypeAlias = Callable[[Frame, Event], None]
"""Is told of an event, with the frame in which it was noticed."""


def event_document(frame_number: int, event: Event) -> dict[str, Any]:
    """One event as strict JSON takes it.

    Parameters
    ----------
    frame_number : int
        In which it was noticed, from 1.
    event : Event

    Returns
    -------
    dict
        ``{"frame": 7, "time_s": 0.24, "event": "in", "line": "door", "track_id": 3}``; a zone's has ``zone``
        instead, and ``dwell_s`` with ``leave``.
    """
    shape = "line" if event.kind in ("in", "out") else "zone"
    document: dict[str, Any] = {
        "frame": frame_number,
        "time_s": event.time_s,
        "event": event.kind,
        shape: event.name,
        "track_id": event.track_id,
    }
    if event.dwell_s is not None:
        document["dwell_s"] = round(event.dwell_s, DECIMALS)
    return document


class EventsSink(AbstractContextManager["EventsSink"]):
    """Counts as tracks come, writes what happens and tells who listens.

    Parameters
    ----------
    path : str, Path or None
        Replaced where it exists; its folder is made where it does not. None writes no file.
    counter : Counter
        Updated with every frame that is written.
    listeners : sequence of callable
        Each is told of every event, after it was written.

    Raises
    ------
    SinkError
        If it cannot be made.
    """

    def __init__(
        self, path: str | Path | None, counter: Counter, listeners: Sequence[EventListener] = ()
    ) -> None:
        self._file = None if path is None else UnbufferedFile(path)
        self._counter = counter
        self._listeners = tuple(listeners)

    def write(self, frame: Frame, tracks: Tracks) -> None:
        """Count one frame; the operating system has its events when this returns.

        Raises
        ------
        SinkError
            If the tracks are not finite, or the file cannot be written.
        InvalidInputError
            If time does not go forward.
        """
        require_finite(frame, tracks)
        height, width = frame.image.shape[:2]
        for event in self._counter.update(tracks, frame.time_s, (width, height)):
            if self._file is not None:
                line = json.dumps(event_document(frame.index + 1, event), allow_nan=False) + "\n"
                self._file.write(line.encode())
            for listener in self._listeners:
                listener(frame, event)

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. May be called twice."""
        if self._file is not None:
            self._file.close()
