"""A table of boxes: tab-separated, a line for each image, the images beside it."""

from __future__ import annotations

import csv
import math
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edge_fairmot.convert.training.frames import validation_start
from edge_fairmot.convert.training.labels import LabelledImage, LabelledSet
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.types import Float32Array

TABLE_SUFFIX = ".tsv"

FILE, BOXES, SPLIT, STRETCHED = "file", "boxes_cxcywh_normalised", "split", "stretched"

TRAIN, VALIDATION = "train", "val"

IMAGES = "images"
"""Folder beside the table, or with ``.zip`` archive, that holds the images."""


def read_table(path: Path, validation_images: int) -> LabelledSet:
    """Read a table and its images; every box is an identity of its own.

    The first line names the columns. ``file`` is an image beside the table, in ``images/`` or in
    ``images.zip``. ``boxes_cxcywh_normalised`` holds boxes, separated by spaces: centre, width and height in
    shares of the image, separated by commas. Optional: ``split`` (``train`` or ``val``; without it the last
    tenth is for validation) and ``stretched`` (1 for an image that was squeezed into a square). At most
    ``validation_images`` are kept, evenly spread.
    """
    rows = _read_rows(path)
    read = _open_images(path.parent, next((row[FILE] for row in rows if row[FILE]), ""))
    split = validation_start(len(rows))
    images: dict[str, list[LabelledImage]] = {TRAIN: [], VALIDATION: []}
    identities = 0
    for number, row in enumerate(rows):
        place = f"{path}, line {number + 2}"
        if not row[FILE]:
            raise InvalidInputError(f"{place} names no file")
        xyxy = parse_boxes(row[BOXES] or "", place)
        named = row.get(SPLIT) or (TRAIN if number < split else VALIDATION)
        if named not in images:
            raise InvalidInputError(f"{place}: {SPLIT} is {named!r}, it must be {TRAIN} or {VALIDATION}")
        image = LabelledImage(
            name=row[FILE],
            encoded=read(row[FILE]),
            xyxy=xyxy,
            identity=identities + np.arange(len(xyxy)),
            ignore=np.zeros(len(xyxy), bool),
            stretched=row.get(STRETCHED) == "1",
        )
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


def _open_images(folder: Path, first: str) -> Callable[[str], bytes]:
    """Find where the images are by the name of the first; return what reads one."""
    for place in (folder, folder / IMAGES):
        if first and (place / first).is_file():
            return lambda name: (place / name).read_bytes()
    archive = folder / f"{IMAGES}.zip"
    if archive.is_file():
        return _open_archive(archive)
    raise InvalidInputError(
        f"image {first!r} is neither in {folder} nor in {folder / IMAGES}, and there is no {archive}"
    )


def _open_archive(path: Path) -> Callable[[str], bytes]:
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise InvalidInputError(f"{path} cannot be read ({error}): restore the archive") from error

    def read(name: str) -> bytes:
        try:
            return archive.read(name)
        # RuntimeError: encrypted, or an unknown compression.
        except (KeyError, zipfile.BadZipFile, zlib.error, RuntimeError, OSError) as error:
            raise InvalidInputError(f"image {name!r} cannot be read from {path} ({error})") from error

    return read
