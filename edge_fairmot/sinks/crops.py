"""The best crop of each identity, as JPEG files."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import cv2
import numpy as np

from edge_fairmot.errors import SinkError
from edge_fairmot.sinks.files import UnbufferedFile, require_finite
from edge_fairmot.types import FrameResult, UInt8Array

JPEG_QUALITY = 92
COMPARED_SIZE = (64, 128)
"""Width and height at which the sharpness of crops is compared: a larger crop is not sharper by itself."""

LARGE_ENOUGH = 128 * 256
"""Area in pixels above which only sharpness counts."""

BETTER = 1.15
"""A crop replaces the one on disk if it is better by this factor: a file is written a few times only."""

SMALLEST = 8
"""Least width and height of a crop, pixels."""


class CropsSink(AbstractContextManager["CropsSink"]):
    """Writes the best crop of each identity to ``ID.jpg``: large, sharp, and not cut by the image's edge.

    A file is written as soon as its identity is seen, and again when a better crop comes, so that a killed
    run keeps all of them. Predicted boxes are not used.

    Parameters
    ----------
    folder : str or Path
        Made if missing. Crops of an earlier run in it are replaced.

    Raises
    ------
    SinkError
        If the folder cannot be used.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self._best: dict[int, float] = {}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for path in self._folder.glob("*.jpg"):
                if path.stem.isdecimal():
                    path.unlink()
        except OSError as error:
            raise SinkError(
                f"{folder} cannot hold crops ({error.strerror}): choose another folder"
            ) from error

    def write(self, result: FrameResult) -> None:
        """Write the crops that are better than those before.

        Raises
        ------
        SinkError
            If a file cannot be written.
        """
        require_finite(result)
        image, tracks = result.frame.image, result.tracks
        tracks = tracks[~tracks.predicted]
        for number, box in zip(tracks.track_id.tolist(), tracks.xyxy.tolist(), strict=True):
            crop, inside = _cut(image, box)
            if crop is None:
                continue
            quality = min(crop.shape[0] * crop.shape[1], LARGE_ENOUGH) * inside**2 * _sharpness(crop)
            if quality > BETTER * self._best.get(number, 0.0):
                self._best[number] = quality
                self._save(number, crop)

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Do nothing: every crop is on disk."""

    def _save(self, number: int, crop: UInt8Array) -> None:
        _, data = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        file = UnbufferedFile(self._folder / f"{number:06d}.jpg")
        try:
            file.write(data.tobytes())
        finally:
            file.close()


def _cut(image: UInt8Array, box: list[float]) -> tuple[UInt8Array | None, float]:
    """Return the part of the box in the image, None if it is too small, and its share of the box."""
    height, width = image.shape[:2]
    left, top = (max(0, round(edge)) for edge in box[:2])
    right, bottom = min(width, round(box[2])), min(height, round(box[3]))
    if right - left < SMALLEST or bottom - top < SMALLEST:
        return None, 0.0
    area = (box[2] - box[0]) * (box[3] - box[1])
    return image[top:bottom, left:right], min(1.0, (right - left) * (bottom - top) / area)


def _sharpness(crop: UInt8Array) -> float:
    """Return the mean size of the Laplacian, at the size at which crops are compared."""
    grey = cv2.cvtColor(np.ascontiguousarray(crop), cv2.COLOR_BGR2GRAY)
    compared = cv2.resize(grey, COMPARED_SIZE, interpolation=cv2.INTER_AREA)
    return float(np.abs(cv2.Laplacian(compared, cv2.CV_32F)).mean()) + 1e-3
