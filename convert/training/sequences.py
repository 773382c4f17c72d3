"""Sequences whose truth is known: frames at equal distances, and who is in them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from edge_fairmot.convert.footage import first_held_out, shrink
from edge_fairmot.convert.training.labelled import LabelledPicture, LabelledSet
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.letterbox import Letterbox
from edge_fairmot.protocols import Source
from edge_fairmot.types import BoolArray, Float32Array, Int64Array

JPEG_QUALITY = 95


@dataclass(frozen=True, slots=True)
class FrameLabels:
    """Who is in a frame.

    Attributes
    ----------
    xyxy : float32 (N, 4)
        Source pixels; may go beyond the picture.
    identity : int64 (N,)
        As the sequence numbers people.
    counted : bool (N,)
        False for who is not to be scored.
    """

    xyxy: Float32Array
    identity: Int64Array
    counted: BoolArray


def read_sequence(
    source: Source,
    labels: Callable[[int], FrameLabels],
    input_size: tuple[int, int],
    pictures: int,
    held_out: int,
) -> LabelledSet:
    """Read a sequence once; the last tenth is held out.

    Parameters
    ----------
    source : Source
    labels : callable
        Says who is in a frame, from its index.
    input_size : (int, int)
        Width and height of the network's input, pixels: frames are kept no larger than useful for it.
    pictures, held_out : int
        How many are taken at most, at equal distances.

    Raises
    ------
    InvalidInputError
        If the source has no end, or is too short to be split.
    SourceError
        If it cannot be read.
    """
    info = source.info
    count = info.frame_count
    if not count or count < 2:
        raise InvalidInputError(
            f"{info.name} has {count or 'an unknown number of'} frames: give a sequence of which a tenth can "
            "be held out, as in synthetic:frames=500"
        )
    split = first_held_out(count)
    learnt_step, judged_step = math.ceil(split / pictures), math.ceil((count - split) / held_out)
    numbers: dict[int, int] = {}
    learnt: list[LabelledPicture] = []
    judged: list[LabelledPicture] = []
    letterbox = Letterbox(info.frame_size, input_size)
    width, height = info.frame_size
    for frame in source:
        learns = frame.index < split
        if (frame.index if learns else frame.index - split) % (learnt_step if learns else judged_step):
            continue
        found = labels(frame.index)
        picture = LabelledPicture(
            name=f"{info.name}, frame {frame.index + 1}",
            encoded=cv2.imencode(
                ".jpg", shrink(frame.image, letterbox), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
            )[1].tobytes(),
            xyxy=(found.xyxy / (width, height, width, height)).astype(np.float32),
            # A sequence's own numbers may have gaps, and start anywhere.
            identity=np.array(
                [numbers.setdefault(n, len(numbers)) for n in found.identity.tolist()], np.int64
            ),
            counted=found.counted,
            time_s=frame.time_s,
        )
        (learnt if learns else judged).append(picture)
    return LabelledSet(tuple(learnt), tuple(judged), len(numbers))
