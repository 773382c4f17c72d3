"""Labelled images, split into those to learn from and those for validation."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.types import BoolArray, Float32Array, Int64Array, UInt8Array


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """An encoded image (thousands fit into memory so) and the boxes of the people in it."""

    name: str
    encoded: bytes  # of a JPEG or PNG file
    xyxy: Float32Array  # float32 (N, 4), shares of width and height; may go beyond the image
    identity: Int64Array  # int64 (N,), from 0; -1 where it is unknown
    ignore: BoolArray  # bool (N,): boxes that are neither targets nor background
    stretched: bool = False  # squeezed into a square from a wider image
    time_s: float = math.nan  # in its sequence; NaN without one
    embedding: Float32Array | None = None  # a teacher's, float32 (N, D), unit norm; zeros where it has none

    def decode(self) -> UInt8Array:
        """Decode the image, uint8 (H, W, 3), BGR."""
        image = cv2.imdecode(np.frombuffer(self.encoded, np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            raise InvalidInputError(f"{self.name} is damaged or not an image: leave it out or restore it")
        return np.asarray(image, np.uint8)


@dataclass(frozen=True, slots=True)
class LabelledSet:
    """Labelled images to learn from and for validation; identities count from 0 to ``identities``."""

    train: tuple[LabelledImage, ...] = ()
    validation: tuple[LabelledImage, ...] = ()
    identities: int = 0

    @property
    def people(self) -> int:
        """Number of boxes to learn from that are not ignored."""
        return sum(int((~image.ignore).sum()) for image in self.train)

    @classmethod
    def concat(cls, parts: Iterable[LabelledSet]) -> LabelledSet:
        """Join sets whose identities are of different people."""
        joined = cls()
        for part in parts:
            train, validation = (
                tuple(_number_from(joined.identities, image) for image in images)
                for images in (part.train, part.validation)
            )
            joined = cls(
                joined.train + train, joined.validation + validation, joined.identities + part.identities
            )
        return joined

    def digest(self) -> str:
        """Compute the SHA-256 of all that is learned from."""
        digest = hashlib.sha256()
        for image in self.train:
            digest.update(image.encoded)
            for array in (image.xyxy, image.identity, image.ignore, image.embedding):
                digest.update(b"" if array is None else array.tobytes())
        return digest.hexdigest()


def _number_from(start: int, image: LabelledImage) -> LabelledImage:
    return replace(image, identity=np.where(image.identity < 0, -1, image.identity + start))
