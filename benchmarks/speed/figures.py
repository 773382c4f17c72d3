"""How fast one contender was: every frame's times, and what sums them up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge_fairmot.benchmarks.bootstrap import Interval
from edge_fairmot.pipeline import STAGES


@dataclass(frozen=True, slots=True)
class FrameTimes:
    """What every frame took, in the order they were measured.

    Attributes
    ----------
    at_s : tuple of float
        When the frame was begun, since the measuring began.
    block : tuple of int
        Frames of one block were measured one right after the other; between blocks others had their turn.
    stage_ms : dict of str to tuple of float
        By the names in ``STAGES``, each stage alone.
    cpu_ms : tuple of float
        Processor time, over all threads.
    """

    at_s: tuple[float, ...]
    block: tuple[int, ...]
    stage_ms: Mapping[str, tuple[float, ...]]
    cpu_ms: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.at_s)

    @property
    def frame_ms(self) -> tuple[float, ...]:
        """All stages of each frame together."""
        return tuple(map(sum, zip(*(self.stage_ms[stage] for stage in STAGES), strict=True)))


@dataclass(frozen=True, slots=True)
class Spread:
    """Times of one stage, milliseconds.

    Attributes
    ----------
    mean, p50, p90 : float
    p99 : float or None
        None below a hundred frames, of which it would be the largest.
    interval : Interval or None
        Of the median, 95 %, by bootstrap over blocks; None for a handful of blocks.
    """

    mean: float
    p50: float
    p90: float
    p99: float | None
    interval: Interval | None


@dataclass(frozen=True, slots=True)
class Live:
    """The pipelined loop on a source that plays at its own pace, as a camera does.

    Attributes
    ----------
    played, tracked, dropped : int
        Frames that the source gave, that were tracked, and that a newer one took the place of.
    age_ms : Spread
        From the moment a frame is due at the glass to its tracks at the sinks.
    """

    played: int
    tracked: int
    dropped: int
    age_ms: Spread


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory of the contender's process.

    Attributes
    ----------
    before_mb : float
        With the toolkit loaded, before the runtime was.
    peak_mb : float
    slope_kb_per_frame : float or None
        By least squares over the measured frames; None for a handful.
    """

    before_mb: float
    peak_mb: float
    slope_kb_per_frame: float | None


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast one contender was.

    Attributes
    ----------
    times : FrameTimes
    stages : dict of str to Spread
        By the names in ``STAGES``, and ``frame`` for all together.
    throughput_fps : float or None
        Frames a second of the product's pipelined loop on a file; None where it was not come to.
    live : Live or None
        None where it was not asked for, or not come to.
    open_ms, first_ms : float
        Cold start: importing the runtime and opening the file; the first inference after that.
    memory : Memory
    cpu_ms : float
        Processor time a frame, over all threads.
    energy_j : float or None
        A frame; of what ``conditions.energy_source`` meters.
    """

    times: FrameTimes
    stages: Mapping[str, Spread]
    throughput_fps: float | None
    live: Live | None
    open_ms: float
    first_ms: float
    memory: Memory
    cpu_ms: float
    energy_j: float | None
