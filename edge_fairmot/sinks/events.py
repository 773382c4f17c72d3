"""Events of counting as JSON Lines."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from edge_fairmot.counting import Counter, Event
from edge_fairmot.sinks.finite import require_finite
from edge_fairmot.sinks.unbuffered_file import UnbufferedFile
from edge_fairmot.types import Frame, Tracks

DECIMALS = 3
"""Of a dwell time: milliseconds."""


def event_line(frame_number: int, event: Event) -> str:
    """One event as one line.

    Parameters
    ----------
    frame_number : int
        In which it was noticed, from 1.
    event : Event

    Returns
    -------
    str
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
    return json.dumps(document, allow_nan=False) + "\n"


class EventsSink(AbstractContextManager["EventsSink"]):
    """Counts as tracks come, and writes what happens.

    Parameters
    ----------
    path : str or Path
        Replaced where it exists; its folder is made where it does not.
    counter : Counter
        Updated with every frame that is written.

    Raises
    ------
    SinkError
        If it cannot be made.
    """

    def __init__(self, path: str | Path, counter: Counter) -> None:
        self._file = UnbufferedFile(path)
        self._counter = counter

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
            self._file.write(event_line(frame.index + 1, event).encode())

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. May be called twice."""
        self._file.close()
