"""Speed of one model on one runtime: every frame's times, percentiles, throughput, latency live, memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edge_fairmot.benchmarks.frame_counts import MIN_BLOCKS, Interval
from edge_fairmot.benchmarks.turns import Measurement
from edge_fairmot.benchmarks.worker import Start
from edge_fairmot.stages import STAGES
from edge_fairmot.types import Float64Array, Int64Array

RESAMPLES = 1000

FRAMES_FOR_P99 = 100

SETTLED_FROM = 0.25
"""Memory is checked after this share of a run: before it, caches and arenas fill, which is no leak."""


@dataclass(frozen=True, slots=True)
class FrameTimes:
    """Times of every frame, in the order of measurement."""

    at_s: tuple[float, ...]  # the frame's begin, since the begin of the measuring
    block: tuple[int, ...]  # frames of one block are consecutive; between blocks other pairs take their turns
    stage_ms: Mapping[str, tuple[float, ...]]  # by the names in STAGES, each stage alone
    cpu_ms: tuple[float, ...]  # processor time, over all threads

    def __len__(self) -> int:
        return len(self.at_s)

    @property
    def frame_ms(self) -> tuple[float, ...]:
        """Sum of all stages of each frame."""
        return tuple(map(sum, zip(*(self.stage_ms[stage] for stage in STAGES), strict=True)))


@dataclass(frozen=True, slots=True)
class Spread:
    """Distribution of times, milliseconds."""

    mean: float
    p50: float
    p90: float
    p99: float | None  # None below a hundred frames, of which it would be the largest
    interval: Interval | None  # of the median, by bootstrap over blocks; None for few blocks


@dataclass(frozen=True, slots=True)
class Throughput:
    """The pipeline, with overlapping stages, on a file: chunks of frames, measured in turns."""

    frames: tuple[int, ...]  # of each chunk
    seconds: tuple[float, ...]
    interval: Interval | None  # of the frame rate, by bootstrap over chunks; None for few chunks

    @property
    def fps(self) -> float:
        """Frames per second over all chunks."""
        return sum(self.frames) / sum(self.seconds)


@dataclass(frozen=True, slots=True)
class Live:
    """The pipeline on a source that plays at its own pace, as a camera does."""

    played: int  # frames of the source
    tracked: int
    dropped: int  # replaced by a newer frame
    age_ms: Spread  # from the moment of a frame to its tracks at the sinks


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory of the process."""

    before_mb: float  # with the toolkit loaded, before the runtime
    peak_mb: float
    slope_kb_per_frame: float | None  # by least squares over the measured frames; None for few frames


@dataclass(frozen=True, slots=True)
class Speed:
    """Speed of one model on one runtime."""

    times: FrameTimes
    stages: Mapping[str, Spread]  # by the names in STAGES, and "frame" for the sum
    throughput: Throughput | None  # None where it was not measured
    live: Live | None
    open_ms: float  # cold start: importing the runtime and opening the file
    first_ms: float  # the first inference after that
    memory: Memory
    cpu_ms: float  # processor time a frame, over all threads
    energy_j: float | None  # a frame


def summarize(measurement: Measurement, origin_s: float) -> Speed:
    """Return the speed from a measurement of at least one frame; times count from ``origin_s``."""
    timed = [(number, frame) for number, (block, _) in enumerate(measurement.blocks) for frame in block]
    times = FrameTimes(
        at_s=tuple(round(frame.at_s - origin_s, 4) for _, frame in timed),
        block=tuple(number for number, _ in timed),
        stage_ms={
            stage: tuple(frame.stage_ms[index] for _, frame in timed) for index, stage in enumerate(STAGES)
        },
        cpu_ms=tuple(frame.cpu_ms for _, frame in timed),
    )
    block, live, energy_j = np.array(times.block), measurement.live, measurement.energy_j
    start = measurement.start or Start(0.0, 0.0, 0.0)
    return Speed(
        times=times,
        stages={
            **{stage: spread(np.array(times.stage_ms[stage]), block) for stage in STAGES},
            "frame": spread(np.array(times.frame_ms), block),
        },
        throughput=measure_throughput(measurement.chunks),
        live=None
        if live is None or not live.age_ms
        # Ages are one series without blocks, and have no interval.
        else Live(live.played, len(live.age_ms), live.dropped, spread(np.array(live.age_ms), None)),
        open_ms=start.open_ms,
        first_ms=start.first_ms,
        memory=_memory(measurement, start.before_mb),
        cpu_ms=float(np.mean(times.cpu_ms)),
        energy_j=energy_j / len(timed) if energy_j is not None else None,
    )


def spread(values_ms: Float64Array, block: Int64Array | None) -> Spread:
    """Return the percentiles of times (N,), and the interval of the median where the block of each is given.

    Blocks are resampled, not frames: neighbours share the state of the machine.
    """
    p50, p90 = np.quantile(values_ms, [0.5, 0.9])
    interval = None
    if block is not None:
        parts = [values_ms[block == number] for number in np.unique(block)]
        draws = _draw(len(parts))
        medians = [np.median(np.concatenate([parts[index] for index in draw])) for draw in draws]
        interval = Interval.of(np.array(medians)) if medians else None
    return Spread(
        mean=float(values_ms.mean()),
        p50=float(p50),
        p90=float(p90),
        p99=float(np.quantile(values_ms, 0.99)) if len(values_ms) >= FRAMES_FOR_P99 else None,
        interval=interval,
    )


def measure_throughput(chunks: Sequence[tuple[int, float]]) -> Throughput | None:
    """Return the throughput of chunks of (frames, seconds); None where there is no chunk."""
    if not chunks:
        return None
    frames, seconds = (np.array(column) for column in zip(*chunks, strict=True))
    draws = _draw(len(chunks))
    rates = frames[draws].sum(axis=1) / seconds[draws].sum(axis=1) if len(draws) else []
    return Throughput(
        tuple(frames.tolist()), tuple(seconds.tolist()), Interval.of(np.array(rates)) if len(rates) else None
    )


def _draw(parts: int, seed: int = 0) -> Int64Array:
    """Return indices of resampled parts, int64 (RESAMPLES, parts); no row where parts are too few."""
    rows = RESAMPLES if parts >= MIN_BLOCKS else 0
    return np.random.default_rng(seed).integers(0, parts, (rows, parts))


def _memory(measurement: Measurement, before_mb: float) -> Memory:
    frames: Sequence[int] = np.cumsum([len(block) for block, _ in measurement.blocks]).tolist()
    resident = [megabytes for _, megabytes in measurement.blocks]
    settled = [index for index, done in enumerate(frames) if done >= SETTLED_FROM * frames[-1]]
    slope = None
    if len(settled) >= MIN_BLOCKS:
        slope = float(np.polyfit([frames[i] for i in settled], [resident[i] * 1024 for i in settled], 1)[0])
    # A process reports its peak at its end; an interrupted one has what was seen of it.
    peak_mb = max(measurement.peak_mb, *resident)
    return Memory(before_mb, peak_mb, slope)
