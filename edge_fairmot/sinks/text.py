"""The text files of a run, written and read: MOTChallenge text and JSON Lines.

Each sink writes straight to the operating system: a killed process loses nothing that was written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from edge_fairmot.errors import EvaluationError, SinkError
from edge_fairmot.sinks.files import UnbufferedFile, require_finite
from edge_fairmot.types import (
    BoolArray,
    Counts,
    Float32Array,
    FrameResult,
    GroundTruth,
    LineCounts,
    Tracks,
    ZoneCounts,
)

SCHEMA_VERSION = 1
"""Version of the JSON Lines format."""

DWELL_DECIMALS = 3

MIN_VISIBILITY = 0.1
"""Visible share of a body below which a box of the ground truth is not scored: no detector can find it."""


class TextSink(AbstractContextManager["TextSink"]):
    """Writes the text of each result to a file."""

    def __init__(self, path: str | Path) -> None:
        self._file = UnbufferedFile(path)

    def write(self, result: FrameResult) -> None:
        """Write one frame; the operating system has it when this returns.

        Raises
        ------
        SinkError
            If a number is not finite or the file cannot be written.
        """
        require_finite(result)
        self._file.write(self._text(result).encode())

    def _text(self, result: FrameResult) -> str:
        raise NotImplementedError

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. May be called twice."""
        self._file.close()


class MotTextSink(TextSink):
    """Writes MOTChallenge text, one line per track and frame. A frame without tracks leaves no line.

    Parameters
    ----------
    path : str or Path
        Replaced if it exists; its folder is made if missing.

    Raises
    ------
    SinkError
        If it cannot be made.
    """

    def _text(self, result: FrameResult) -> str:
        return mot_lines(result.frame.number, result.tracks, result.class_names)


def mot_lines(frame_number: int, tracks: Tracks, class_names: Sequence[str] = ()) -> str:
    """Return lines ``frame,id,left,top,width,height,score,class,-1,-1`` with three decimals.

    Classes count from 1, as in MOTChallenge's ground truth; the class is -1 where the model has one class.
    """
    several = len(class_names) > 1
    classes = (tracks.class_id + 1).tolist() if several else [-1] * len(tracks)
    columns = (tracks.track_id.tolist(), tracks.xyxy.tolist(), tracks.score.tolist(), classes)
    return "".join(
        f"{frame_number},{track_id},{left:.3f},{top:.3f},{right - left:.3f},{bottom - top:.3f},{score:.3f}"
        f",{number},-1,-1\n"
        for track_id, (left, top, right, bottom), score, number in zip(*columns, strict=True)
    )


class GroundTruthSink(TextSink):
    """Writes the ground truth of each frame as MOTChallenge text (``gt.txt``).

    Parameters
    ----------
    path : str or Path
        Replaced if it exists; its folder is made if missing.
    truth : callable
        Returns the ground truth of a frame by its index.

    Raises
    ------
    SinkError
        If it cannot be made.
    """

    def __init__(self, path: str | Path, truth: Callable[[int], GroundTruth]) -> None:
        super().__init__(path)
        self._truth = truth

    def _text(self, result: FrameResult) -> str:
        return truth_lines(result.frame.number, self._truth(result.frame.index))


def truth_lines(frame_number: int, truth: GroundTruth) -> str:
    """Return lines ``frame,id,left,top,width,height,confidence,1,visibility``; 1 is the class of people.

    The confidence is 0, which marks a box as not scored, where less than ``MIN_VISIBILITY`` is visible.
    """
    rows = zip(truth.ids.tolist(), truth.xyxy.tolist(), truth.visibility.tolist(), strict=True)
    return "".join(
        f"{frame_number},{identity},{left:.2f},{top:.2f},{right - left:.2f},{bottom - top:.2f},"
        f"{int(visibility >= MIN_VISIBILITY)},1,{visibility:.3f}\n"
        for identity, (left, top, right, bottom), visibility in rows
    )


