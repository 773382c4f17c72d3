"""Figures of a measurement: percentiles with their intervals, memory's slope."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_fairmot.benchmarks.bootstrap import COVERAGE, MIN_BLOCKS, Interval
from edge_fairmot.benchmarks.speed.figures import FrameTimes, Live, Memory, Speed, Spread
from edge_fairmot.benchmarks.speed.rounds import Measurement
from edge_fairmot.pipeline import STAGES
from edge_fairmot.types import Float64Array, Int64Array

RESAMPLES = 1000

FRAMES_FOR_P99 = 100

SETTLED_FROM = 0.25
"""Of the run; before that, caches and arenas fill, which is no leak."""


def summarise(measurement: Measurement, origin_s: float) -> Speed:
    """Sum up what was measured of one contender.

    Parameters
    ----------
    measurement : Measurement
        Of at least one frame.
    origin_s : float
        Where its clock is taken to be 0.
    """
    timed = [(number, frame) for number, (block, _) in enumerate(measurement.blocks) for frame in block]
    times = FrameTimes(
        at_s=tuple(round(frame.at_s - origin_s, 4) for _, frame in timed),
        block=tuple(number for number, _ in timed),
        stage_ms={
            stage: tuple(frame.stage_ms[index] for _, frame in timed) for index, stage in enumerate(STAGES)
        },
        cpu_ms=tuple(frame.cpu_ms for _, frame in timed),
    )
    block, count = np.array(times.block), len(timed)
    pipelined, live, energy_j = measurement.pipelined, measurement.live, measurement.energy_j
    return Speed(
        times=times,
        stages={
            **{stage: spread(np.array(times.stage_ms[stage]), block) for stage in STAGES},
            "frame": spread(np.array(times.frame_ms), block),
        },
        throughput_fps=pipelined[0] / pipelined[1] if pipelined is not None else None,
        live=None
        if live is None or not live.age_ms
        # Ages are one series, cut into seconds' worth by number alone.
        else Live(live.played, len(live.age_ms), live.dropped, spread(np.array(live.age_ms), None)),
        open_ms=measurement.open_ms,
        first_ms=measurement.first_ms,
        memory=_memory(measurement),
        cpu_ms=float(np.mean(times.cpu_ms)),
        energy_j=energy_j / count if energy_j is not None else None,
    )


def spread(values_ms: Float64Array, block: Int64Array | None) -> Spread:
    """Percentiles of some times, and the interval of their median.

    Parameters
    ----------
    values_ms : float64 (N,)
    block : int64 (N,), optional
        Which turn each was measured in: neighbours share the machine's mood, so turns are resampled, not
        frames. Without it there is no interval.
    """
    p50, p90 = np.quantile(values_ms, [0.5, 0.9])
    enough = len(values_ms) >= FRAMES_FOR_P99
    return Spread(
        mean=float(values_ms.mean()),
        p50=float(p50),
        p90=float(p90),
        p99=float(np.quantile(values_ms, 0.99)) if enough else None,
        interval=None if block is None else _median_interval(values_ms, block),
    )


def _median_interval(values: Float64Array, block: Int64Array, seed: int = 0) -> Interval | None:
    parts = [values[block == number] for number in np.unique(block)]
    if len(parts) < MIN_BLOCKS:
        return None
    generator = np.random.default_rng(seed)
    draws = generator.integers(0, len(parts), (RESAMPLES, len(parts)))
    medians = [np.median(np.concatenate([parts[index] for index in draw])) for draw in draws]
    low, high = np.quantile(medians, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return Interval(float(low), float(high))


def _memory(measurement: Measurement) -> Memory:
    frames: Sequence[int] = np.cumsum([len(block) for block, _ in measurement.blocks]).tolist()
    resident = [megabytes for _, megabytes in measurement.blocks]
    settled = [index for index, done in enumerate(frames) if done >= SETTLED_FROM * frames[-1]]
    slope = None
    if len(settled) >= MIN_BLOCKS:
        slope = float(np.polyfit([frames[i] for i in settled], [resident[i] * 1024 for i in settled], 1)[0])
    # The peak is told by the process at its end; a run that was cut short has what was seen of it.
    peak_mb = max(measurement.peak_mb, *resident)
    return Memory(before_mb=measurement.before_mb, peak_mb=peak_mb, slope_kb_per_frame=slope)
