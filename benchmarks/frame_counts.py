"""MOTA and IDF1 as sums over frames: for intervals, and on devices without TrackEval.

The arithmetic is TrackEval's, and a test holds it to TrackEval's figures. Kept frame by frame, the counts can
be resampled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_fairmot.benchmarks.mot_text import MotRows
from edge_fairmot.benchmarks.peak_matching import iou
from edge_fairmot.tracking.association import UNMATCHED, assign
from edge_fairmot.types import Float64Array, Int64Array

MIN_OVERLAP = 0.5 - np.finfo(np.float64).eps
"""Boxes that overlap less are not matched; TrackEval allows for rounding too."""

CONTINUITY = 1000.0
"""CLEAR keeps a pair of the frame before at any price: more than all overlaps of a frame together."""


@dataclass(frozen=True, slots=True)
class FrameCounts:
    """What MOTA and IDF1 are made of, frame by frame.

    Attributes
    ----------
    truth, results : int64 (F,)
        Boxes.
    matched : int64 (F,)
        Pairs of boxes, by CLEAR's matching.
    switches : int64 (F,)
        Matched boxes whose identity was matched with another when it was last matched.
    identified : int64 (F,)
        Pairs of boxes whose identities belong together over the whole sequence.
    """

    truth: Int64Array
    results: Int64Array
    matched: Int64Array
    switches: Int64Array
    identified: Int64Array

    def __len__(self) -> int:
        return len(self.truth)

    def at(self, frames: Int64Array) -> FrameCounts:
        """Select frames, some perhaps more than once."""
        return FrameCounts(
            self.truth[frames],
            self.results[frames],
            self.matched[frames],
            self.switches[frames],
            self.identified[frames],
        )

    @property
    def mota(self) -> float:
        """CLEAR accuracy: 1 less misses, false boxes and switches as a share of the truth's boxes."""
        truth, results, matched = int(self.truth.sum()), int(self.results.sum()), int(self.matched.sum())
        return (2 * matched - results - int(self.switches.sum())) / max(truth, 1)

    @property
    def idf1(self) -> float:
        """Identity F1."""
        boxes = int(self.truth.sum()) + int(self.results.sum())
        return 2 * int(self.identified.sum()) / max(boxes, 1)


def joined(parts: list[FrameCounts]) -> FrameCounts:
    """Put sequences one after the other."""
    return FrameCounts(
        *(
            np.concatenate([getattr(part, name) for part in parts] or [np.zeros(0, np.int64)])
            for name in ("truth", "results", "matched", "switches", "identified")
        )
    )


def count_by_frame(results: MotRows, truth: MotRows, num_frames: int) -> FrameCounts:
    """Compare tracks with ground truth, or with the tracks of another model.

    Parameters
    ----------
    results, truth : MotRows
        Frames from 1 to ``num_frames``.
    num_frames : int

    Returns
    -------
    FrameCounts
    """
    truth_ids, truth_index = np.unique(truth.track_id, return_inverse=True)
    result_ids, result_index = np.unique(results.track_id, return_inverse=True)
    overlaps = np.zeros((len(truth_ids), len(result_ids)), np.int64)
    last_partner = np.full(len(truth_ids), UNMATCHED)
    partner_before = last_partner.copy()
    matched, switches = np.zeros((2, num_frames), np.int64)
    pairs_of_frame: dict[int, tuple[Int64Array, Int64Array]] = {}
    for frame in np.intersect1d(truth.frame, results.frame).tolist():
        truth_rows = np.flatnonzero(truth.frame == frame)
        result_rows = np.flatnonzero(results.frame == frame)
        ours, theirs = truth_index[truth_rows], result_index[result_rows]
        overlap = iou(truth.xyxy[truth_rows], results.xyxy[result_rows])
        rows, columns = np.nonzero(overlap >= MIN_OVERLAP)
        pairs_of_frame[frame - 1] = ours[rows], theirs[columns]
        overlaps[ours[rows], theirs[columns]] += 1

        score = np.where(overlap >= MIN_OVERLAP, overlap, 0.0)
        score[(partner_before[ours, None] == theirs) & (score > 0)] += CONTINUITY
        rows, columns = _best_pairs(score)
        ours, theirs = ours[rows], theirs[columns]
        matched[frame - 1] = len(rows)
        switches[frame - 1] = ((last_partner[ours] != UNMATCHED) & (last_partner[ours] != theirs)).sum()
        last_partner[ours] = theirs
        partner_before[:] = UNMATCHED
        partner_before[ours] = theirs
    return FrameCounts(
        truth=np.bincount(truth.frame - 1, minlength=num_frames),
        results=np.bincount(results.frame - 1, minlength=num_frames),
        matched=matched,
        switches=switches,
        identified=_identified(overlaps, pairs_of_frame, num_frames),
    )


def _identified(
    overlaps: Int64Array, pairs_of_frame: dict[int, tuple[Int64Array, Int64Array]], num_frames: int
) -> Int64Array:
    """Count pairs of identities that belong together: those that together share the most boxes."""
    chosen = np.zeros(overlaps.shape, np.bool_)
    chosen[_best_pairs(overlaps.astype(np.float64))] = True
    counts = np.zeros(num_frames, np.int64)
    for frame, (ours, theirs) in pairs_of_frame.items():
        counts[frame] = chosen[ours, theirs].sum()
    return counts


def _best_pairs(score: Float64Array) -> tuple[Int64Array, Int64Array]:
    """Rows and columns, one to one, of the greatest sum; a pair of score 0 is none."""
    if not (score > 0).any():
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    nothing = 1.0 + float(score.max())
    column = assign(np.where(score > 0, nothing - score, np.inf), nothing)
    rows = np.flatnonzero(column != UNMATCHED)
    return rows, column[rows]
