"""JSON Lines read back, also those of a run that was killed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edge_fairmot.errors import EvaluationError
from edge_fairmot.sinks.json_lines import SCHEMA_VERSION, JsonLinesHeader
from edge_fairmot.types import Tracks


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
