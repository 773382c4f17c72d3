"""The user's frames, split into pictures to learn from and frames to be judged on."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import cv2
import numpy as np

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.letterbox import LETTERBOX_BORDER, Letterbox
from edge_fairmot.protocols import Source
from edge_fairmot.types import UInt8Array

HELD_OUT_SHARE = 0.1
"""The last of each source. Not frames here and there: a frame's neighbours are nearly the same picture."""

HELD_OUT_STEP = 3
"""Of consecutive frames every third at most is judged: people must be followed from one to the next."""

SCALES = (0.7, 1.5)
"""Of pictures, by the scale at which the network sees them in use."""


@dataclass(frozen=True, slots=True)
class HeldOutFrame:
    """A frame to be judged on: uint8 (H, W, 3), BGR, letterboxed, and where it is in its source."""

    image: UInt8Array
    index: int
    time_s: float


@dataclass(frozen=True, slots=True)
class HeldOutSequence:
    """Frames of one source, in order.

    Attributes
    ----------
    name : str
    frame_rate : float
        Of the frames that are here.
    letterbox : Letterbox
        Of the source's first frame.
    frames : tuple of HeldOutFrame
    """

    name: str
    frame_rate: float
    letterbox: Letterbox
    frames: tuple[HeldOutFrame, ...]


@dataclass(frozen=True, slots=True)
class Footage:
    """What is learnt from and what is judged on.

    Attributes
    ----------
    pictures : tuple of uint8 (H, W, 3)
        BGR, no larger than the largest scale needs.
    held_out : tuple of HeldOutSequence
    """

    pictures: tuple[UInt8Array, ...]
    held_out: tuple[HeldOutSequence, ...]

    def join(self, other: Footage) -> Footage:
        """Put the other's after this one's."""
        return Footage((*self.pictures, *other.pictures), (*self.held_out, *other.held_out))

    def digest(self) -> str:
        """Compute a SHA-256 of what is learnt from."""
        digest = hashlib.sha256()
        for picture in self.pictures:
            digest.update(picture.tobytes())
        return digest.hexdigest()


def read_footage(
    source: Source, input_size: tuple[int, int], pictures: int, held_out: int, *, learn: bool = True
) -> Footage:
    """Read a source once.

    Parameters
    ----------
    source : Source
    input_size : (int, int)
        Width and height of the network's input, pixels.
    pictures, held_out : int
        How many are taken at most; pictures at equal distances.
    learn : bool
        Whether it is learnt from; all of it is held out, if not.

    Raises
    ------
    InvalidInputError
        If the source does not know its length, or is too short to be split.
    SourceError
        If it cannot be read.
    """
    info = source.info
    if not info.frame_count or info.frame_count < (2 if learn else 1):
        raise InvalidInputError(
            f"{info.name} has {info.frame_count or 'an unknown number of'} frames: give a video or a folder "
            "of pictures, of which a tenth can be held out"
        )
    split = first_held_out(info.frame_count) if learn else 0
    step = max(1, math.ceil(split / pictures))
    judged_step = min(HELD_OUT_STEP, max(1, (info.frame_count - split) // held_out))
    taken: list[UInt8Array] = []
    judged: list[HeldOutFrame] = []
    for frame in source:
        height, width = frame.image.shape[:2]
        letterbox = Letterbox((width, height), input_size)  # photos of a folder differ in size
        if frame.index < split:
            if frame.index % step == 0:
                taken.append(shrink(frame.image, letterbox))
        elif (frame.index - split) % judged_step == 0:
            judged.append(HeldOutFrame(letterbox.apply(frame.image), frame.index, frame.time_s))
        if len(judged) == held_out:
            break
    first = Letterbox(info.frame_size, input_size)
    sequence = HeldOutSequence(info.name, info.frame_rate, first, tuple(judged))
    return Footage(tuple(taken), (sequence,))


def draw_batch(
    footage: Footage, input_size: tuple[int, int], side: int, count: int, seed: tuple[int, int]
) -> UInt8Array:
    """Cut random pieces out of random pictures, at random scales, every other one mirrored.

    Parameters
    ----------
    footage : Footage
    input_size : (int, int)
        Width and height of the network's input, pixels: says at which scale pictures will be seen.
    side : int
        Of a piece, pixels.
    count : int
    seed : (int, int)
        The same seed draws the same batch, so the step's number in it is all that a resumed run must know.

    Returns
    -------
    uint8 (count, side, side, 3)
        BGR; where the picture ends, the grey of a letterbox.
    """
    generator = np.random.default_rng(seed)
    batch = np.full((count, side, side, 3), LETTERBOX_BORDER, np.uint8)
    for piece in batch:
        picture = footage.pictures[generator.integers(len(footage.pictures))]
        height, width = picture.shape[:2]
        inner = Letterbox((width, height), input_size).inner_size
        factor = math.exp(generator.uniform(*np.log(SCALES)))
        size = (max(1, round(inner[0] * factor)), max(1, round(inner[1] * factor)))
        resized = resize(picture, size)
        if generator.random() < 0.5:
            resized = resized[:, ::-1]
        top, left = (draw_start(generator, length, side) for length in reversed(size))
        put(resized, piece, left, top)
    return batch


def fit_pictures(footage: Footage, input_size: tuple[int, int], count: int) -> UInt8Array:
    """Letterbox some of the pictures to learn from, spread over all of them: uint8 (N, H, W, 3), BGR."""
    step = max(1, len(footage.pictures) // count)
    chosen = footage.pictures[::step][:count]
    return np.stack([Letterbox((p.shape[1], p.shape[0]), input_size).apply(p) for p in chosen])


def first_held_out(count: int) -> int:
    """Say where the last tenth of so many begins."""
    return count - max(1, round(HELD_OUT_SHARE * count))


def resize(image: UInt8Array, size: tuple[int, int]) -> UInt8Array:
    """Bring a picture to a width and height, pixels."""
    interpolation = cv2.INTER_AREA if size[0] < image.shape[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=interpolation), np.uint8)


def draw_start(generator: np.random.Generator, length: int, side: int) -> int:
    """Draw where a picture begins on a piece, along one axis: before it if the picture is the longer one."""
    start = int(generator.integers(abs(length - side) + 1))
    return start if length < side else -start


def put(image: UInt8Array, piece: UInt8Array, left: int, top: int) -> None:
    """Copy what of a picture that begins at a place of a piece, or before it, is in the piece."""
    (to_y, from_y), (to_x, from_x) = (
        _overlap(start, image.shape[axis], piece.shape[axis]) for axis, start in enumerate((top, left))
    )
    piece[to_y, to_x] = image[from_y, from_x]


def _overlap(start: int, length: int, side: int) -> tuple[slice, slice]:
    low, high = max(0, start), min(side, start + length)
    return slice(low, high), slice(low - start, high - start)


def shrink(image: UInt8Array, letterbox: Letterbox) -> UInt8Array:
    """Make a picture no larger than the largest scale at which it is learnt from needs."""
    width, height = (round(length * SCALES[1]) for length in letterbox.inner_size)
    if width >= image.shape[1]:
        return image
    return resize(image, (width, height))
