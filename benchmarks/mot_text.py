"""MOTChallenge text as a table: one line a box, frames counted from 1."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_fairmot.errors import EvaluationError, InvalidInputError
from edge_fairmot.types import Float64Array, Int64Array, Table, Tracks

LINE_FORMAT = "frame,id,left,top,width,height,confidence and at most three more values"
LARGEST_INTEGER = 2**53
"""Float64 skips integers above it. Numbers are read as floats, because files hold ``1.0`` too."""


@dataclass(frozen=True, slots=True)
class MotRows(Table):
    """The boxes of one sequence, in any order: ``rows[mask]`` selects. An identity has one box a frame."""

    frame: Int64Array  # (N,), from 1
    track_id: Int64Array  # (N,), from 0
    xyxy: Float64Array  # (N, 4), source pixels; edges: the width is x2 - x1
    confidence: Float64Array  # (N,)

    def __post_init__(self) -> None:
        count = len(self.frame)
        shapes = (self.frame.shape, self.track_id.shape, self.xyxy.shape, self.confidence.shape)
        if shapes != ((count,), (count,), (count, 4), (count,)):
            raise InvalidInputError(
                "rows need frame (N,), track_id (N,), xyxy (N, 4) and confidence (N,), not "
                + ", ".join(map(str, shapes))
            )
        sound = np.isfinite(self.xyxy).all(axis=1) & (self.xyxy[:, 2:] >= self.xyxy[:, :2]).all(axis=1)
        for row in np.flatnonzero(~(sound & (self.frame >= 1) & (self.track_id >= 0)))[:1]:
            raise EvaluationError(
                f"frame {self.frame[row]}, id {self.track_id[row]}, box {self.xyxy[row].tolist()}: "
                "frames count from 1, ids from 0, and a box is finite with x1 <= x2 and y1 <= y2"
            )
        order = np.lexsort((self.track_id, self.frame))
        frame, track_id = self.frame[order], self.track_id[order]
        for row in np.flatnonzero((frame[1:] == frame[:-1]) & (track_id[1:] == track_id[:-1]))[:1]:
            raise EvaluationError(
                f"id {track_id[row]} is in frame {frame[row]} more than once: an identity has one box a frame"
            )

    @classmethod
    def of_tracks(cls, tracks: Sequence[Tracks]) -> MotRows:
        """Return the tracks of consecutive frames as one table; the first ones are of frame 1."""
        frames = [np.full(len(found), number, np.int64) for number, found in enumerate(tracks, start=1)]
        return cls(
            frame=np.concatenate([np.zeros(0, np.int64), *frames]),
            track_id=np.concatenate([np.zeros(0, np.int64), *(found.track_id for found in tracks)]),
            xyxy=np.concatenate([np.zeros((0, 4)), *(found.xyxy.astype(np.float64) for found in tracks)]),
            confidence=np.concatenate([np.zeros(0), *(found.score.astype(np.float64) for found in tracks)]),
        )


def read_mot_text(path: str | os.PathLike[str], *, ground_truth: bool = False) -> MotRows:
    """Return the rows of a file of results, or of 2D MOT 2015 ground truth, in the file's order.

    Ground truth needs at least one row; rows of confidence 0, which are not to be scored, are left out.
    Columns after the confidence are not read: in 2015 they are a place in the world, not a class. The
    preprocessing by class of MOT16 and later is not done.
    """
    kind = "ground truth" if ground_truth else "results"
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(
            f"{kind} cannot be read from {path}: {error}: give MOTChallenge text"
        ) from error
    values = np.array(
        [
            _parse(line, f"{path}, line {number}")
            for number, line in enumerate(text.splitlines(), start=1)
            if line.strip()
        ],
        np.float64,
    ).reshape(-1, 7)
    boxes = values[:, 2:6].copy()
    boxes[:, 2:] += boxes[:, :2]
    try:
        rows = MotRows(values[:, 0].astype(np.int64), values[:, 1].astype(np.int64), boxes, values[:, 6])
    except EvaluationError as error:
        raise EvaluationError(f"{path}: {error}") from error
    if not ground_truth:
        return rows
    # TrackEval reads the mark as an integer: 0.5 counts as 0.
    rows = rows[np.trunc(rows.confidence) != 0]
    if not len(rows):
        raise EvaluationError(f"{path} holds no ground truth: at least one line with confidence 1 is needed")
    return rows


def _parse(line: str, place: str) -> list[float]:
    """Return the frame, id, left, top, width, height and confidence of one line."""
    fields = line.split(",")
    try:
        values = [float(field) for field in fields[:7]]
    except ValueError:
        values = []
    if len(values) < 7 or len(fields) > 10:
        raise EvaluationError(f"{place}: {line.strip()!r} is not a box: {LINE_FORMAT}, separated by commas")
    frame, track_id, _, _, width, height, _ = values
    if not all(map(math.isfinite, values)):
        raise EvaluationError(f"{place}: {line.strip()!r} holds a number that is not finite")
    for name, value, least in (("frame", frame, 1), ("id", track_id, 0)):
        if not (value.is_integer() and least <= value <= LARGEST_INTEGER):
            raise EvaluationError(f"{place}: {name} is {value:g}, it must be an integer from {least}")
    if min(width, height) < 0:
        raise EvaluationError(
            f"{place}: the box is {width:g} x {height:g} pixels, "
            "columns 5 and 6 are its width and height and cannot be negative"
        )
    return values
