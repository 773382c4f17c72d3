"""How far MOTA and IDF1 would move on other footage of the same kind: intervals by moving blocks.

Frames are resampled in blocks of about a second, drawn with their own order from each sequence (Künsch 1989;
circular, so that every frame is drawn equally often), because neighbouring frames err alike. Which identity
is whose stays as it was found on the whole sequence, so the interval of IDF1 is given that assignment, and
a little narrow. With a few blocks to a sequence, as on the TUD ones, intervals are rough.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edge_fairmot.benchmarks.frame_counts import FrameCounts, joined
from edge_fairmot.types import Float64Array, Int64Array

RESAMPLES = 2000
"""The ends of a 95 % interval then rest on 50 resamples each."""

BLOCK_S = 1.0
"""Seconds a block: a person walks through an occlusion in about that."""

COVERAGE = 0.95

MIN_BLOCKS = 5
"""Of fewer, resamples are mostly the footage itself again, and the interval narrower than the truth."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Where 95 % of the resamples lie.

    Attributes
    ----------
    low, high : float
    """

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Intervals:
    """Of one figure, for both models, and of their difference on the same resamples.

    Attributes
    ----------
    reference, candidate : Interval
    difference : Interval
        Candidate less reference.
    """

    reference: Interval
    candidate: Interval
    difference: Interval


def bootstrap(
    reference: Sequence[FrameCounts],
    candidate: Sequence[FrameCounts],
    frame_rates: Sequence[float],
    seed: int = 0,
) -> dict[str, Intervals]:
    """Resample both models' counts against the same ground truth.

    Parameters
    ----------
    reference, candidate : sequence of FrameCounts
        One a sequence, of the same frames.
    frame_rates : sequence of float
        Frames per second of each.
    seed : int

    Returns
    -------
    dict of str to Intervals
        ``mota`` and ``idf1``, over all sequences together; empty for footage of under ``MIN_BLOCKS`` blocks.
    """
    blocks = [max(1, round(rate * BLOCK_S)) for rate in frame_rates]
    if sum(len(counts) / block for counts, block in zip(reference, blocks, strict=True)) < MIN_BLOCKS:
        return {}
    generator = np.random.default_rng(seed)
    # All of a draw's sequences end to end; the offset of each says where its frames are.
    offsets = np.cumsum([0, *(len(counts) for counts in reference)])[:-1]
    sides = joined(list(reference)), joined(list(candidate))
    figures: dict[str, Callable[[FrameCounts], float]] = {
        "mota": lambda counts: counts.mota,
        "idf1": lambda counts: counts.idf1,
    }
    drawn: dict[str, list[tuple[float, float]]] = {name: [] for name in figures}
    for _ in range(RESAMPLES):
        frames = np.concatenate(
            [
                offset + _draw_frames(len(counts), block, generator)
                for offset, counts, block in zip(offsets, reference, blocks, strict=True)
            ]
        )
        ours, theirs = (side.at(frames) for side in sides)
        for name, figure in figures.items():
            drawn[name].append((figure(ours), figure(theirs)))
    return {name: _intervals(np.array(values)) for name, values in drawn.items()}


def _draw_frames(count: int, block: int, generator: np.random.Generator) -> Int64Array:
    starts = generator.integers(0, count, -(-count // block))
    return ((starts[:, None] + np.arange(block)) % count).reshape(-1)[:count].astype(np.int64)


def _intervals(values: Float64Array) -> Intervals:
    reference, candidate = values.T
    return Intervals(_interval(reference), _interval(candidate), _interval(candidate - reference))


def _interval(values: Float64Array) -> Interval:
    tail = (1 - COVERAGE) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return Interval(float(low), float(high))
