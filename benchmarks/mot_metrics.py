"""HOTA, CLEAR MOT and identity metrics of one sequence, and of several together.

They are computed from overlaps and ids alone, and equal TrackEval's to rounding; the tests compare them.

- HOTA: Luiten et al., "HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking", IJCV 2021.
- CLEAR: Bernardin and Stiefelhagen, "Evaluating Multiple Object Tracking Performance", 2008.
- Identity: Ristani et al., "Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking",
  2016.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from edge_fairmot.errors import MissingDependencyError
from edge_fairmot.types import Float64Array, Int64Array

ALPHAS = np.arange(0.05, 0.99, 0.05)
"""Overlaps at which HOTA is computed; its mean over them is reported."""

THRESHOLD = 0.5
"""Least overlap of a match, of CLEAR and Identity."""

EPSILON = float(np.finfo(np.float64).eps)

STAYS = 1000.0
"""Weight of a pair that was matched in the frame before: more than all overlaps of a frame."""


@dataclass(frozen=True, slots=True)
class AlignedSequence:
    """Ground truth and results of a sequence, frame by frame.

    Ids are numbered from 0 without gaps; ``overlaps`` are IoU (M, N). Frames without a box may be left out.
    """

    num_frames: int
    num_truth_ids: int
    num_track_ids: int
    truth_ids: Sequence[Int64Array]
    track_ids: Sequence[Int64Array]
    overlaps: Sequence[Float64Array]

    @property
    def truth_counts(self) -> Int64Array:
        """Boxes of each true identity."""
        return _count(self.truth_ids, self.num_truth_ids)

    @property
    def track_counts(self) -> Int64Array:
        """Boxes of each track."""
        return _count(self.track_ids, self.num_track_ids)


@dataclass(frozen=True, slots=True)
class Counts:
    """What the figures are made of; the sum of two sequences' counts gives the figures of both."""

    true_positives: Float64Array  # (19,), at each alpha
    associated: Float64Array  # (19,), true positives times their association accuracy
    overlap: Float64Array  # (19,), of the true positives
    truth_boxes: int
    track_boxes: int
    tp: int  # at THRESHOLD
    overlap_sum: float
    idsw: int
    frag: int
    mt: int
    pt: int
    ml: int
    idtp: int

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))

    def figures(self) -> Mapping[str, float]:
        """Return ratios and counts by the names of :class:`~edge_fairmot.benchmarks.accuracy.Accuracy`."""
        tp, truth, tracks = self.true_positives, self.truth_boxes, self.track_boxes
        deta = tp / np.maximum(1, truth + tracks - tp)
        assa = self.associated / np.maximum(1, tp)
        ratios: dict[str, Any] = {
            "hota": np.mean(np.sqrt(deta * assa)),
            "deta": np.mean(deta),
            "assa": np.mean(assa),
            "loca": np.mean(np.maximum(1e-10, self.overlap) / np.maximum(1e-10, tp)),
            "mota": (self.tp - (tracks - self.tp) - self.idsw) / max(1, truth),
            "motp": self.overlap_sum / max(1, self.tp),
            "recall": self.tp / max(1, truth),
            "precision": self.tp / max(1, tracks),
            "idf1": self.idtp / max(1, (truth + tracks) / 2),
            "idr": self.idtp / max(1, truth),
            "idp": self.idtp / max(1, tracks),
        }
        counts = {"tp": self.tp, "fp": tracks - self.tp, "fn": truth - self.tp}
        counts |= {name: getattr(self, name) for name in ("idsw", "frag", "mt", "pt", "ml")}
        return {**{name: float(value) for name, value in ratios.items()}, **counts}


def count(sequence: AlignedSequence) -> Counts:
    """Count the matches of a sequence by the three metrics."""
    return Counts(
        **_count_hota(sequence),
        truth_boxes=int(sequence.truth_counts.sum()),
        track_boxes=int(sequence.track_counts.sum()),
        **_count_clear(sequence),
        idtp=_count_identity(sequence),
    )


