"""Peaks of two models in one frame: which are the same object, and how the pairs agree over all frames."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from edge_fairmot.benchmarks.observation import TIE
from edge_fairmot.boxes import iou
from edge_fairmot.tracking.association import UNMATCHED, assign
from edge_fairmot.types import (
    BoolArray,
    Float32Array,
    Float64Array,
    Int64Array,
    RawDetections,
    Table,
)

MIN_IOU = 0.5
"""Boxes of a smaller IoU are two objects: MOTChallenge's rule."""


@dataclass(frozen=True, slots=True)
class Peaks(Table):
    """Detections of one frame that take part in a comparison."""

    xyxy: Float64Array  # (N, 4), input pixels; width and height are positive
    score: Float32Array  # (N,)
    class_id: Int64Array  # (N,)
    embedding: Float32Array  # (N, D)


@dataclass(frozen=True, slots=True)
class PeakMatch:
    """The matched peaks of one frame.

    Both sides hold every peak that scores more than the threshold less the margin. A peak above the threshold
    plus the margin is sure; the others are undecided.
    """

    reference: Peaks
    candidate: Peaks
    pairs: Int64Array  # (P, 2), rows of the reference and of the candidate that are one object
    iou: Float64Array  # (P,)
    sure_reference: BoolArray  # (N,)
    sure_candidate: BoolArray  # (N,)
    tied: BoolArray  # (P,), the candidate's peak is a neighbouring cell that ties with the reference's

    @property
    def missed(self) -> BoolArray:
        """Sure peaks of the reference without a partner, bool (N,)."""
        return self.sure_reference & ~_marked(len(self.reference), self.pairs[:, 0])

    @property
    def extra(self) -> BoolArray:
        """Sure peaks of the candidate without a partner, bool (N,)."""
        return self.sure_candidate & ~_marked(len(self.candidate), self.pairs[:, 1])

    @property
    def cosine(self) -> Float64Array:
        """Cosine of the embeddings of every pair, float64 (P,)."""
        ours = self.reference.embedding[self.pairs[:, 0]].astype(np.float64)
        theirs = self.candidate.embedding[self.pairs[:, 1]].astype(np.float64)
        norm = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
        return np.asarray((ours * theirs).sum(axis=1) / np.maximum(norm, np.finfo(np.float64).tiny))

    @property
    def score_shift(self) -> Float64Array:
        """Candidate's score less the reference's of every pair, float64 (P,)."""
        ours, theirs = self.pairs.T
        shift: Float64Array = self.candidate.score[theirs].astype(np.float64) - self.reference.score[ours]
        return shift

    def tied_scores(self) -> list[tuple[float, float]]:
        """Return the scores (reference, candidate) of the pairs that are tied."""
        return [
            (float(self.reference.score[a]), float(self.candidate.score[b])) for a, b in self.pairs[self.tied]
        ]

    def undecided(self) -> list[tuple[float | None, float | None]]:
        """Return (reference, candidate) scores of undecided objects; None where a side has no peak."""
        unsure_ours, unsure_theirs = ~self.sure_reference, ~self.sure_candidate
        scores: list[tuple[float | None, float | None]] = [
            (float(self.reference.score[a]), float(self.candidate.score[b]))
            for a, b in self.pairs
            if unsure_ours[a] or unsure_theirs[b]
        ]
        alone = unsure_ours & ~_marked(len(self.reference), self.pairs[:, 0])
        scores += [(float(score), None) for score in self.reference.score[alone]]
        alone = unsure_theirs & ~_marked(len(self.candidate), self.pairs[:, 1])
        return scores + [(None, float(score)) for score in self.candidate.score[alone]]


def match_peaks(
    reference: RawDetections, candidate: RawDetections, threshold: float, margin: float
) -> PeakMatch:
    """Match the detections of one frame (N is 1).

    A sure peak without a partner is missed or extra. An undecided peak counts neither way, but may be the
    partner of a sure one. Boxes without width or height are no peaks: the tracker ignores them.
    """
    ours, theirs = (_peaks_above(raw, threshold - margin) for raw in (reference, candidate))
    pairs, overlap = match_boxes(ours.xyxy, ours.class_id, theirs.xyxy, theirs.class_id)
    return PeakMatch(
        reference=ours,
        candidate=theirs,
        pairs=pairs,
        iou=overlap,
        sure_reference=ours.score > threshold + margin,
        sure_candidate=theirs.score > threshold + margin,
        tied=np.zeros(len(pairs), np.bool_),
    )


def settle_ties(match: PeakMatch, tied: RawDetections) -> PeakMatch:
    """Replace a peak of the reference by a tied neighbour where the candidate found that neighbour.

    Rounding decides which of two neighbouring cells of one score is the peak. Both are right, but they have
    different boxes and embeddings. ``tied`` holds the reference's peaks and the neighbours that tie with
    them.
    """
    near = _peaks_above(tied, 0.0)
    if not len(match.pairs) or not len(near):
        return match
    rows, columns = match.pairs.T
    overlap = iou(match.candidate.xyxy[columns], near.xyxy)
    shift = np.abs(near.score - match.reference.score[rows][:, None])
    overlap[(shift > TIE) | (near.class_id != match.reference.class_id[rows][:, None])] = 0.0
    best = overlap.argmax(axis=1)
    best_overlap = overlap.max(axis=1)
    is_tied = best_overlap > match.iou
    xyxy, embedding = match.reference.xyxy.copy(), match.reference.embedding.copy()
    xyxy[rows[is_tied]] = near.xyxy[best[is_tied]]
    embedding[rows[is_tied]] = near.embedding[best[is_tied]]
    return replace(
        match,
        reference=replace(match.reference, xyxy=xyxy, embedding=embedding),
        iou=np.maximum(match.iou, best_overlap),
        tied=is_tied,
    )


