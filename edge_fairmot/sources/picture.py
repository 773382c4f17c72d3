"""One picture file: is it one, is it whole, what is in it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edge_fairmot.errors import SourceError
from edge_fairmot.types import UInt8Array

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})


def is_picture(path: Path) -> bool:
    """Whether the name is a picture's. Hidden files, which macOS leaves beside real ones, are not."""
    return path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")


def read_picture(path: Path) -> UInt8Array:
    """Decode one picture, upright by its EXIF orientation.

    Returns
    -------
    uint8 (H, W, 3)
        BGR.

    Raises
    ------
    SourceError
        If it cannot be read or decoded, or ends early.
    """
    remedy = "remove it or replace it"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror}): {remedy}") from error
    # OpenCV 4 fills up a picture that was cut off with grey and calls it good.
    if not data or _lacks_end(data):
        raise SourceError(f"{path} is cut off after {len(data)} bytes: {remedy}")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise SourceError(f"{path} cannot be decoded as a picture ({error.err}): {remedy}") from error
    if image is None:
        raise SourceError(f"{path} cannot be decoded as a picture: {remedy}")
    return np.asarray(image, np.uint8)


def _lacks_end(data: bytes) -> bool:
    """Whether the end marker of a JPEG or PNG is missing."""
    if data.startswith(b"\x89PNG"):
        return b"IEND" not in data
    if not data.startswith(b"\xff\xd8"):
        return False
    # The scan starts after the segments of the header, which may hold a thumbnail with an end of its own.
    position = 2
    while data[position : position + 1] == b"\xff" and data[position + 1 : position + 2] != b"\xda":
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return data.find(b"\xff\xd9", position) < 0
