"""Counting events as JSON Lines, written and read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edge_fairmot.classes import class_name
from edge_fairmot.errors import EvaluationError
from edge_fairmot.sinks.text import DWELL_DECIMALS, SCHEMA_VERSION, JsonLinesHeader, TextSink, read_lines
from edge_fairmot.types import CountingEvent, FrameResult

TimeOf = Callable[[float], datetime]
"""Returns the wall-clock time, UTC, of a moment by the source's clock."""


def rfc3339(moment: datetime) -> str:
    """Write a UTC time to the millisecond, as in 2026-11-30T09:15:00.250Z."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_rfc3339(text: str) -> datetime:
    """Read a time with its zone; one without is local. ValueError if it is none."""
    return datetime.fromisoformat(text.strip().replace("Z", "+00:00")).astimezone(timezone.utc)


class EventsSink(TextSink):
    """Writes counting events as JSON Lines, one line per event.

    Parameters
    ----------
    path : str or Path
        Replaced if it exists; its folder is made if missing.
    time_of : callable, optional
        Returns the wall-clock time, UTC, of a moment by the source's clock; without it events have none.

    Raises
    ------
    SinkError
        If it cannot be made.
    """

    def __init__(self, path: str | Path, time_of: TimeOf | None = None) -> None:
        super().__init__(path)
        self._time_of = time_of

    def _text(self, result: FrameResult) -> str:
        return event_lines(result, self._time_of)


def event_lines(result: FrameResult, time_of: TimeOf | None = None) -> str:
    """Return the events of a frame as lines of strict JSON, with the wall-clock time if it is known."""
    documents = (
        event_document(result.frame.number, event, result.class_names, time_of) for event in result.events
    )
    return "".join(json.dumps(document, allow_nan=False) + "\n" for document in documents)


def event_document(
    frame_number: int,
    event: CountingEvent,
    class_names: Sequence[str] = (),
    time_of: TimeOf | None = None,
) -> dict[str, Any]:
    """Return one event as a JSON object.

    ``{"time": "2026-11-30T09:15:00.250Z", "frame": 7, "time_s": 0.24, "event": "in", "line": "door",
    "track_id": 3}``; the event of a zone has ``zone`` instead of ``line``, and ``dwell_s`` with ``leave``.
    Where the model has several classes, ``class`` is the name of the track's class. Frames count from 1.
    There is no ``time`` where the wall clock is not known.
    """
    shape = "line" if event.kind in ("in", "out") else "zone"
    document: dict[str, Any] = {} if time_of is None else {"time": rfc3339(time_of(event.time_s))}
    document |= {
        "frame": frame_number,
        "time_s": event.time_s,
        "event": event.kind,
        shape: event.name,
        "track_id": event.track_id,
    }
    if event.dwell_s is not None:
        document["dwell_s"] = round(event.dwell_s, DWELL_DECIMALS)
    if len(class_names) > 1:
        document["class"] = class_name(event.class_id, class_names)
    return document


def events_header_line(header: JsonLinesHeader, begun: datetime) -> str:
    """Return the first line of a recorded file of events, which names the camera and the model."""
    document = {
        "schema_version": header.schema_version,
        "camera": header.settings.get("camera") or header.source,
        "model": dict(header.model),
        "begun": rfc3339(begun),
    }
    return json.dumps(document, allow_nan=False) + "\n"


def read_events(path: Path) -> tuple[str, Iterator[dict[str, Any]]]:
    """Read a file of events, with a header or without.

    Returns the name of the camera, empty without a header, and the events as :func:`event_document` makes
    them, read as they are iterated. EvaluationError if the file cannot be read or holds no events.
    """
    _, first = next(read_lines(path), (0, {}))
    if first.get("schema_version", SCHEMA_VERSION) != SCHEMA_VERSION or "size" in first:
        raise EvaluationError(f"{path} is no file of events of this release: give events.jsonl of a run")
    return str(first.get("camera", "")), (line for _, line in read_lines(path) if "event" in line)