def _count_hota(sequence: AlignedSequence) -> dict[str, Any]:
    """Match once a frame, by overlap times how well two identities fit over the sequence (equation 7)."""
    truth_counts, track_counts = sequence.truth_counts[:, None], sequence.track_counts[None]
    shared = np.zeros((sequence.num_truth_ids, sequence.num_track_ids))
    for truth, tracks, overlap in _frames(sequence):
        union = overlap.sum(axis=0)[None] + overlap.sum(axis=1)[:, None] - overlap
        shared[np.ix_(truth, tracks)] += np.divide(
            overlap, union, out=np.zeros_like(overlap), where=union > EPSILON
        )
    alignment = shared / (truth_counts + track_counts - shared)
    matches = np.zeros((len(ALPHAS), *shared.shape))
    overlaps = np.zeros(len(ALPHAS))
    for truth, tracks, overlap in _frames(sequence):
        rows, columns = best_assignment(alignment[np.ix_(truth, tracks)] * overlap)
        found = overlap[rows, columns]
        for number, alpha in enumerate(ALPHAS):
            matched = found >= alpha - EPSILON
            matches[number, truth[rows[matched]], tracks[columns[matched]]] += 1
            overlaps[number] += found[matched].sum()
    accuracy = matches / np.maximum(1, truth_counts + track_counts - matches)
    return {
        "true_positives": matches.sum(axis=(1, 2)),
        "associated": (matches * accuracy).sum(axis=(1, 2)),
        "overlap": overlaps,
    }


def _count_clear(sequence: AlignedSequence) -> dict[str, Any]:
    """Match frame by frame; a pair of the frame before stays matched while it overlaps enough."""
    nobody = -1
    last, before = np.full((2, sequence.num_truth_ids), nobody)
    matched_frames, stretches = np.zeros((2, sequence.num_truth_ids), np.int64)
    tp, idsw, overlap_sum = 0, 0, 0.0
    for truth, tracks, overlap in _frames(sequence):
        stays = tracks[None] == before[truth][:, None]
        score = np.where(overlap >= THRESHOLD - EPSILON, STAYS * stays + overlap, 0.0)
        rows, columns = best_assignment(score)
        found = score[rows, columns] > EPSILON
        rows, columns = rows[found], columns[found]
        who, whom = truth[rows], tracks[columns]
        idsw += int(((last[who] != nobody) & (last[who] != whom)).sum())
        matched_frames[who] += 1
        stretches[who] += before[who] == nobody
        last[who] = whom
        before[:] = nobody
        before[who] = whom
        tp += len(who)
        overlap_sum += float(overlap[rows, columns].sum())
    share = matched_frames / np.maximum(1, sequence.truth_counts)
    mostly, partly = int((share > 0.8).sum()), int((share >= 0.2).sum())
    return {
        "tp": tp,
        "overlap_sum": overlap_sum,
        "idsw": idsw,
        "frag": int(np.maximum(0, stretches - 1).sum()),
        "mt": mostly,
        "pt": partly - mostly,
        "ml": sequence.num_truth_ids - partly,
    }


def _count_identity(sequence: AlignedSequence) -> int:
    """Return the boxes that agree where each identity has one track at most: the best such assignment."""
    agreeing = np.zeros((sequence.num_truth_ids, sequence.num_track_ids))
    for truth, tracks, overlap in _frames(sequence):
        agreeing[np.ix_(truth, tracks)] += overlap >= THRESHOLD - EPSILON
    return int(agreeing[best_assignment(agreeing)].sum())


def _frames(sequence: AlignedSequence) -> list[tuple[Int64Array, Int64Array, Float64Array]]:
    """Return the frames with boxes on both sides."""
    frames = zip(sequence.truth_ids, sequence.track_ids, sequence.overlaps, strict=True)
    return [frame for frame in frames if len(frame[0]) and len(frame[1])]


def best_assignment(score: Float64Array) -> tuple[Int64Array, Int64Array]:
    """Return rows and columns of the assignment with the greatest total score, (M, N).

    By SciPy, as in TrackEval: of two assignments that are equally good the same one is chosen.
    """
    try:
        from scipy.optimize import linear_sum_assignment  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingDependencyError("scipy", "eval", "to score tracks") from error
    rows, columns = linear_sum_assignment(score, maximize=True)
    return rows, columns


def _count(ids: Sequence[Int64Array], size: int) -> Int64Array:
    return np.bincount(np.concatenate([np.zeros(0, np.int64), *ids]), minlength=size)
