"""Overlap of boxes."""

from __future__ import annotations

import numpy as np

from edge_fairmot.types import Float64Array


def iou_inclusive(a: Float64Array, b: Float64Array) -> Float64Array:
    """Intersection over union of every pair, counting pixels inclusively.

    A box from 0 to 9 is ten pixels wide: the convention of the original tracker (``cython_bbox``).

    Parameters
    ----------
    a : float64 (M, 4)
        xyxy.
    b : float64 (N, 4)
        xyxy, same frame.

    Returns
    -------
    float64 (M, N)
        In [0, 1].
    """
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    side = np.maximum(high - low + 1, 0)
    overlap: Float64Array = side[..., 0] * side[..., 1]
    area_a = np.prod(a[:, 2:] - a[:, :2] + 1, axis=1)
    area_b = np.prod(b[:, 2:] - b[:, :2] + 1, axis=1)
    union: Float64Array = area_a[:, None] + area_b[None] - overlap
    return overlap / np.maximum(union, np.finfo(np.float64).tiny)
