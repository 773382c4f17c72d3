"""Which detection belongs to which track: FairMOT's three associations, and one more for low scores."""

from __future__ import annotations

from functools import partial

import lap
import numpy as np

from edge_fairmot.boxes import iou_inclusive
from edge_fairmot.tracking import kalman
from edge_fairmot.tracking.config import TrackerConfig
from edge_fairmot.tracking.tracks import Candidates, Roster
from edge_fairmot.types import BoolArray, Float32Array, Float64Array, Int64Array

UNMATCHED = -1
"""Stands where there is no track for a detection, or no detection for a track."""

SERIAL_PRODUCT_SIZE = 2**18
"""Multiplications up to which OpenBLAS does a matrix product without waking its threads. Beside a network
that keeps all cores busy they cost a scheduler's slice: measured 16 ms in place of 0.1 at 100 people."""


def associate(roster: Roster, candidates: Candidates, config: TrackerConfig) -> Int64Array:
    """Match detections with tracks that were moved to the same moment. Never across classes.

    Parameters
    ----------
    roster : Roster
    candidates : Candidates
    config : TrackerConfig

    Returns
    -------
    int64 (N,)
        Row of the track of each detection, or ``UNMATCHED``.
    """
    in_view, firm = roster.confirmed & ~roster.lost, candidates.score > config.score_threshold
    stages = (
        (roster.confirmed, firm, partial(appearance_cost, config=config), config.embedding_limit),
        (in_view, firm, overlap_cost, config.iou_limit),
        (in_view, ~firm, overlap_cost, config.iou_limit),
        (~roster.confirmed, firm, overlap_cost, config.unconfirmed_iou_limit),
    )
    row_of = np.full(len(candidates), UNMATCHED)
    matched = np.zeros(len(roster), np.bool_)
    for eligible, offered, cost_between, limit in stages:
        rows = np.flatnonzero(eligible & ~matched)
        columns = np.flatnonzero(offered & (row_of == UNMATCHED))
        if not len(rows) or not len(columns):
            continue
        cost = cost_between(roster, rows, candidates, columns)
        cost[roster.class_id[rows, None] != candidates.class_id[columns]] = np.inf
        chosen = assign(cost, limit)
        rows, columns = rows[chosen != UNMATCHED], columns[chosen[chosen != UNMATCHED]]
        row_of[columns] = rows
        matched[rows] = True
    return row_of


def assign(cost: Float64Array, limit: float) -> Int64Array:
    """Choose pairs of least total cost, where leaving a row and a column unmatched costs ``limit``.

    This is not the same as solving first and dropping pairs above the limit after: a pair just below it
    may be given up so that two others can be matched.

    Parameters
    ----------
    cost : float64 (M, N)
        Infinite where a pair is not allowed. Neither side may be empty.
    limit : float

    Returns
    -------
    int64 (M,)
        Column of each row, or ``UNMATCHED``.
    """
    _, column_of, _ = lap.lapjv(cost, extend_cost=True, cost_limit=limit)
    return np.asarray(column_of, np.int64)


def appearance_cost(
    roster: Roster, rows: Int64Array, candidates: Candidates, columns: Int64Array, config: TrackerConfig
) -> Float64Array:
    """Cosine distance mixed with the gating distance, infinite outside the gate.

    Parameters
    ----------
    roster, candidates : Roster, Candidates
    rows, columns : int64 (K,), int64 (L,)
        Which of them.
    config : TrackerConfig

    Returns
    -------
    float64 (K, L)
    """
    cost = cosine_distance(roster.feature[rows], candidates.feature[columns])
    distance = kalman.gating_distance(roster.motion[:, rows], candidates.xyah[columns])
    cost *= 1 - config.motion_weight
    cost += config.motion_weight * distance
    cost[distance > config.gating_limit] = np.inf
    return cost


def overlap_cost(
    roster: Roster, rows: Int64Array, candidates: Candidates, columns: Int64Array
) -> Float64Array:
    """One minus IoU, float64 (K, L), of the tracks ``rows`` and the detections ``columns``."""
    return 1 - iou_inclusive(roster.xyxy(rows), candidates.xyxy[columns])


def cosine_distance(a: Float32Array, b: Float32Array) -> Float64Array:
    """One minus the cosine of every pair, computed in float64 and not below zero.

    Parameters
    ----------
    a : float32 (M, D)
    b : float32 (N, D)

    Returns
    -------
    float64 (M, N)
        In [0, 2].
    """
    # Unit norm in float32 is 1e-7 off in float64.
    a_wide, b_wide = a.astype(np.float64), b.astype(np.float64)
    cosine = np.empty((len(a), len(b)))
    step = max(1, SERIAL_PRODUCT_SIZE // max(1, b.size))
    for start in range(0, len(a), step):
        block = slice(start, start + step)
        np.matmul(a_wide[block], b_wide.T, out=cosine[block])
    cosine /= _norm(a_wide)[:, None]
    cosine /= _norm(b_wide)
    return np.maximum(1 - cosine, 0, out=cosine)


def duplicates(roster: Roster, limit: float, *, spare_hidden: bool = False) -> BoolArray:
    """Find tracked and lost tracks that lie on one another: one object with two identities.

    Every such pair names its younger, for a track named twice is no reason to keep another. Of two that
    are equally old the tracked one is named, as in the original.

    Parameters
    ----------
    roster : Roster
    limit : float
        Two tracks nearer than this (1 - IoU) are one object.
    spare_hidden : bool
        Whether those are two that were in view together.

    Returns
    -------
    bool (M,)
        Which should go.
    """
    named = np.zeros(len(roster), np.bool_)
    tracked, lost = np.flatnonzero(~roster.lost), np.flatnonzero(roster.lost)
    if not len(tracked) or not len(lost):
        return named
    same = 1 - iou_inclusive(roster.xyxy(tracked), roster.xyxy(lost)) < limit
    same &= roster.class_id[tracked, None] == roster.class_id[lost]
    if spare_hidden:
        same &= roster.started[tracked, None] > roster.matched[lost]
    age = roster.matched - roster.started
    tracked_is_older = age[tracked, None] > age[lost]
    named[tracked] = (same & ~tracked_is_older).any(axis=1)
    named[lost] = (same & tracked_is_older).any(axis=0)
    return named


def _norm(feature: Float64Array) -> Float64Array:
    # Not zero: opposite features can blend to nothing, and nothing is at distance 1 from all.
    norm: Float64Array = np.sqrt(np.einsum("nd,nd->n", feature, feature))
    return np.maximum(norm, np.finfo(np.float64).tiny)