def counts_document(counts: Counts | None) -> dict[str, Any]:
    """Return totals as a JSON object, without lines and zones where there are no counts.

    ``{"lines": {"door": {"in": 12, "out": 9}}, "zones": {"queue": {"occupancy": 2, "unseen": 0, "entries": 7,
    "stays": 5, "mean_dwell_s": 31.2, "longest_dwell_s": 80.0}}}``. Each class has its own in ``classes``.
    """
    counts = Counts() if counts is None else counts
    return {
        "lines": {name: _line_document(line) for name, line in counts.lines.items()},
        "zones": {name: _zone_document(zone) for name, zone in counts.zones.items()},
    }


def _line_document(line: LineCounts) -> dict[str, Any]:
    classes = {name: _line_document(one) for name, one in line.by_class.items()}
    return {"in": line.inwards, "out": line.outwards} | ({"classes": classes} if classes else {})


def _zone_document(zone: ZoneCounts) -> dict[str, Any]:
    classes = {name: _zone_document(one) for name, one in zone.by_class.items()}
    document = {
        "occupancy": zone.occupancy,
        "unseen": zone.unseen,
        "entries": zone.entries,
        "stays": zone.stays,
        "mean_dwell_s": round(zone.mean_dwell_s, DWELL_DECIMALS),
        "longest_dwell_s": round(zone.longest_dwell_s, DWELL_DECIMALS),
    }
    return document | ({"classes": classes} if classes else {})


@dataclass(frozen=True, slots=True)
class JsonLinesHeader:
    """The first line of a JSON Lines file: the run that the tracks come from.

    Attributes
    ----------
    source : str
        Name of the source, as in ``SourceInfo``.
    frame_size : (int, int)
        Width and height of the source, pixels.
    frame_rate : float
        Frames per second of the source's clock.
    model : dict
        Identity of the model, any JSON.
    settings : dict
        Settings of the run, any JSON.
    class_names : tuple of str
        Name of each ``class_id``; empty where they are not known, as in files of earlier releases.
    schema_version : int
    """

    source: str
    frame_size: tuple[int, int]
    frame_rate: float
    model: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION


class JsonLinesSink(TextSink):
    """Writes JSON Lines; :func:`edge_fairmot.sinks.read_json_lines` reads them back, bit for bit.

    Parameters
    ----------
    path : str or Path
        Replaced if it exists; its folder is made if missing.
    header : JsonLinesHeader

    Raises
    ------
    SinkError
        If the file cannot be made, or the header cannot be JSON.
    """

    def __init__(self, path: str | Path, header: JsonLinesHeader) -> None:
        first_line = header_line(header)
        self._frame_size = header.frame_size
        super().__init__(path)
        try:
            self._file.write(first_line.encode())
        except SinkError:
            self._file.close()
            raise

    def _text(self, result: FrameResult) -> str:
        return frame_line(result, self._frame_size)


