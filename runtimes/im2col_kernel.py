"""``DeformIm2col`` for OpenVINO's CPU device: a sampling kernel that numba compiles on first use.

A tap reads four neighbouring cells. With channels last each cell is a run of memory, and vector instructions
mix the four over the channels. In the planar layout of the runtimes' own operators every value is gathered by
itself. Where the next operator reads int8, the kernel rounds what it samples, a row at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import floor
from threading import Lock
from typing import Any, TypeAlias

import numba
import numpy as np
from numpy.typing import NDArray
from openvino import Op, PartialShape, Type

from edge_fairmot.types import Float32Array

TAPS = 9
"""Samples of a 3x3 kernel."""

_Inputs: TypeAlias = tuple[Float32Array, Float32Array, Float32Array]
"""Image, offset and mask."""

_Outputs: TypeAlias = tuple[Float32Array, NDArray[np.int8]]
"""Columns in float32, and in int8; one of them is empty."""

_one_at_a_time = Lock()
"""Some thread pools of numba end the process when two threads call them."""


LOWEST, HIGHEST = np.float32(-128), np.float32(127)

ROUNDER = np.float32(1.5 * 2**23)
"""A small number is rounded when this is added and taken away again."""


class DeformIm2colKernel(Op):  # type: ignore[misc]
    """OpenVINO operator: float32 (N, H, W, C), (N, H, W, 18 or more), (N, H, W, 9 or more) to (N, H, W, 9 C).

    The inputs are image, offset and mask, the offsets in the first channels and the mask in the last ones.
    OpenVINO itself makes the operator without inputs and fills it in. ``threads`` 0 means all. The output is
    int8 in steps of ``scale``; float32 if that is 0.
    """

    def __init__(self, inputs: Any = None, threads: int = 0, scale: float = 0.0) -> None:
        super().__init__(self)
        self._attributes: dict[str, Any] = {"threads": threads, "scale": scale}
        if inputs is not None:
            self.set_arguments(inputs)
            self.constructor_validate_and_infer_types()

    def validate_and_infer_types(self) -> None:
        """Set type and shape of the output."""
        *outer, channels = (size.get_length() for size in self.get_input_partial_shape(0))
        kind = Type.i8 if self._attributes["scale"] else Type.f32
        self.set_output_type(0, kind, PartialShape([*outer, TAPS * channels]))

    def clone_with_new_inputs(self, new_inputs: Any) -> DeformIm2colKernel:
        """Return the same operator on other inputs."""
        return DeformIm2colKernel(new_inputs, **self._attributes)

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
            sample_taps(image, offset, mask, columns, **self._attributes)
        return True


def sample_taps(
    image: Float32Array,
    offset: Float32Array,
    mask: Float32Array,
    columns: Float32Array | NDArray[np.int8],
    *,
    threads: int = 0,
    scale: float = 0.0,
) -> None:
    """Sample the nine moved taps of every cell.

    Parameters
    ----------
    image : float32 (H, W, C)
    offset : float32 (H, W, 18 or more)
        In cells, (dy, dx) of each tap in the first channels; taps in row-major order.
    mask : float32 (H, W, 9 or more)
        In the last channels.
    columns : float32 or int8 (H, W, 9 C)
        Output: for each cell one tap after the other, each with all channels.
    threads : int
        0 means all.
    scale : float
        Step of an int8 output; 0 for float32.
    """
    available: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    threads = min(threads or available, available)
    exact, rounded = np.empty((0, 0, 0), np.float32), np.empty((0, 0, 0), np.int8)
    outputs = (exact, columns) if scale else (columns, rounded)
    inverse = np.float32(1 / scale if scale else 0)
    if threads == 1:
        # Beside OpenVINO's TBB on one processor, numba's thread pool hangs, so it is not used here.
        _sample_serially((image, offset, mask), outputs, inverse)
        return
    with _one_at_a_time:
        numba.set_num_threads(threads)
        _sample_in_parallel((image, offset, mask), outputs, inverse)


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
            y = row + tap // 3 - 1 + offset[row, col, 2 * tap]
            x = col + tap % 3 - 1 + offset[row, col, 2 * tap + 1]
            top, left = floor(y), floor(x)
            low_y, low_x = np.float32(y - top), np.float32(x - left)
            high_y, high_x = np.float32(1.0) - low_y, np.float32(1.0) - low_x
            share = mask[row, col, tap - TAPS]
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
            column = columns[col, tap * channels : (tap + 1) * channels]
            for c in range(channels):
                column[c] = w00 * p00[c] + w01 * p01[c] + w10 * p10[c] + w11 * p11[c]


@_compiled
def _round_row(values: Float32Array, steps: NDArray[np.int8], inverse: np.float32) -> None:
    """Divide by the scale, to the nearest step, ties to even, as QuantizeLinear does."""
    for col in range(values.shape[0]):
        for n in range(values.shape[1]):
            value = inverse * values[col, n]
            value = value if value < HIGHEST else HIGHEST
            value = value if value > LOWEST else LOWEST
            steps[col, n] = np.int8((value + ROUNDER) - ROUNDER)


@_compiled
def _write_row(inputs: _Inputs, outputs: _Outputs, inverse: np.float32, row: int) -> None:
    image, offset, mask = inputs
    exact, rounded = outputs
    if inverse > 0:
        # A row is small enough for the cache, and the float values of the whole map are not.
        values = np.empty((rounded.shape[1], rounded.shape[2]), np.float32)
        _sample_row(image, offset, mask, values, row)
        _round_row(values, rounded[row], inverse)
    else:
        _sample_row(image, offset, mask, exact[row], row)


@_compiled
def _sample_serially(inputs: _Inputs, outputs: _Outputs, inverse: np.float32) -> None:
    for row in range(inputs[0].shape[0]):
        _write_row(inputs, outputs, inverse, row)


@partial(_compiled, parallel=True)
def _sample_in_parallel(inputs: _Inputs, outputs: _Outputs, inverse: np.float32) -> None:
    for row in numba.prange(inputs[0].shape[0]):
        _write_row(inputs, outputs, inverse, row)
