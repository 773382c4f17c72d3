"""A table of boxes: tab-separated, a line for each image, the images beside it."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edge_fairmot.convert.training.frames import validation_start
from edge_fairmot.convert.training.labels import LabelledImage, LabelledSet
from edge_fairmot.convert.training.stored_images import read_images
from edge_fairmot.convert.training.teacher_labels import TeacherBoxes, TeacherLabels, unite
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.types import Float32Array

TABLE_SUFFIX = ".tsv"

FILE, BOXES, SPLIT, STRETCHED = "file", "boxes_cxcywh_normalised", "split", "stretched"

TRAIN, VALIDATION = "train", "val"

TEACHER = "teacher_boxes_cxcywh_score"


def read_table(
    path: Path, validation_images: int, media: Sequence[Path] = (), labels: TeacherLabels | None = None
) -> LabelledSet:
    """Read a table and its images; every box is an identity of its own.

    The first line names the columns. ``file`` is an image beside the table or in ``media``, see
    :func:`read_images`. ``boxes_cxcywh_normalised`` holds boxes, separated by spaces: centre, width and
    height in shares of the image, separated by commas. Optional: ``split`` (``train`` or ``val``; without it
    the last tenth is for validation), ``stretched`` (1 for an image that was squeezed into a square) and
    ``teacher_boxes_cxcywh_score`` (a teacher's boxes, each with a fifth number, its score). At most
    ``validation_images`` are kept, evenly spread. ``labels`` are united with the table's boxes.
    """
    rows = _read_rows(path)
    for number, row in enumerate(rows):
        if not row[FILE]:
            raise InvalidInputError(f"{path}, line {number + 2} names no file")
    stored = read_images([row[FILE] for row in rows], [path.parent, *media])
    split = validation_start(len(rows))
    images: dict[str, list[LabelledImage]] = {TRAIN: [], VALIDATION: []}
    identities = 0
    for number, (row, found) in enumerate(zip(rows, stored, strict=True)):
        place = f"{path}, line {number + 2}"
        xyxy = parse_boxes(row[BOXES] or "", place)
        named = row.get(SPLIT) or (TRAIN if number < split else VALIDATION)
        if named not in images:
            raise InvalidInputError(f"{place}: {SPLIT} is {named!r}, it must be {TRAIN} or {VALIDATION}")
        image = LabelledImage(
            name=row[FILE],
            encoded=found.encoded,
            xyxy=xyxy,
            identity=identities + np.arange(len(xyxy)),
            ignore=np.zeros(len(xyxy), bool),
            stretched=row.get(STRETCHED) == "1",
            time_s=found.time_s,
        )
        if words := row.get(TEACHER):
            image = unite(image, _parse_teacher(words, place))
        if labels and row[FILE] in labels:
            image = unite(image, labels[row[FILE]])
        images[named].append(image)
        if named == TRAIN:
            identities += len(xyxy)
    step = max(1, math.ceil(len(images[VALIDATION]) / validation_images))
    return LabelledSet(tuple(images[TRAIN]), tuple(images[VALIDATION][::step]), identities)


def _read_rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidInputError(f"{path} cannot be read ({error}): give a table of boxes") from error
    if not rows:
        raise InvalidInputError(f"{path} has no lines after its first, which names the columns")
    for column in (FILE, BOXES):
        if column not in rows[0]:
            raise InvalidInputError(f"{path} has no column {column}: its first line must name the columns")
    return rows


def parse_boxes(text: str, place: str) -> Float32Array:
    """Read boxes of a table, ``cx,cy,w,h cx,cy,w,h ...``: float32 (N, 4), xyxy, shares of the image."""
    boxes = np.array([_parse_box(word, place) for word in text.split()], np.float32).reshape(-1, 4)
    centre, half = boxes[:, :2], boxes[:, 2:] / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def _parse_teacher(text: str, place: str) -> TeacherBoxes:
    boxes, _, scores = zip(*(word.rpartition(",") for word in text.split()), strict=True)
    try:
        score = np.array([float(word) for word in scores], np.float32)
    except ValueError:
        score = np.full(1, np.nan, np.float32)
    if not ((score >= 0) & (score <= 1)).all():
        raise InvalidInputError(
            f"{place}: {TEACHER} needs boxes with a score in [0, 1], as 0.5,0.5,0.1,0.3,0.9"
        )
    return TeacherBoxes(parse_boxes(" ".join(boxes), place), score, np.zeros((len(score), 0), np.float32))


def _parse_box(word: str, place: str) -> list[float]:
    try:
        values = [float(part) for part in word.split(",")]
    except ValueError:
        values = []
    # Not "x > 2", which NaN passes.
    if len(values) != 4 or not all(-1 <= value <= 2 for value in values) or min(values[2:]) <= 0:
        raise InvalidInputError(
            f"{place}: {word!r} is not a box: write centre x, centre y, width and height in shares of the "
            "image, as in 0.5,0.5,0.1,0.3"
        )
    return values
