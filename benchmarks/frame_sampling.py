"""Frames spread over a source, for calibration."""

from __future__ import annotations

import numpy as np

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.letterbox import Letterbox
from edge_fairmot.protocols import Source
from edge_fairmot.types import UInt8Array


def sample_frames(source: Source, input_size: tuple[int, int], count: int) -> UInt8Array:
    """Take frames spread evenly over the whole; the first ones where the source does not know its length.

    Parameters
    ----------
    source : Source
        Read to its last frame taken.
    input_size : (int, int)
        Width and height, pixels.
    count : int
        At most.

    Returns
    -------
    uint8 (N, H, W, 3)
        BGR, letterboxed.
    """
    if count < 1:
        raise InvalidInputError(f"at least 1 frame must be sampled, not {count}")
    length = source.info.frame_count
    part = -1
    taken: list[UInt8Array] = []
    for frame in source:
        # The first frame of each of so many parts, whose lengths differ by one at most.
        before, part = part, frame.index * count // length if length else frame.index
        if part > before:
            height, width = frame.image.shape[:2]
            taken.append(Letterbox((width, height), input_size).apply(frame.image))
        if len(taken) == count:
            break
    return np.stack(taken) if taken else np.empty((0, *input_size[::-1], 3), np.uint8)