def match_boxes(
    a: Float64Array, a_class: Int64Array, b: Float64Array, b_class: Int64Array
) -> tuple[Int64Array, Float64Array]:
    """Return the pairs of the greatest sum of IoU, int64 (P, 2), and their IoU, float64 (P,).

    Boxes (M, 4) and (N, 4) are matched one to one, never across classes, and from ``MIN_IOU`` on.
    """
    if not len(a) or not len(b):
        return np.zeros((0, 2), np.int64), np.zeros(0)
    overlap = iou(a, b)
    cost = np.where((overlap >= MIN_IOU) & (a_class[:, None] == b_class), 1 - overlap, np.inf)
    if not np.isfinite(cost).any():
        return np.zeros((0, 2), np.int64), np.zeros(0)
    # An unmatched box costs as much as no overlap, so the least cost is the greatest sum of overlaps.
    column = assign(cost, 1.0)
    rows = np.flatnonzero(column != UNMATCHED)
    pairs = np.stack([rows, column[rows]], axis=1).astype(np.int64)
    return pairs, overlap[pairs[:, 0], pairs[:, 1]]


def _peaks_above(raw: RawDetections, lowest: float) -> Peaks:
    xyxy = raw.boxes[0].astype(np.float64)
    keep = (raw.scores[0] > lowest) & (xyxy[:, 2:] > xyxy[:, :2]).all(axis=1)
    return Peaks(xyxy, raw.scores[0], raw.class_ids[0], raw.embeddings[0])[keep]


def _marked(count: int, rows: Int64Array) -> BoolArray:
    marked = np.zeros(count, np.bool_)
    marked[rows] = True
    return marked


@dataclass(frozen=True, slots=True)
class PeakFigures:
    """Agreement of peaks over all frames. Only sure peaks count; a share of nothing is None."""

    recall: float | None  # share of the reference's peaks that the candidate has
    precision: float | None  # share of the candidate's peaks that the reference has
    reference_peaks: int
    candidate_peaks: int
    missed: int
    extra: int
    undecided: int  # objects too near the score threshold to count
    tied: int  # pairs of two neighbouring cells of one score
    matched: int  # pairs, undecided ones included: boxes, embeddings and the score shift are of these
    score_shift_mean: float | None  # candidate's score less the reference's
    score_shift_std: float | None


@dataclass(frozen=True, slots=True)
class AgreementFigures:
    """Mean and least IoU or cosine of pairs; None where there is no pair."""

    mean: float | None
    least: float | None


class PeakStatistics:
    """Sums up the matched peaks of one frame after the other."""

    def __init__(self) -> None:
        self._reference = self._candidate = self._missed = self._extra = 0
        self._undecided = self._tied = 0
        self._shift, self._iou, self._cosine = _Spread(), _Spread(), _Spread()

    def add(self, match: PeakMatch) -> None:
        """Add one frame."""
        self._reference += int(match.sure_reference.sum())
        self._candidate += int(match.sure_candidate.sum())
        self._missed += int(match.missed.sum())
        self._extra += int(match.extra.sum())
        self._undecided += len(match.undecided())
        self._tied += int(match.tied.sum())
        self._shift.add(match.score_shift)
        self._iou.add(match.iou)
        self._cosine.add(match.cosine)

    def peaks(self) -> PeakFigures:
        """Return the agreement of the peaks."""
        return PeakFigures(
            recall=_share(self._reference - self._missed, self._reference),
            precision=_share(self._candidate - self._extra, self._candidate),
            reference_peaks=self._reference,
            candidate_peaks=self._candidate,
            missed=self._missed,
            extra=self._extra,
            undecided=self._undecided,
            tied=self._tied,
            matched=self._iou.count,
            score_shift_mean=self._shift.mean,
            score_shift_std=self._shift.deviation,
        )

    def boxes(self) -> AgreementFigures:
        """Return the IoU of matched peaks."""
        return AgreementFigures(self._iou.mean, self._iou.least)

    def embeddings(self) -> AgreementFigures:
        """Return the cosine of matched peaks."""
        return AgreementFigures(self._cosine.mean, self._cosine.least)


class _Spread:
    """Count, mean, deviation and least of numbers that come in parts."""

    def __init__(self) -> None:
        self.count = 0
        self._total = self._squares = 0.0
        self._least = np.inf

    def add(self, values: Float64Array) -> None:
        self.count += values.size
        self._total += float(values.sum())
        self._squares += float((values**2).sum())
        self._least = float(np.minimum(self._least, values.min(initial=np.inf)))

    @property
    def mean(self) -> float | None:
        return self._total / self.count if self.count else None

    @property
    def least(self) -> float | None:
        return self._least if self.count else None

    @property
    def deviation(self) -> float | None:
        if not self.count:
            return None
        return float(np.sqrt(max(self._squares / self.count - (self._total / self.count) ** 2, 0.0)))


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
