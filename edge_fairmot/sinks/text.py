"""MOTChallenge text: one line a track and frame, what evaluation tools read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from edge_fairmot.counting import Counter, Event
from edge_fairmot.errors import EvaluationError, SinkError
from edge_fairmot.sinks.files import UnbufferedFile, require_finite
from edge_fairmot.types import Float32Array, Frame, Tracks

# FOLDED json_lines.py: JSON Lines: a header, then one object a processed frame, strict JSON throughout.

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class JsonLinesHeader:
    """The first line: where the tracks come from.

    Attributes
    ----------
    source : str
        Name of the source, as in ``SourceInfo``.
    frame_size : (int, int)
        Width and height of the source, pixels.
    frame_rate : float
        Frames per second of the source's clock.
    model : dict
        What identifies the model. Any JSON.
    settings : dict
        What the run was set to. Any JSON.
    schema_version : int
    """

    source: str
    frame_size: tuple[int, int]
    frame_rate: float
    model: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION


def header_line(header: JsonLinesHeader) -> str:
    """Header as one line.

    Raises
    ------
    SinkError
        If the model or the settings hold what JSON cannot.
    """
    document = {
        "schema_version": header.schema_version,
        "source": header.source,
        "size": list(header.frame_size),
        "frame_rate": header.frame_rate,
        "model": dict(header.model),
        "settings": dict(header.settings),
    }
    try:
        return json.dumps(document, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise SinkError(
            f"the header of JSON Lines takes strings, finite numbers, lists and dicts only: {error}"
        ) from error


def frame_line(frame: Frame, tracks: Tracks, usual_size: tuple[int, int] | None = None) -> str:
    """Tracks of one frame as one line; frames count from 1.

    A frame is ``predicted`` where its rows are, so a predicted frame without tracks is not. Of a source that
    changes its size, a frame that is not of the usual one has a ``size`` of its own.
    """
    columns = (
        tracks.track_id.tolist(),
        _shortest(tracks.xyxy),
        _shortest(tracks.score),
        tracks.class_id.tolist(),
    )
    document: dict[str, Any] = {
        "frame": frame.index + 1,
        "time_s": float(frame.time_s),
        "predicted": bool(tracks.predicted.any()),
    }
    height, width = frame.image.shape[:2]
    if usual_size not in (None, (width, height)):
        document["size"] = [width, height]
    document["tracks"] = [
        {"id": track_id, "xyxy": xyxy, "score": score, "class_id": class_id}
        for track_id, xyxy, score, class_id in zip(*columns, strict=True)
    ]
    return json.dumps(document, allow_nan=False, separators=(",", ":")) + "\n"


def _shortest(values: Float32Array) -> Any:
    """Give the shortest decimals that read back as the same float32: 0.9, not 0.8999999761581421."""
    return values.astype("U").astype(float).tolist()


class JsonLinesSink(AbstractContextManager["JsonLinesSink"]):
    """Writes JSON Lines; :func:`edge_fairmot.sinks.read_json_lines` reads them back, bit for bit.

    Parameters
    ----------
    path : str or Path
        Replaced where it exists; its folder is made where it does not.
    header : JsonLinesHeader

    Raises
    ------
    SinkError
        If the file cannot be made, or the header cannot be JSON.
    """

    def __init__(self, path: str | Path, header: JsonLinesHeader) -> None:
        first_line = header_line(header)
        self._frame_size = header.frame_size
        self._file = UnbufferedFile(path)
        try:
            self._file.write(first_line.encode())
        except SinkError:
            self._file.close()
            raise

    def write(self, frame: Frame, tracks: Tracks) -> None:
        """Write one frame; the operating system has it when this returns.

        Raises
        ------
        SinkError
            If it is not finite or cannot be written.
        """
        require_finite(frame, tracks)
        self._file.write(frame_line(frame, tracks, self._frame_size).encode())

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. May be called twice."""
        self._file.close()


# FOLDED json_lines_reading.py: JSON Lines read back, also those of a run that was killed.


