"""JSON Lines: a header, then one object a processed frame, strict JSON throughout."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_fairmot.errors import SinkError
from edge_fairmot.sinks.finite import require_finite
from edge_fairmot.sinks.unbuffered_file import UnbufferedFile
from edge_fairmot.types import Float32Array, Frame, Tracks

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
