"""MOTChallenge text as a table: one line a box, frames counted from 1."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edge_fairmot.benchmarks.mot_metrics import best_assignment
from edge_fairmot.boxes import iou
from edge_fairmot.errors import EvaluationError, InvalidInputError
from edge_fairmot.sinks import read_json_lines
from edge_fairmot.types import BoolArray, Float64Array, Int64Array, Table, Tracks

LINE_FORMAT = "frame,id,left,top,width,height,confidence and at most three more values"
LARGEST_INTEGER = 2**53
"""Float64 skips integers above it. Numbers are read as floats, because files hold ``1.0`` too."""
LARGEST_ID = 2**64 - 1
"""Ids of plain digits are read as integers: they are labels, often random ones of 64 bits."""

BENCHMARKS = ("MOT15", "MOT16", "MOT17", "MOT20")
PERSON = 1
CLASSES = (
    *("pedestrian", "person_on_vehicle", "car", "bicycle", "motorbike", "non_mot_vehicle", "static_person"),
    *("distractor", "occluder", "occluder_on_ground", "occluder_full", "reflection", "crowd"),
)
"""Classes of MOT16 and later, numbered from 1: TrackEval, MotChallenge2DBox."""
DISTRACTORS = (2, 7, 8, 12)
DISTRACTORS_OF_MOT20 = (*DISTRACTORS, 6)
PEOPLE = ("pedestrian", "person", "people", "human")
"""Names of class 1; a labels file may give them another number."""
LABELS_NAME = "labels.txt"
"""File beside the ground truth that CVAT exports as MOT 1.1: one class name per line, from class 1."""
CHOOSE = "choose one with eval --class NUMBER, or make people class 1"
MIN_OVERLAP = 0.5
"""Minimum IoU of a result and a distractor."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MotRows(Table):
    """The boxes of one sequence, in any order: ``rows[mask]`` selects. An identity has one box a frame."""

    frame: Int64Array  # (N,), from 1
    track_id: Int64Array  # (N,), from 0; uint64 where a file's ids need it
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


@dataclass(frozen=True, slots=True)
class MotTruth:
    """The ground truth of one sequence. Boxes that are not scored matter: they may explain a result."""

    boxes: MotRows  # every box of the file, in its order
    scored: BoolArray  # (N,)
    distractor: BoolArray  # (N,): a result that matches one is removed, not a false positive
    class_id: int | None = None  # that is scored; None where boxes have no class, as in MOT15
    class_name: str = ""  # of it; empty where it has none

    @classmethod
    def of_rows(cls, rows: MotRows) -> MotTruth:
        """Return ground truth of which every box is scored."""
        return cls(rows, np.ones(len(rows), bool), np.zeros(len(rows), bool))

    @property
    def rows(self) -> MotRows:
        """The boxes that are scored."""
        return self.boxes[self.scored]

    @property
    def labelled_frames(self) -> Int64Array:
        """Numbers of the frames with a box of any class, ascending."""
        return np.unique(self.boxes.frame)

    def at_frames(self, numbers: Iterable[int]) -> MotTruth:
        """Return the ground truth of these frames (ascending), numbered from 1 by their position."""
        wanted = np.fromiter(numbers, np.int64)
        kept = np.isin(self.boxes.frame, wanted)
        boxes = self.boxes[kept]
        boxes = replace(boxes, frame=np.searchsorted(wanted, boxes.frame).astype(np.int64) + 1)
        return replace(self, boxes=boxes, scored=self.scored[kept], distractor=self.distractor[kept])

    def without_distractors(self, results: MotRows) -> MotRows:
        """Return the results that match no distractor.

        As TrackEval's MotChallenge2DBox: in each frame results are matched with boxes of all classes, one to
        one, by the greatest sum of overlaps of at least 0.5.
        """
        kept = np.ones(len(results), bool)
        frames = np.intersect1d(self.boxes.frame[self.distractor], results.frame)
        pairs = zip(*(rows_by_frame(rows.frame, frames) for rows in (self.boxes, results)), strict=True)
        for ours, theirs in pairs:
            overlap = iou(self.boxes.xyxy[ours], results.xyxy[theirs])
            overlap[overlap < MIN_OVERLAP - np.finfo(float).eps] = 0
            row, column = best_assignment(overlap)
            matched = overlap[row, column] > np.finfo(float).eps
            kept[theirs[column[matched & self.distractor[ours[row]]]]] = False
        return results[kept]


