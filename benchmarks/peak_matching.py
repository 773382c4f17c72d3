"""Which peak of one model is which peak of another, and which of them are beyond doubt."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from edge_fairmot.benchmarks.observation import TIE
from edge_fairmot.boxes import iou_inclusive
from edge_fairmot.tracking.association import UNMATCHED, assign
from edge_fairmot.types import (
    BoolArray,
    Float32Array,
    Float64Array,
    Int64Array,
    RawDetections,
)

MIN_IOU = 0.5
"""Boxes that overlap less are two objects: MOTChallenge's rule."""


@dataclass(frozen=True, slots=True)
class Peaks:
    """Detections of one picture that are worth comparing.

    Attributes
    ----------
    xyxy : float64 (N, 4)
        Input pixels; with width and height.
    score : float32 (N,)
    class_id : int64 (N,)
    embedding : float32 (N, D)
    """

    xyxy: Float64Array
    score: Float32Array
    class_id: Int64Array
    embedding: Float32Array

    def __len__(self) -> int:
        return len(self.score)

    def select(self, keep: BoolArray) -> Peaks:
        """Rows where ``keep``, bool (N,), is true."""
        return Peaks(self.xyxy[keep], self.score[keep], self.class_id[keep], self.embedding[keep])


@dataclass(frozen=True, slots=True)
class PeakMatch:
    """The peaks of one picture, matched.

    Attributes
    ----------
    reference, candidate : Peaks
        All whose score is above the threshold less the margin.
    pairs : int64 (P, 2)
        Rows of the reference and of the candidate that are one object.
    iou : float64 (P,)
    sure_reference, sure_candidate : bool (N,)
        Whose score is above the threshold plus the margin.
    tied : bool (P,)
        Pairs in which the candidate's peak is a neighbouring cell that ties with the reference's.
    """

    reference: Peaks
    candidate: Peaks
    pairs: Int64Array
    iou: Float64Array
    sure_reference: BoolArray
    sure_candidate: BoolArray
    tied: BoolArray

    @property
    def missed(self) -> BoolArray:
        """Sure peaks of the reference that the candidate lacks, bool (N,)."""
        return self.sure_reference & ~_marked(len(self.reference), self.pairs[:, 0])

    @property
    def extra(self) -> BoolArray:
        """Sure peaks of the candidate that the reference lacks, bool (N,)."""
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
        """Scores (reference, candidate) of the pairs that are tied."""
        return [
            (float(self.reference.score[a]), float(self.candidate.score[b])) for a, b in self.pairs[self.tied]
        ]

    def undecided(self) -> list[tuple[float | None, float | None]]:
        """Scores (reference, candidate) of what is too near the threshold, a pair once; None: not there."""
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
    """Match the detections of one picture.

    Both sides take part with every peak that is above ``threshold - margin``. Those above
    ``threshold + margin`` are sure: one of them that has no partner is missed or extra. Those between count
    neither way, but may be the partner of a sure one. Boxes without width or height, which the tracker passes
    over, are no peaks.

    Parameters
    ----------
    reference, candidate : RawDetections
        N is 1.
    threshold, margin : float
        Of scores.

    Returns
    -------
    PeakMatch
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
    """Put the neighbour that ties with a peak in its place, where it is the one that the candidate found.

    Rounding decides which of two neighbouring cells of one score is the peak. Either is right, but their
    boxes and embeddings are those of two cells.

    Parameters
    ----------
    match : PeakMatch
    tied : RawDetections
        Of the reference: peaks and the neighbours that tie with them.

    Returns
    -------
    PeakMatch
        With :attr:`PeakMatch.tied` and the overlaps of the neighbours.
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
    """Match boxes one to one, so that the sum of overlaps is the greatest. Never across classes.

    Parameters
    ----------
    a, b : float64 (M, 4), (N, 4)
        xyxy, same frame.
    a_class, b_class : int64 (M,), (N,)

    Returns
    -------
    pairs : int64 (P, 2)
        Rows of ``a`` and ``b`` that overlap by at least ``MIN_IOU``.
    iou : float64 (P,)
    """
    if not len(a) or not len(b):
        return np.zeros((0, 2), np.int64), np.zeros(0)
    overlap = iou(a, b)
    cost = np.where((overlap >= MIN_IOU) & (a_class[:, None] == b_class), 1 - overlap, np.inf)
    if not np.isfinite(cost).any():
        return np.zeros((0, 2), np.int64), np.zeros(0)
    # No partner costs as much as no overlap: so the least cost is the greatest sum of overlaps.
    column = assign(cost, 1.0)
    rows = np.flatnonzero(column != UNMATCHED)
    pairs = np.stack([rows, column[rows]], axis=1).astype(np.int64)
    return pairs, overlap[pairs[:, 0], pairs[:, 1]]


def iou(a: Float64Array, b: Float64Array) -> Float64Array:
    """Intersection over union of every pair of boxes that name edges, float64 (M, N)."""
    # The tracker's IoU counts the last pixel in; one pixel less on that side is the continuous one.
    last_pixel = np.array([0.0, 0.0, 1.0, 1.0])
    overlap: Float64Array = iou_inclusive(a - last_pixel, b - last_pixel)
    return overlap


def _peaks_above(raw: RawDetections, lowest: float) -> Peaks:
    xyxy = raw.boxes[0].astype(np.float64)
    keep = (raw.scores[0] > lowest) & (xyxy[:, 2:] > xyxy[:, :2]).all(axis=1)
    return Peaks(xyxy, raw.scores[0], raw.class_ids[0], raw.embeddings[0]).select(keep)


def _marked(count: int, rows: Int64Array) -> BoolArray:
    marked = np.zeros(count, np.bool_)
    marked[rows] = True
    return marked
