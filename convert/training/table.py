"""A table of boxes: one line a picture, tab-separated, the pictures beside it."""

from __future__ import annotations

import csv
import math
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from edge_fairmot.convert.footage import first_held_out
from edge_fairmot.convert.training.labelled import LabelledPicture, LabelledSet
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.types import Float32Array

TABLE_SUFFIX = ".tsv"

FILE, BOXES, SPLIT, STRETCHED = "file", "boxes_cxcywh_normalised", "split", "stretched"

TRAIN, VALIDATION = "train", "val"

PICTURES = "images"
"""Name of the folder beside the table, or with ``.zip`` of the archive, that holds pictures."""


def read_table(path: Path, held_out: int) -> LabelledSet:
    """Read a table and its pictures. Every box is a person of their own: it does not say who is who.

    The first line names the columns. ``file`` is a picture, beside the table, in a folder ``images`` or in
    ``images.zip`` there. ``boxes_cxcywh_normalised`` holds boxes, separated by spaces, each as its centre,
    width and height, separated by commas, in shares of the picture's size; it may be empty. May be there:
    ``split`` (``train`` or ``val``; without it the last tenth is held out) and ``stretched`` (1 for a picture
    that was squeezed into a square). Other columns are passed over.

    Parameters
    ----------
    path : Path
    held_out : int
        How many are judged on at most, at equal distances.

    Raises
    ------
    InvalidInputError
        If it cannot be read, a line is malformed, or a picture is not there.
    """
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
    read = _picture_reader(path.parent, [row[FILE] for row in rows if row[FILE]])
    split = first_held_out(len(rows))
    learnt: list[LabelledPicture] = []
    judged: list[LabelledPicture] = []
    identities = 0
    for number, row in enumerate(rows):
        place = f"{path}, line {number + 2}"
        if not row[FILE]:
            raise InvalidInputError(f"{place} names no file")
        xyxy = parse_boxes(row[BOXES] or "", place)
        picture = LabelledPicture(
            name=row[FILE],
            encoded=read(row[FILE]),
            xyxy=xyxy,
            identity=identities + np.arange(len(xyxy)),
            counted=np.ones(len(xyxy), bool),
            stretched=row.get(STRETCHED) == "1",
        )
        named = row.get(SPLIT) or (TRAIN if number < split else VALIDATION)
        if named not in (TRAIN, VALIDATION):
            raise InvalidInputError(f"{place}: {SPLIT} is {named!r}, it must be {TRAIN} or {VALIDATION}")
        if named == TRAIN:
            identities += len(xyxy)
        (learnt if named == TRAIN else judged).append(picture)
    step = max(1, math.ceil(len(judged) / held_out))
    return LabelledSet(tuple(learnt), tuple(judged[::step]), identities)


def parse_boxes(text: str, place: str) -> Float32Array:
    """Read boxes as a table holds them.

    Parameters
    ----------
    text : str
        ``cx,cy,w,h`` in shares of the picture's size, boxes separated by spaces.
    place : str
        For errors.

    Returns
    -------
    float32 (N, 4)
        xyxy, shares of the picture's size.
    """
    boxes = np.array([_parse_box(word, place) for word in text.split()], np.float32).reshape(-1, 4)
    centre, half = boxes[:, :2], boxes[:, 2:] / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def _parse_box(word: str, place: str) -> list[float]:
    try:
        values = [float(part) for part in word.split(",")]
    except ValueError:
        values = []
    # Not "x <= 2", which would let NaN pass.
    if len(values) != 4 or not all(-1 <= value <= 2 for value in values) or min(values[2:]) <= 0:
        raise InvalidInputError(
            f"{place}: {word!r} is no box: write centre x, centre y, width and height in shares of the "
            "picture, as in 0.5,0.5,0.1,0.3"
        )
    return values


def _picture_reader(folder: Path, names: Iterable[str]) -> Callable[[str], bytes]:
    """Find where the pictures are: by the first that is named."""
    first = next(iter(names), "")
    for place in (folder, folder / PICTURES):
        if first and (place / first).is_file():
            return lambda name: _read_file(place / name)
    archive = folder / f"{PICTURES}.zip"
    if archive.is_file():
        return _read_archive(archive)
    raise InvalidInputError(
        f"picture {first!r} is neither in {folder} nor in {folder / PICTURES}, and there is no {archive}"
    )


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInputError(f"picture {path} cannot be read ({error.strerror})") from error


def _read_archive(path: Path) -> Callable[[str], bytes]:
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise InvalidInputError(f"{path} cannot be read ({error}): restore the archive") from error

    def read(name: str) -> bytes:
        try:
            return archive.read(name)
        # RuntimeError: it is encrypted, or packed in a way that is unknown here.
        except (KeyError, zipfile.BadZipFile, zlib.error, RuntimeError, OSError) as error:
            raise InvalidInputError(f"picture {name!r} cannot be read from {path} ({error})") from error

    return read