def rows_by_frame(frame: Int64Array, frames: Int64Array) -> list[Int64Array]:
    """Return the row indices of each of ``frames`` (ascending), in the order of the rows."""
    order = np.argsort(frame, kind="stable")
    ordered = frame[order]
    ends = zip(np.searchsorted(ordered, frames), np.searchsorted(ordered, frames, "right"), strict=True)
    return [order[start:end] for start, end in ends]


def read_mot_text(path: str | os.PathLike[str], class_id: int | None = None, class_name: str = "") -> MotRows:
    """Return the rows of a file of results, in the file's order.

    With ``class_id``, the class of the ground truth that is scored, rows of other classes are left out if
    column 8 names a class above 1 in any of them. A file that ``track`` wrote has the numbers of its model:
    there the class is found by ``class_name``.
    """
    lines = _read_lines(path, "results")
    classes, names = lines.eighth, result_classes(path)
    if class_id is None:
        if len(names) > 1 and len(np.unique(classes)) > 1:
            _log.warning(
                "%s has tracks of several classes (%s), and all are read alike: track with --classes to have "
                "some of them only",
                *(path, ", ".join(names)),
            )
        return lines.rows
    if len(names) > 1 and class_name:
        meant = PEOPLE if class_name.lower() in PEOPLE else (class_name.lower(),)
        numbers = [number for number, name in enumerate(names, start=1) if name.lower() in meant]
        if not numbers:
            raise EvaluationError(
                f"{path} has no class {class_name!r}: it has {', '.join(names)}; choose one with eval --class"
            )
        return lines.rows[classes == numbers[0]]
    if not (_are_classes(classes) and classes.max(initial=0) > PERSON):
        return lines.rows
    kept = classes == class_id
    if not kept.all():
        _log.warning(
            "%s: %d of %d results are of other classes than %d and are left out",
            *(path, int((~kept).sum()), len(kept), class_id),
        )
    return lines.rows[kept]