def header_line(header: JsonLinesHeader) -> str:
    """Return the header as one line; raises SinkError for a model or settings that JSON cannot hold."""
    document = {
        "schema_version": header.schema_version,
        "source": header.source,
        "size": list(header.frame_size),
        "frame_rate": header.frame_rate,
        "model": dict(header.model),
        "settings": dict(header.settings),
    }
    if header.class_names:
        document["class_names"] = list(header.class_names)
    try:
        return json.dumps(document, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise SinkError(
            f"the header of JSON Lines takes strings, finite numbers, lists and dicts only: {error}"
        ) from error


def frame_line(
    result: FrameResult, usual_size: tuple[int, int] | None = None, filled: BoolArray | None = None
) -> str:
    """Return the tracks of one frame as one line; frames count from 1.

    ``predicted`` is that of the rows, so it is false for a predicted frame without tracks. A frame of
    another size than the header's has its own ``size``. A box that was ``filled`` in afterwards says so.
    """
    frame, tracks = result.frame, result.tracks
    columns = (
        tracks.track_id.tolist(),
        _shortest(tracks.xyxy),
        _shortest(tracks.score),
        tracks.class_id.tolist(),
    )
    document: dict[str, Any] = {
        "frame": frame.number,
        "time_s": float(frame.time_s),
        "predicted": bool(tracks.predicted.any()),
    }
    if usual_size not in (None, frame.size):
        document["size"] = list(frame.size)
    document["tracks"] = [
        {"id": track_id, "xyxy": xyxy, "score": score, "class_id": class_id}
        for track_id, xyxy, score, class_id in zip(*columns, strict=True)
    ]
    if filled is not None:
        for row in np.flatnonzero(filled).tolist():
            document["tracks"][row]["filled"] = True
    return json.dumps(document, allow_nan=False, separators=(",", ":")) + "\n"


def _shortest(values: Float32Array) -> Any:
    """Return the shortest decimals that read back as the same float32: 0.9, not 0.8999999761581421."""
    return values.astype("U").astype(float).tolist()


def read_json_lines(path: str | Path) -> tuple[JsonLinesHeader, Iterator[tuple[int, float, Tracks]]]:
    """Read a file of :class:`edge_fairmot.sinks.JsonLinesSink`.

    A last line that a killed process left incomplete is skipped.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    header : JsonLinesHeader
    frames : iterator of (int, float, Tracks)
        Frame number from 1, ``time_s``, and the tracks in source pixels; read as it is iterated.

    Raises
    ------
    EvaluationError
        If the file cannot be read, has no header or one of another schema version; from the iterator, if a
        line in the middle is not a frame.
    """
    path = Path(path)
    first = next(read_lines(path), None)
    if first is None:
        raise EvaluationError(
            f"{path} has no header line: it is empty or was cut off; run the tracking again"
        )
    return _header(first[1], path), _read_frames(path)


def read_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each line's number from 1 and its object, up to an incomplete last line."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    document = json.loads(line, parse_constant=_refuse_constant)
                except (ValueError, RecursionError):
                    document = None
                if isinstance(document, dict):
                    yield number, document
                elif line.endswith(b"\n"):
                    raise _malformed(path, number, "line", "no JSON object")
    except OSError as error:
        raise EvaluationError(f"{path} cannot be read ({error.strerror}): check the path") from error


def _header(document: dict[str, Any], path: Path) -> JsonLinesHeader:
    version = document.get("schema_version")
    if version != SCHEMA_VERSION:
        raise EvaluationError(
            f"{path} has schema version {version}, this release reads {SCHEMA_VERSION}: "
            "check that it is a JSON Lines file of edge-fairmot, or run the tracking again"
        )
    try:
        width, height = map(_whole, document["size"])
        return JsonLinesHeader(
            source=str(document["source"]),
            frame_size=(width, height),
            frame_rate=_finite(document["frame_rate"]),
            model=dict(document["model"]),
            settings=dict(document["settings"]),
            class_names=tuple(map(str, document.get("class_names", ()))),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _malformed(path, 1, "header", repr(error)) from error


def _read_frames(path: Path) -> Iterator[tuple[int, float, Tracks]]:
    for number, document in read_lines(path):
        if number == 1:
            continue
        try:
            yield _whole(document["frame"]), _finite(document["time_s"]), _tracks(document)
        except (KeyError, TypeError, ValueError) as error:
            raise _malformed(path, number, "frame", repr(error)) from error


def _tracks(document: dict[str, Any]) -> Tracks:
    rows = document["tracks"]
    # Judged as float32: the shortest text of its largest value lies just above it.
    with np.errstate(over="ignore"):
        xyxy = np.array([list(map(_finite, row["xyxy"])) for row in rows], float).astype(np.float32)
        score = np.array([_finite(row["score"]) for row in rows], float).astype(np.float32)
    if not (np.isfinite(xyxy).all() and np.isfinite(score).all()):
        raise ValueError("a box or a score is too large")
    return Tracks(
        track_id=np.array([_whole(row["id"]) for row in rows], np.int64),
        xyxy=xyxy.reshape(len(rows), 4),
        score=score,
        class_id=np.array([_whole(row["class_id"]) for row in rows], np.int64),
        predicted=np.full(len(rows), bool(document["predicted"])),
    )


def _whole(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError(f"{value!r:.60} is not a whole number from 0")
    return value


def _finite(value: object) -> float:
    if type(value) not in (int, float) or not abs(value) < 1e300:  # type: ignore[arg-type]
        raise ValueError(f"{value!r:.60} is not a number")
    return float(value)  # type: ignore[arg-type]


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _malformed(path: Path, number: int, what: str, reason: str) -> EvaluationError:
    return EvaluationError(
        f"{path} line {number} is not a {what} of edge-fairmot ({reason}): "
        "restore the file or run the tracking again"
    )
