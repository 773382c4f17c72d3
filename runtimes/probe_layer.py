"""One deformable convolution whose right answer is known: what ``edge-fairmot runtimes --probe`` runs.

Everything that it convolves comes from the picture, so that no runtime can compute it beforehand, and all of
it is of so few bits that float32 and bfloat16 alike hold it exactly: only the operator itself can err. Taps
reach from nowhere to far outside of the map, at whole and at broken distances; masks begin at 0.

The files ``probe_*.onnx`` hold this layer in each lowering, between the input and outputs of the graph
contract, so that any runtime can be asked: the layer's output is what they give as ``embeddings``. That alone
is not as the contract has it, for it is not of unit norm. ``edge_fairmot.convert.probe_files`` makes them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_fairmot.types import Float32Array, Float64Array, UInt8Array

LOWERINGS = ("native", "gridsample", "gather", "im2col")

TAPS, CHANNELS, OUTPUTS = 9, 32, 16
ROWS, COLUMNS = 40, 72
"""Of the map: that of stride 8 in a picture of 576x320."""

PLANES = 60
"""Two offsets and a mask a tap, the channels, and one of scores; a third of them in each colour."""

PICTURE_SIZE = (COLUMNS, PLANES // 3 * ROWS)
"""Width and height."""

REACHES = (0.0, 1 / 64, 1 / 64, 1 / 32, 1 / 32, 1 / 16, 1 / 16, 1 / 4, 1.0)
"""How many cells a step of the picture's 256 moves each tap: up to 0, 2, 2, 4, 4, 8, 8, 32 and 128."""


def probe_file(lowering: str) -> Path:
    """Find the file of a lowering."""
    return Path(__file__).with_name(f"probe_{lowering}.onnx")


def draw_picture() -> UInt8Array:
    """Draw the picture, uint8 (1, H, W, 3); the same everywhere and always."""
    width, height = PICTURE_SIZE
    return _draw(0, 1, height, width, 3).astype(np.uint8)


def draw_weights() -> tuple[Float32Array, Float32Array]:
    """Draw the kernel, float32 (O, C, 3, 3), and bias, float32 (O,); both in [-0.5, 0.5)."""
    kernel, bias = _draw(1, OUTPUTS, CHANNELS, 3, 3), _draw(2, OUTPUTS)
    return ((kernel - 128) / 256).astype(np.float32), ((bias - 128) / 256).astype(np.float32)


def _draw(seed: int, *shape: int) -> Float64Array:
    # The raw stream of a generator is what numpy promises never to change (NEP 19), not what it makes of it.
    raw = np.random.PCG64(seed).random_raw(int(np.prod(shape)))
    return (raw >> np.uint64(56)).astype(np.float64).reshape(shape)


def expected_output() -> Float64Array:
    """Compute the layer by its definition, in float64.

    Zhu et al., Deformable ConvNets v2 (CVPR 2019), eq. 1: each tap is a bilinear sample, a corner outside of
    the map counts as zero, and what it gives is masked, weighted and added up.

    Returns
    -------
    float64 (O, ROWS, COLUMNS)
    """
    planes = draw_picture()[0].transpose(2, 0, 1).reshape(PLANES, ROWS, COLUMNS).astype(np.float64)
    reach = np.repeat(REACHES, 2).reshape(-1, 1, 1)
    offset, mask = (planes[: 2 * TAPS] - 128) * reach, planes[2 * TAPS : 3 * TAPS] / 256
    features = (planes[3 * TAPS : 3 * TAPS + CHANNELS] - 128) / 128
    kernel, bias = (values.astype(np.float64) for values in draw_weights())
    rows, columns = np.mgrid[:ROWS, :COLUMNS]
    output = np.broadcast_to(bias.reshape(-1, 1, 1), (OUTPUTS, ROWS, COLUMNS))
    for tap in range(TAPS):
        y = rows + tap // 3 - 1 + offset[2 * tap]
        x = columns + tap % 3 - 1 + offset[2 * tap + 1]
        sample = mask[tap] * _bilinear(features, y, x)
        output = output + np.tensordot(kernel[:, :, tap // 3, tap % 3], sample, axes=1)
    return output


def _bilinear(features: Float64Array, y: Float64Array, x: Float64Array) -> Float64Array:
    """Sample (C, H, W) at the places y and x, (H', W') each: (C, H', W')."""
    height, width = features.shape[1:]
    sample = np.zeros((len(features), *y.shape))
    for corner_y in (np.floor(y), np.floor(y) + 1):
        for corner_x in (np.floor(x), np.floor(x) + 1):
            inside = (corner_y >= 0) & (corner_y < height) & (corner_x >= 0) & (corner_x < width)
            share = np.where(inside, (1 - abs(y - corner_y)) * (1 - abs(x - corner_x)), 0.0)
            at_y = np.clip(corner_y, 0, height - 1).astype(np.int64)
            at_x = np.clip(corner_x, 0, width - 1).astype(np.int64)
            sample += share * features[:, at_y, at_x]
    return sample
