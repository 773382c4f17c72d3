"""Pictures with the boxes of the people in them: those that are learnt from, those that are judged on."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.types import BoolArray, Float32Array, Int64Array, UInt8Array


@dataclass(frozen=True, slots=True)
class LabelledPicture:
    """A picture and who is in it.

    Attributes
    ----------
    name : str
    encoded : bytes
        The picture as a JPEG or PNG file holds it: thousands of them fit into memory so.
    xyxy : float32 (N, 4)
        Shares of the picture's width and height; may go beyond it.
    identity : int64 (N,)
        From 0. Two boxes with one identity are one person.
    counted : bool (N,)
        Whoever is not can hardly be seen or is not meant: neither finding nor missing them is a fault.
    stretched : bool
        Whether the picture was squeezed into a square from one that was wider.
    time_s : float
        On the clock of its sequence; not a number where it is of none.
    """

    name: str
    encoded: bytes
    xyxy: Float32Array
    identity: Int64Array
    counted: BoolArray
    stretched: bool = False
    time_s: float = math.nan

    def decode(self) -> UInt8Array:
        """Give the picture, uint8 (H, W, 3), BGR.

        Raises
        ------
        InvalidInputError
            If it is damaged.
        """
        image = cv2.imdecode(np.frombuffer(self.encoded, np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            raise InvalidInputError(f"{self.name} is damaged or no picture: leave it out or restore it")
        return np.asarray(image, np.uint8)


@dataclass(frozen=True, slots=True)
class LabelledSet:
    """Labelled pictures: those that are learnt from, and those that are judged on.

    Attributes
    ----------
    pictures, held_out : tuple of LabelledPicture
    identities : int
        How many there are; each is smaller than this.
    """

    pictures: tuple[LabelledPicture, ...] = ()
    held_out: tuple[LabelledPicture, ...] = ()
    identities: int = 0

    def join(self, other: LabelledSet) -> LabelledSet:
        """Put the other's after this one's; nobody of one is in the other."""
        learnt, judged = (
            tuple(replace(picture, identity=picture.identity + self.identities) for picture in pictures)
            for pictures in (other.pictures, other.held_out)
        )
        return LabelledSet(
            (*self.pictures, *learnt), (*self.held_out, *judged), self.identities + other.identities
        )

    def digest(self) -> str:
        """Compute a SHA-256 of all that is learnt from."""
        digest = hashlib.sha256()
        for picture in self.pictures:
            digest.update(picture.encoded)
            for array in (picture.xyxy, picture.identity, picture.counted):
                digest.update(array.tobytes())
        return digest.hexdigest()
