"""``DeformIm2col`` for OpenVINO's CPU device: a sampling kernel that numba compiles on first use.

A tap reads four neighbouring cells. With channels last each cell is a run of memory, and vector instructions
mix the four over the channels. In the planar layout of the runtimes' own operators every value is gathered by
itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import floor
from threading import Lock
from typing import Any

import numba
import numpy as np
from openvino import Op, PartialShape, Type

from edge_fairmot.types import Float32Array

TAPS = 9
"""Samples of a 3x3 kernel."""

_one_at_a_time = Lock()
"""Some thread pools of numba end the process when two threads call them."""


class DeformIm2colKernel(Op):  # type: ignore[misc]
    """OpenVINO operator: float32 (N, H, W, C), (N, 18, H, W) and (N, 9, H, W) to (N, H, W, 9 C).

    The inputs are image, offset and mask. OpenVINO itself makes the operator without inputs and fills it in.
    ``threads`` 0 means all.
    """

    def __init__(self, inputs: Any = None, threads: int = 0) -> None:
        super().__init__(self)
        self._attributes = {"threads": threads}
        if inputs is not None:
            self.set_arguments(inputs)
            self.constructor_validate_and_infer_types()

    def validate_and_infer_types(self) -> None:
        """Set type and shape of the output."""
        *outer, channels = (size.get_length() for size in self.get_input_partial_shape(0))
        self.set_output_type(0, Type.f32, PartialShape([*outer, TAPS * channels]))

    def clone_with_new_inputs(self, new_inputs: Any) -> DeformIm2colKernel:
        """Return the same operator on other inputs."""
        return DeformIm2colKernel(new_inputs, self._attributes["threads"])

    def visit_attributes(self, visitor: Any) -> bool:
        """Save or load the attributes that a compiled model keeps."""
        visitor.on_attributes(self._attributes)
        return True

    def has_evaluate(self) -> bool:
        """Declare that :meth:`evaluate` computes the operator."""
        return True

    def evaluate(self, outputs: Any, inputs: Any) -> bool:
        """Compute the output."""
        images, offsets, masks = (tensor.data for tensor in inputs)
        for image, offset, mask, columns in zip(images, offsets, masks, outputs[0].data, strict=True):
            sample_taps(image, offset, mask, columns, self._attributes["threads"])
        return True


def sample_taps(
    image: Float32Array, offset: Float32Array, mask: Float32Array, columns: Float32Array, threads: int = 0
) -> None:
    """Sample the nine moved taps of every cell.

    Parameters
    ----------
    image : float32 (H, W, C)
    offset : float32 (18, H, W)
        In cells, (dy, dx) of each tap; taps in row-major order.
    mask : float32 (9, H, W)
    columns : float32 (H, W, 9 C)
        Output: for each cell one tap after the other, each with all channels.
    threads : int
        0 means all.
    """
    available: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    threads = min(threads or available, available)
    if threads == 1:
        # Beside OpenVINO's TBB on one processor, numba's thread pool hangs, so it is not used here.
        _sample_serially(image, offset, mask, columns)
        return
    with _one_at_a_time:
        numba.set_num_threads(threads)
        _sample_in_parallel(image, offset, mask, columns)


def _compiled(function: Callable[..., None], *, parallel: bool = False) -> Any:
    compile_it = partial(
        numba.njit, parallel=parallel, nogil=True, error_model="numpy", fastmath={"contract"}
    )
    try:
        return compile_it(cache=True)(function)
    except RuntimeError:
        # No folder for the cache, as in a service that can write neither here nor in its home.
        return compile_it()(function)


@_compiled
def _sample_row(
    image: Float32Array, offset: Float32Array, mask: Float32Array, columns: Float32Array, row: int
) -> None:
    height, width, channels = image.shape
    for col in range(width):
        for tap in range(TAPS):
            y = row + tap // 3 - 1 + offset[2 * tap, row, col]
            x = col + tap % 3 - 1 + offset[2 * tap + 1, row, col]
            top, left = floor(y), floor(x)
            low_y, low_x = np.float32(y - top), np.float32(x - left)
            high_y, high_x = np.float32(1.0) - low_y, np.float32(1.0) - low_x
            share = mask[tap, row, col]
            # Each corner outside the image counts as zero.
            above, below = 0 <= top < height, -1 <= top < height - 1
            before, behind = 0 <= left < width, -1 <= left < width - 1
            w00 = share * high_y * high_x if above and before else np.float32(0.0)
            w01 = share * high_y * low_x if above and behind else np.float32(0.0)
            w10 = share * low_y * high_x if below and before else np.float32(0.0)
            w11 = share * low_y * low_x if below and behind else np.float32(0.0)
            row0, row1 = min(max(top, 0), height - 1), min(max(top + 1, 0), height - 1)
            col0, col1 = min(max(left, 0), width - 1), min(max(left + 1, 0), width - 1)
            p00, p01 = image[row0, col0], image[row0, col1]
            p10, p11 = image[row1, col0], image[row1, col1]
            column = columns[row, col, tap * channels : (tap + 1) * channels]
            for c in range(channels):
                column[c] = w00 * p00[c] + w01 * p01[c] + w10 * p10[c] + w11 * p11[c]


@_compiled
def _sample_serially(
    image: Float32Array, offset: Float32Array, mask: Float32Array, columns: Float32Array
) -> None:
    for row in range(image.shape[0]):
        _sample_row(image, offset, mask, columns, row)


@partial(_compiled, parallel=True)
def _sample_in_parallel(
    image: Float32Array, offset: Float32Array, mask: Float32Array, columns: Float32Array
) -> None:
    for row in numba.prange(image.shape[0]):
        _sample_row(image, offset, mask, columns, row)
