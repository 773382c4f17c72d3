"""The sampling of a deformable convolution on channels-last pictures, compiled on first use by numba.

A tap reads four neighbouring cells. With channels last each is a run of memory, and the four are mixed by
vector instructions over channels; in the planar layout, which the operators of runtimes work on, every value
is gathered by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import floor
from threading import Lock
from typing import Any

import numba
import numpy as np

from edge_fairmot.types import Float32Array

TAPS = 9

_one_at_a_time = Lock()
"""Not every thread pool that numba may find bears calls from two threads: one ends the process."""


def sample_taps(
    picture: Float32Array, offset: Float32Array, mask: Float32Array, columns: Float32Array, threads: int = 0
) -> None:
    """Sample every cell's nine moving taps.

    On one thread numba's pool is left alone: with OpenVINO's TBB and one processor it never ends, and neither
    does the process.

    Parameters
    ----------
    picture : float32 (H, W, C)
    offset : float32 (18, H, W)
        In cells, (dy, dx) a tap, taps in row-major order.
    mask : float32 (9, H, W)
    columns : float32 (H, W, 9 C)
        Written: of each cell the taps one after the other, each with all channels.
    threads : int
        How many it may use; 0 for all.
    """
    available: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    threads = min(threads or available, available)
    if threads == 1:
        _sample_in_turn(picture, offset, mask, columns)
        return
    with _one_at_a_time:
        numba.set_num_threads(threads)
        _sample_at_once(picture, offset, mask, columns)


def _compiled(function: Callable[..., None], *, parallel: bool = False) -> Any:
    compile_it = partial(
        numba.njit, parallel=parallel, nogil=True, error_model="numpy", fastmath={"contract"}
    )
    try:
        return compile_it(cache=True)(function)
    except RuntimeError:
        # A service has no place to keep it, where neither this folder nor its home can be written.
        return compile_it()(function)


@_compiled
def _sample_row(
    picture: Float32Array, offset: Float32Array, mask: Float32Array, columns: Float32Array, row: int
) -> None:
    height, width, channels = picture.shape
    for col in range(width):
        for tap in range(TAPS):
            y = row + tap // 3 - 1 + offset[2 * tap, row, col]
            x = col + tap % 3 - 1 + offset[2 * tap + 1, row, col]
            top, left = floor(y), floor(x)
            low_y, low_x = np.float32(y - top), np.float32(x - left)
            high_y, high_x = np.float32(1.0) - low_y, np.float32(1.0) - low_x
            share = mask[tap, row, col]
            # Corner by corner: one outside of the picture counts as zero.
            above, below = 0 <= top < height, -1 <= top < height - 1
            before, behind = 0 <= left < width, -1 <= left < width - 1
            w00 = share * high_y * high_x if above and before else np.float32(0.0)
            w01 = share * high_y * low_x if above and behind else np.float32(0.0)
            w10 = share * low_y * high_x if below and before else np.float32(0.0)
            w11 = share * low_y * low_x if below and behind else np.float32(0.0)
            row0, row1 = min(max(top, 0), height - 1), min(max(top + 1, 0), height - 1)
            col0, col1 = min(max(left, 0), width - 1), min(max(left + 1, 0), width - 1)
            p00, p01 = picture[row0, col0], picture[row0, col1]
            p10, p11 = picture[row1, col0], picture[row1, col1]
            column = columns[row, col, tap * channels : (tap + 1) * channels]
            for c in range(channels):
                column[c] = w00 * p00[c] + w01 * p01[c] + w10 * p10[c] + w11 * p11[c]


@_compiled
def _sample_in_turn(
    picture: Float32Array, offset: Float32Array, mask: Float32Array, columns: Float32Array
) -> None:
    for row in range(picture.shape[0]):
        _sample_row(picture, offset, mask, columns, row)


@partial(_compiled, parallel=True)
def _sample_at_once(
    picture: Float32Array, offset: Float32Array, mask: Float32Array, columns: Float32Array
) -> None:
    for row in numba.prange(picture.shape[0]):
        _sample_row(picture, offset, mask, columns, row)