def result_classes(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Return the class names of results, by the header of ``tracks.jsonl`` beside ``tracks.txt``.

    Class 1 of the results is the first; empty where they are not known.
    """
    try:
        header, _ = read_json_lines(Path(path).with_suffix(".jsonl"))
    except EvaluationError:
        return ()
    return header.class_names


def scored_classes(path: str | os.PathLike[str], *, benchmark: str | None = None) -> list[str]:
    """Return the names of the classes of which ground truth has boxes with mark 1; numbers without a name."""
    path = Path(path)
    lines, labels = _read_lines(path, "ground truth"), _read_labels(path)
    if not _has_classes(lines, path, benchmark, labels=bool(labels)):
        raise EvaluationError(f"{path} has no classes: leave out --class")
    names = dict(enumerate(labels or CLASSES, start=1))
    numbers = np.unique(lines.eighth[np.trunc(lines.rows.confidence) != 0]).astype(np.int64).tolist()
    return [names.get(number, str(number)) for number in numbers]


def read_ground_truth(
    path: str | os.PathLike[str],
    *,
    benchmark: str | None = None,
    class_name: str | None = None,
    may_be_empty: bool = False,
) -> MotTruth:
    """Return ground truth of MOT15 to MOT20, or in their format.

    Column 8 is a class, and one class is scored, where it holds whole numbers and lines have 8 or 9 columns
    or CVAT's ``labels.txt`` lies beside the file. In MOT15's 10 columns it is a place in the world.
    ``benchmark`` overrides this. A box whose mark (column 7) is 0 is not scored.
    """
    path = Path(path)
    if benchmark is not None and (benchmark := benchmark.upper()) not in BENCHMARKS:
        raise EvaluationError(f"benchmark {benchmark!r} is not known: give {', '.join(BENCHMARKS)}")
    lines = _read_lines(path, "ground truth")
    labels = _read_labels(path)
    marked = np.trunc(lines.rows.confidence) != 0  # TrackEval reads the mark as an integer: 0.5 counts as 0
    if not _has_classes(lines, path, benchmark, labels=bool(labels)):
        if class_name is not None:
            raise EvaluationError(
                f"{path} has no classes, so {class_name!r} cannot be chosen: leave out --class, or give "
                "--benchmark MOT17 if column 8 is a class"
            )
        if not marked.any() and not may_be_empty:
            raise EvaluationError(f"{path} holds no ground truth: at least one line with mark 1 is needed")
        return MotTruth(lines.rows, marked, np.zeros(len(marked), bool))
    classes = np.trunc(np.nan_to_num(lines.eighth, nan=0)).astype(np.int64)
    class_id = _choose_class(path, classes, labels, class_name)
    scored = marked & (classes == class_id)
    if not scored.any():
        lacks = (
            f"{path} holds no ground truth of class {class_id} with mark 1: it has "
            f"{_count_classes(classes, labels)}"
        )
        if not may_be_empty:
            raise EvaluationError(f"{lacks}; {CHOOSE}")
        _log.warning("%s", lacks)
    is_mot20 = benchmark == "MOT20" or (benchmark is None and "MOT20" in str(path.resolve()))
    names = dict(enumerate(labels or CLASSES, start=1))
    # By name, for a labels file may number other classes so. The distractors of people are known, those of
    # other classes are not.
    of_people = {CLASSES[number - 1] for number in (DISTRACTORS_OF_MOT20 if is_mot20 else DISTRACTORS)}
    distractors = [number for number, name in names.items() if name.lower() in of_people]
    distractor = np.isin(classes, distractors) & (class_id == PERSON)
    return MotTruth(lines.rows, scored, distractor, class_id, names.get(class_id, ""))


def _are_classes(eighth: Float64Array) -> bool:
    """Whether column 8 may hold classes: whole numbers, of which one is above 0."""
    return bool(np.all((eighth >= 0) & (eighth == np.trunc(eighth))) and eighth.max(initial=0) > 0)


def _has_classes(lines: _Lines, path: Path, benchmark: str | None, *, labels: bool) -> bool:
    """Whether column 8 of ground truth is a class. Warns if it may be one and is not read as one."""
    if benchmark is not None:
        if benchmark != "MOT15" and np.isnan(lines.eighth).any():
            raise EvaluationError(f"{path} has lines without a class in column 8: give --benchmark MOT15")
        return benchmark != "MOT15"
    if min(lines.widths, default=10) < 8 <= max(lines.widths, default=0):
        raise EvaluationError(f"{path} has lines with and without column 8, the class: write all alike")
    if not _are_classes(lines.eighth):
        return False
    if max(lines.widths) <= 9 or labels:
        return True
    if len(np.unique(lines.eighth)) > 1:
        _log.warning(
            "%s has 10 columns, so column 8 is read as a place in the world, as in MOT15, and all boxes are "
            "scored alike; if it is a class, leave out column 10, or give eval --benchmark MOT17",
            path,
        )
    return False


def _choose_class(path: Path, classes: Int64Array, labels: Sequence[str], wanted: str | None) -> int:
    names = [name.lower() for name in labels or CLASSES]
    if wanted is not None and wanted.isdecimal():
        return int(wanted)
    meant: tuple[str, ...]
    if wanted is not None:
        meant = PEOPLE if wanted.lower() in PEOPLE and wanted.lower() not in names else (wanted.lower(),)
    elif labels:
        meant = PEOPLE if len(labels) > 1 else tuple(names)
    elif (classes == 0).any():  # classes that count from 0: class 1 is not the people
        meant = ()
    else:
        return PERSON
    found = next((names.index(name) + 1 for name in meant if name in names), None)
    if found is not None:
        return found
    reason = f"class {wanted!r} is not known" if wanted is not None else "it is not clear which one is people"
    raise EvaluationError(f"{path}: {reason}: it has {_count_classes(classes, labels)}; {CHOOSE}")


def _count_classes(classes: Int64Array, labels: Sequence[str]) -> str:
    """Return a list such as ``class 1 (pedestrian, 30 boxes), class 3 (car, 4 boxes)``."""
    names = dict(enumerate(labels or CLASSES, start=1))
    counted = zip(*(found.tolist() for found in np.unique(classes, return_counts=True)), strict=True)
    return ", ".join(
        f"class {number} ({names[number] + ', ' if number in names else ''}{count} boxes)"
        for number, count in counted
    )


def _read_labels(path: Path) -> list[str]:
    """Return CVAT's class names beside ground truth; empty without them."""
    try:
        text = path.with_name(LABELS_NAME).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return []
    return [line.strip() for line in text.splitlines() if line.strip()]


@dataclass(frozen=True, slots=True)
class _Lines:
    rows: MotRows
    eighth: Float64Array  # (N,), NaN where a line has no number in column 8
    widths: frozenset[int]  # numbers of columns


def _read_lines(path: str | os.PathLike[str], kind: str) -> _Lines:
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(
            f"{kind} cannot be read from {path}: {error}: give MOTChallenge text"
        ) from error
    parsed = [
        _parse(line, f"{path}, line {number}")
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip()
    ]
    values = np.array([line.values for line in parsed], np.float64).reshape(-1, 7)
    ids = [line.track_id for line in parsed]
    boxes = values[:, 1:5].copy()
    boxes[:, 2:] += boxes[:, :2]
    try:
        rows = MotRows(
            values[:, 0].astype(np.int64),
            np.array(ids, np.int64 if max(ids, default=0) < 2**63 else np.uint64),
            boxes,
            values[:, 5],
        )
    except EvaluationError as error:
        raise EvaluationError(f"{path}: {error}") from error
    return _Lines(rows, values[:, 6], frozenset(line.width for line in parsed))


@dataclass(frozen=True, slots=True)
class _Line:
    track_id: int
    values: tuple[float, ...]  # frame, left, top, width, height, confidence, and column 8 or NaN
    width: int


def _parse(line: str, place: str) -> _Line:
    fields = [field.strip() for field in line.split(",")]
    if len(fields) > 7 and not fields[-1]:
        del fields[-1]
    try:
        values = [float(field) for field in fields[:7]]
    except ValueError:
        values = []
    if len(values) < 7 or len(fields) > 10:
        raise EvaluationError(f"{place}: {line.strip()!r} is not a box: {LINE_FORMAT}, separated by commas")
    frame, track_id, *box, confidence = values
    if not all(map(math.isfinite, values)):
        raise EvaluationError(f"{place}: {line.strip()!r} holds a number that is not finite")
    is_exact = fields[1].isascii() and fields[1].isdecimal()
    track_id, largest = (int(fields[1]), LARGEST_ID) if is_exact else (track_id, LARGEST_INTEGER)
    if not (frame.is_integer() and 1 <= frame <= LARGEST_INTEGER):
        raise EvaluationError(f"{place}: frame is {frame:g}, it must be an integer from 1")
    if not (track_id == int(track_id) and 0 <= track_id <= largest):
        raise EvaluationError(
            f"{place}: id is {fields[1]}, it must be an integer from 0 to 2^64 - 1, written in digits"
        )
    if min(box[2:]) < 0:
        raise EvaluationError(
            f"{place}: the box is {box[2]:g} x {box[3]:g} pixels, "
            "columns 5 and 6 are its width and height and cannot be negative"
        )
    try:
        eighth = float(fields[7]) if len(fields) > 7 else math.nan
    except ValueError:
        eighth = math.nan
    eighth = eighth if abs(eighth) <= LARGEST_INTEGER else math.nan
    return _Line(int(track_id), (frame, *box, confidence, eighth), len(fields))
