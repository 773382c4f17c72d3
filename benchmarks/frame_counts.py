"""MOTA and IDF1 as sums over frames, and their 95 % intervals by resampling those frames.

The arithmetic is TrackEval's, and a test compares the two. It needs no TrackEval, so a device without it can
use these figures.

Intervals show how far MOTA and IDF1 would move on other frames of the same kind. Frames are resampled in
blocks of about a second, separately for each sequence, because neighbouring frames have similar errors
(Künsch 1989; circular, so that every frame is drawn equally often). The assignment of identities stays as it
was found on the whole sequence, so the interval of IDF1 is a little narrow. With few blocks a sequence, as on
the TUD ones, intervals are rough.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edge_fairmot.benchmarks.mot_text import MotRows
from edge_fairmot.boxes import iou
from edge_fairmot.tracking.association import UNMATCHED, assign
from edge_fairmot.types import Float64Array, Int64Array, Table

MIN_OVERLAP = 0.5 - np.finfo(np.float64).eps
"""Boxes of a smaller IoU are not matched; TrackEval allows for rounding too."""

CONTINUITY = 1000.0
"""CLEAR keeps the pairs of the frame before: this bonus is more than all overlaps of a frame together."""

RESAMPLES = 2000
"""The ends of a 95 % interval rest on 50 resamples each."""

BLOCK_S = 1.0
"""Seconds a block: about the time of one occlusion."""

COVERAGE = 0.95

MIN_BLOCKS = 5
"""With fewer blocks, resamples are mostly the measured frames again, and the interval is too narrow."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % interval."""

    low: float
    high: float

    @classmethod
    def of(cls, values: Float64Array) -> Interval:
        """Return the interval of the middle 95 % of resampled figures."""
        low, high = np.quantile(values, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
        return cls(float(low), float(high))


@dataclass(frozen=True, slots=True)
class Intervals:
    """Intervals of one figure for both models, and of candidate less reference on the same resamples."""

    reference: Interval
    candidate: Interval
    difference: Interval


@dataclass(frozen=True, slots=True)
class FrameCounts(Table):
    """The counts of each frame that MOTA and IDF1 are made of, int64 (F,) each."""

    truth: Int64Array  # boxes
    results: Int64Array
    matched: Int64Array  # pairs of boxes, by CLEAR's matching
    switches: Int64Array  # matched boxes whose last partner was another identity
    identified: Int64Array  # pairs of boxes whose identities belong together over the whole sequence

    @classmethod
    def of(cls, numbers: Mapping[str, Sequence[int]]) -> FrameCounts:
        """Return counts from plain numbers, as :meth:`to_numbers` returns them."""
        return cls(*(np.array(numbers[name], np.int64) for name in cls.__slots__))

    def to_numbers(self) -> dict[str, tuple[int, ...]]:
        """Return counts as plain numbers, for a file."""
        return {name: tuple(map(int, getattr(self, name))) for name in self.__slots__}

    @property
    def boxes(self) -> int:
        """Boxes of both sides."""
        return int(self.truth.sum() + self.results.sum())

    @property
    def idsw(self) -> int:
        """Identity switches."""
        return int(self.switches.sum())

    @property
    def fp(self) -> int:
        """False boxes."""
        return int(self.results.sum() - self.matched.sum())

    @property
    def fn(self) -> int:
        """Missed boxes."""
        return int(self.truth.sum() - self.matched.sum())

    @property
    def mota(self) -> float:
        """CLEAR accuracy: 1 less misses, false boxes and switches as a share of the truth's boxes."""
        truth = int(self.truth.sum())
        return (truth - self.fn - self.fp - self.idsw) / max(truth, 1)

    @property
    def idf1(self) -> float:
        """Identity F1."""
        return 2 * int(self.identified.sum()) / max(self.boxes, 1)


def count_by_frame(results: MotRows, truth: MotRows, num_frames: int) -> FrameCounts:
    """Return the counts of frames 1 to ``num_frames``, against ground truth or another model's tracks."""
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

    # Two identities belong together where all such pairs share the most boxes.
    belong = np.zeros(overlaps.shape, np.bool_)
    belong[_best_pairs(overlaps.astype(np.float64))] = True
    identified = np.zeros(num_frames, np.int64)
    for frame, pairs in pairs_of_frame.items():
        identified[frame] = belong[pairs].sum()
    return FrameCounts(
        truth=np.bincount(truth.frame - 1, minlength=num_frames),
        results=np.bincount(results.frame - 1, minlength=num_frames),
        matched=matched,
        switches=switches,
        identified=identified,
    )


def _best_pairs(score: Float64Array) -> tuple[Int64Array, Int64Array]:
    """Return rows and columns, one to one, of the greatest sum of scores; a score of 0 is no pair."""
    if not (score > 0).any():
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    unmatched_cost = 1.0 + float(score.max())
    column = assign(np.where(score > 0, unmatched_cost - score, np.inf), unmatched_cost)
    rows = np.flatnonzero(column != UNMATCHED)
    return rows, column[rows]


def bootstrap(
    reference: Sequence[FrameCounts],
    candidate: Sequence[FrameCounts],
    frame_rates: Sequence[float],
    seed: int = 0,
) -> dict[str, Intervals]:
    """Return the intervals of ``mota`` and ``idf1`` over all sequences, for two models on the same frames.

    Empty where the sequences have fewer than ``MIN_BLOCKS`` blocks in all.
    """
    blocks = [max(1, round(rate * BLOCK_S)) for rate in frame_rates]
    if sum(len(counts) / block for counts, block in zip(reference, blocks, strict=True)) < MIN_BLOCKS:
        return {}
    generator = np.random.default_rng(seed)
    offsets = np.cumsum([0, *(len(counts) for counts in reference)])[:-1]
    sides = FrameCounts.concat(reference), FrameCounts.concat(candidate)
    drawn: dict[str, list[tuple[float, ...]]] = {"mota": [], "idf1": []}
    for _ in range(RESAMPLES):
        frames = np.concatenate(
            [
                offset + _draw_frames(len(counts), block, generator)
                for offset, counts, block in zip(offsets, reference, blocks, strict=True)
            ]
        )
        resampled = [side[frames] for side in sides]
        for name, values in drawn.items():
            values.append(tuple(getattr(counts, name) for counts in resampled))
    return {name: _intervals(np.array(values)) for name, values in drawn.items()}


def _draw_frames(count: int, block: int, generator: np.random.Generator) -> Int64Array:
    starts = generator.integers(0, count, -(-count // block))
    return ((starts[:, None] + np.arange(block)) % count).reshape(-1)[:count].astype(np.int64)


def _intervals(values: Float64Array) -> Intervals:
    reference, candidate = values.T
    return Intervals(Interval.of(reference), Interval.of(candidate), Interval.of(candidate - reference))
