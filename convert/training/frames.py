"""Unlabelled frames of the user's sources: images to learn from, and frames for validation."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_fairmot.convert.training.crops import shrink
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.letterbox import Letterbox
from edge_fairmot.protocols import Source
from edge_fairmot.sources import open_images
from edge_fairmot.types import Frame, UInt8Array

VALIDATION_SHARE = 0.1
"""The last of each source. Not single frames in between: their neighbours are nearly the same image."""

VALIDATION_STEP = 3
"""Maximum step between validation frames: tracks must be followed over it."""


@dataclass(frozen=True, slots=True)
class ValidationSequence:
    """Validation frames of one source, letterboxed, in order; the letterbox is that of its first frame."""

    name: str
    frame_rate: float
    letterbox: Letterbox
    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class UnlabelledFrames:
    """Images to learn from, uint8 (H, W, 3) BGR, and sequences for validation."""

    train: tuple[UInt8Array, ...]
    validation: tuple[ValidationSequence, ...] = ()

    def digest(self) -> str:
        """Compute the SHA-256 of the images to learn from."""
        digest = hashlib.sha256()
        for image in self.train:
            digest.update(image.tobytes())
        return digest.hexdigest()


def read_frames(
    train: Sequence[str],
    validation: Sequence[str],
    input_size: tuple[int, int],
    images: int,
    validation_images: int,
) -> UnlabelledFrames:
    """Read sources, each once: the last tenth of those to learn from, and all others, are for validation.

    At most ``images`` and ``validation_images`` are taken of each source.
    """
    taken: list[UInt8Array] = []
    sequences: list[ValidationSequence] = []
    for spec, learns in (*((spec, True) for spec in train), *((spec, False) for spec in validation)):
        with open_images(spec) as source:
            found, sequence = split_source(source, input_size, images, validation_images, learns=learns)
        taken += found
        sequences.append(sequence)
    return UnlabelledFrames(tuple(taken), tuple(sequences))


def split_source(
    source: Source, input_size: tuple[int, int], images: int, validation_images: int, *, learns: bool = True
) -> tuple[list[UInt8Array], ValidationSequence]:
    """Take images at equal distances to learn from, and validation frames behind them."""
    info = source.info
    if not info.frame_count or info.frame_count < (2 if learns else 1):
        raise InvalidInputError(
            f"{info.name} has {info.frame_count or 'an unknown number of'} frames: give a video or a folder "
            "of images, so that a tenth can be for validation"
        )
    split = validation_start(info.frame_count) if learns else 0
    step = max(1, math.ceil(split / images))
    validation_step = min(VALIDATION_STEP, max(1, (info.frame_count - split) // validation_images))
    taken: list[UInt8Array] = []
    frames: list[Frame] = []
    for position, frame in enumerate(source):  # the index of a sequence's frames may have gaps
        height, width = frame.image.shape[:2]
        letterbox = Letterbox((width, height), input_size)  # photos of a folder differ in size
        if position < split:
            if position % step == 0:
                taken.append(shrink(frame.image, letterbox))
        elif (position - split) % validation_step == 0:
            frames.append(Frame(letterbox.apply(frame.image), frame.index, frame.time_s))
        if len(frames) == validation_images:
            break
    first = Letterbox(info.frame_size, input_size)
    return taken, ValidationSequence(info.name, info.frame_rate, first, tuple(frames))


def validation_start(count: int) -> int:
    """Return where the last tenth of so many begins."""
    return count - max(1, round(VALIDATION_SHARE * count))


def letterbox_images(frames: UnlabelledFrames, input_size: tuple[int, int], count: int) -> UInt8Array:
    """Letterbox images to learn from, evenly spread over all: uint8 (N, H, W, 3), BGR."""
    step = max(1, len(frames.train) // count)
    chosen = frames.train[::step][:count]
    return np.stack([Letterbox((p.shape[1], p.shape[0]), input_size).apply(p) for p in chosen])