def read_json_lines(path: str | Path) -> tuple[JsonLinesHeader, Iterator[tuple[int, float, Tracks]]]:
    """Read what :class:`edge_fairmot.sinks.JsonLinesSink` wrote.

    A last line that a killed process left half written is passed over.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    header : JsonLinesHeader
    frames : iterator of (int, float, Tracks)
        Frame number from 1, ``time_s``, and the tracks in source pixels. Read as it is asked for.

    Raises
    ------
    EvaluationError
        If the file cannot be read, has no header or one of another schema version; from the iterator, if a
        line in the middle is not a frame.
    """
    path = Path(path)
    first = next(_read_lines(path), None)
    if first is None:
        raise EvaluationError(
            f"{path} has no header line: it is empty or was cut off; run the tracking again"
        )
    return _header(first[1], path), _read_frames(path)


def _read_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number from 1 and the object on the line, up to a torn last line."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                document = _parse(line)
                if isinstance(document, dict):
                    yield number, document
                elif line.endswith(b"\n"):
                    raise _malformed(path, number, "line", "no JSON object")
    except OSError as error:
        raise EvaluationError(f"{path} cannot be read ({error.strerror}): check the path") from error


def _parse(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _header(document: dict[str, Any], path: Path) -> JsonLinesHeader:
    version = document.get("schema_version")
    if version != SCHEMA_VERSION:
        raise EvaluationError(
            f"{path} has schema version {version}, this release reads {SCHEMA_VERSION}: "
            "check that it is a JSON Lines file of edge-fairmot, or run the tracking again"
        )
    try:
        width, height = map(int, document["size"])
        return JsonLinesHeader(
            source=str(document["source"]),
            frame_size=(width, height),
            frame_rate=float(document["frame_rate"]),
            model=dict(document["model"]),
            settings=dict(document["settings"]),
            schema_version=SCHEMA_VERSION,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _malformed(path, 1, "header", repr(error)) from error


def _read_frames(path: Path) -> Iterator[tuple[int, float, Tracks]]:
    for number, document in _read_lines(path):
        if number == 1:
            continue
        try:
            yield int(document["frame"]), float(document["time_s"]), _tracks(document)
        except (KeyError, TypeError, ValueError) as error:
            raise _malformed(path, number, "frame", repr(error)) from error


def _tracks(document: dict[str, Any]) -> Tracks:
    rows = document["tracks"]
    return Tracks(
        track_id=np.array([row["id"] for row in rows], np.int64),
        xyxy=np.array([row["xyxy"] for row in rows], np.float32).reshape(len(rows), 4),
        score=np.array([row["score"] for row in rows], np.float32),
        class_id=np.array([row["class_id"] for row in rows], np.int64),
        predicted=np.full(len(rows), bool(document["predicted"])),
    )


def _malformed(path: Path, number: int, what: str, reason: str) -> EvaluationError:
    return EvaluationError(
        f"{path} line {number} is not a {what} of edge-fairmot ({reason}): "
        "restore the file or run the tracking again"
    )


# FOLDED events.py: Events of counting as JSON Lines.

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


def mot_lines(frame_number: int, tracks: Tracks) -> str:
    """Tracks of one frame as MOTChallenge text.

    Parameters
    ----------
    frame_number : int
        From 1.
    tracks : Tracks
        Source pixels.

    Returns
    -------
    str
        ``frame,id,left,top,width,height,score,-1,-1,-1``, three decimals, a line each.
    """
    rows = zip(tracks.track_id.tolist(), tracks.xyxy.tolist(), tracks.score.tolist(), strict=True)
    return "".join(
        f"{frame_number},{track_id},{left:.3f},{top:.3f},{right - left:.3f},{bottom - top:.3f},{score:.3f}"
        ",-1,-1,-1\n"
        for track_id, (left, top, right, bottom), score in rows
    )


class MotTextSink(AbstractContextManager["MotTextSink"]):
    """Writes MOTChallenge text. A frame without tracks leaves no line.

    Parameters
    ----------
    path : str or Path
        Replaced where it exists; its folder is made where it does not.

    Raises
    ------
    SinkError
        If it cannot be made.
    """

    def __init__(self, path: str | Path) -> None:
        self._file = UnbufferedFile(path)

    def write(self, frame: Frame, tracks: Tracks) -> None:
        """Write the tracks of one frame; the operating system has them when this returns.

        Raises
        ------
        SinkError
            If they are not finite or cannot be written.
        """
        require_finite(frame, tracks)
        self._file.write(mot_lines(frame.index + 1, tracks).encode())

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. May be called twice."""
        self._file.close()
