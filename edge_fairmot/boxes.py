"""Overlap of boxes in xyxy: intersection over union (IoU) of every pair."""

from __future__ import annotations

import numpy as np

from edge_fairmot.types import Float64Array


def iou(a: Float64Array, b: Float64Array) -> Float64Array:
    """IoU of boxes whose corners are edges, float64 (M, 4) and (N, 4) -> (M, N): TrackEval's convention."""
    return _overlap_share(a, b, pixel=0)


def iou_inclusive(a: Float64Array, b: Float64Array) -> Float64Array:
    """IoU of boxes whose corners are pixels, float64 (M, 4) and (N, 4) -> (M, N).

    A box from 0 to 9 is ten pixels wide: the convention of the original tracker (``cython_bbox``).
    """
    return _overlap_share(a, b, pixel=1)


def _overlap_share(a: Float64Array, b: Float64Array, pixel: int) -> Float64Array:
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    side = np.maximum(high - low + pixel, 0)
    overlap: Float64Array = side[..., 0] * side[..., 1]
    area_a = np.prod(a[:, 2:] - a[:, :2] + pixel, axis=1)
    area_b = np.prod(b[:, 2:] - b[:, :2] + pixel, axis=1)
    union: Float64Array = area_a[:, None] + area_b[None] - overlap
    return overlap / np.maximum(union, np.finfo(np.float64).tiny)
