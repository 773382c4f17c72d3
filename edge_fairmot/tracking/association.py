"""Costs between tracks and detections, linear assignment, and duplicate tracks."""

from __future__ import annotations

import lap
import numpy as np

from edge_fairmot.boxes import iou_inclusive
from edge_fairmot.tracking import kalman
from edge_fairmot.tracking.config import TrackerConfig
from edge_fairmot.tracking.tracks import Measurements, TrackTable
from edge_fairmot.types import BoolArray, Float32Array, Float64Array, Int64Array

UNMATCHED = -1
"""Index of the track of an unmatched detection, and of the detection of an unmatched track."""

SERIAL_PRODUCT_SIZE = 2**18
"""Multiplications up to which OpenBLAS computes a matrix product without waking its threads. While a network
keeps all cores busy, waking them costs a scheduler's slice: measured 16 ms instead of 0.1 at 100 people."""


def embedding_cost(tracks: TrackTable, measured: Measurements, config: TrackerConfig) -> Float64Array:
    """Cost of the first association, (M, N): embedding distance fused with the gating distance.

    Infinite outside the gate. FairMOT's ``embedding_distance`` and ``fuse_motion``. Detections without
    embeddings, (N, 0), are compared by overlap: at half of 1 - IoU FairMOT's limit of 0.4 is ByteTrack's of
    0.8.
    """
    if measured.embedding.shape[1]:
        cost = cosine_distance(tracks.embedding, measured.embedding)
    else:
        cost = iou_cost(tracks, measured) / 2
    distance = kalman.gating_distance(tracks.motion, measured.xyah)
    cost *= config.lambda_
    cost += (1 - config.lambda_) * distance
    cost[distance > config.gating_limit] = np.inf
    return cost


def iou_cost(tracks: TrackTable, measured: Measurements) -> Float64Array:
    """Cost of the other associations, (M, N): 1 - IoU."""
    return 1 - iou_inclusive(tracks.xyxy, measured.xyxy)


def assign(cost: Float64Array, thresh: float) -> Int64Array:
    """Return the column of each row, or ``UNMATCHED``, that minimises the total cost: linear assignment.

    ``cost`` is float64 (M, N), infinite where a pair is not allowed; M and N are not 0. A row and a column
    that stay unmatched cost ``thresh`` together. This differs from solving first and dropping the pairs above
    ``thresh``: a pair just below it may be given up for two other pairs.
    """
    _, column_of, _ = lap.lapjv(cost, extend_cost=True, cost_limit=thresh)
    return np.asarray(column_of, np.int64)


def cosine_distance(a: Float32Array, b: Float32Array) -> Float64Array:
    """Return 1 - cosine of every pair, at least 0: float32 (M, D) and (N, D) -> float64 (M, N)."""
    # Computed in float64, with the norms: unit norm in float32 has an error of 1e-7.
    a_wide, b_wide = a.astype(np.float64), b.astype(np.float64)
    cosine = np.empty((len(a), len(b)))
    step = max(1, SERIAL_PRODUCT_SIZE // max(1, b.size))
    for start in range(0, len(a), step):
        block = slice(start, start + step)
        np.matmul(a_wide[block], b_wide.T, out=cosine[block])
    cosine /= _norm(a_wide)[:, None]
    cosine /= _norm(b_wide)
    return np.maximum(1 - cosine, 0, out=cosine)


def duplicates(tracks: TrackTable, config: TrackerConfig) -> BoolArray:
    """Mark duplicates, bool (M,): of a tracked and a lost track on one object, the one of shorter life.

    On a tie the tracked one is marked, as in FairMOT. A track that one pair has marked still takes part in
    other pairs.
    """
    marked = np.zeros(len(tracks), np.bool_)
    tracked, lost = np.flatnonzero(~tracks.lost), np.flatnonzero(tracks.lost)
    if not len(tracked) or not len(lost):
        return marked
    xyxy = tracks.xyxy
    same = 1 - iou_inclusive(xyxy[tracked], xyxy[lost]) < config.duplicate_iou_distance
    same &= tracks.class_id[tracked, None] == tracks.class_id[lost]
    if config.keep_occluded:
        same &= tracks.start_frame[tracked, None] > tracks.last_update[lost]
    life = tracks.last_update - tracks.start_frame
    tracked_is_longer = life[tracked, None] > life[lost]
    marked[tracked] = (same & ~tracked_is_longer).any(axis=1)
    marked[lost] = (same & tracked_is_longer).any(axis=0)
    return marked


def _norm(embedding: Float64Array) -> Float64Array:
    # Opposite embeddings can average to zero. A positive norm makes the distance of such an embedding 1.
    norm: Float64Array = np.sqrt(np.einsum("nd,nd->n", embedding, embedding))
    return np.maximum(norm, np.finfo(np.float64).tiny)
