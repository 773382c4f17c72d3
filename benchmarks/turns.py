"""Pairs of model and runtime measured in turns, so that changes of the machine affect all of them alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import sleep

from edge_fairmot.benchmarks.energy import EnergyMeter
from edge_fairmot.benchmarks.worker import Block, Job, LiveRun, Start, TimedFrame, WorkerError, WorkerProcess

SWITCH_PAUSE_S = 0.25
"""Before a turn: threads of the previous pair still spin for a while and take the cores from the next one.
After the pause a session needs an inference to wake its own threads; it is not measured."""

LONGEST_BLOCK = 10
"""Frames of a turn that times stages. In more, the machine has time to change between pairs."""

FEWEST_BLOCKS = 12
"""Few frames are cut into smaller blocks, because intervals are drawn from blocks."""

LONGEST_CHUNK = 25
"""Frames of a turn that measures throughput."""

FEWEST_CHUNKS, SHORTEST_CHUNK = 6, 5

OnTurn = Callable[["Measurement", str], None]
"""Called with a measurement and what was added to it: ``opened``, ``stages``, ``throughput`` or ``live``."""


def ignore_turn(measurement: Measurement, what: str) -> None:
    """Do nothing."""


@dataclass(slots=True)
class Measurement:
    """Figures of one pair of model and runtime, as they come in."""

    job: Job
    start: Start | None = None  # None until it is opened
    blocks: list[tuple[tuple[TimedFrame, ...], float]] = field(default_factory=list)  # and memory after each
    chunks: list[tuple[int, float]] = field(default_factory=list)  # frames and seconds in the pipeline
    live: LiveRun | None = None
    peak_mb: float = 0.0
    energy_j: float | None = None  # of the frames of all blocks; None where a block was not metered
    failure: str = ""  # the reason why it could not go on
    finished: bool = False  # all frames are timed

    @property
    def frames(self) -> int:
        """Number of timed frames."""
        return sum(len(frames) for frames, _ in self.blocks)


def block_length(frames: int) -> int:
    """Return the frames of a turn that times stages, for this many frames in all."""
    return max(1, min(LONGEST_BLOCK, frames // FEWEST_BLOCKS))


def chunk_length(frames: int) -> int:
    """Return the frames of a turn that measures throughput, for this many frames in all."""
    return max(SHORTEST_CHUNK, min(LONGEST_CHUNK, frames // FEWEST_CHUNKS))


def measure(
    jobs: Sequence[Job],
    live_s: float,
    *,
    meter: EnergyMeter | None = None,
    on_turn: OnTurn = ignore_turn,
) -> list[Measurement]:
    """Measure pairs side by side; ``live_s`` seconds of each source are played at their own pace.

    A pair that fails takes no further turn, and its measurement holds the reason. After an interruption the
    figures so far are in the measurements that ``on_turn`` was called with.
    """
    pairs = [_Pair(Measurement(job), meter) for job in jobs]
    try:
        for pair in pairs:  # one after the other: a cold start needs the machine for itself
            pair.attempt(pair.open)
            on_turn(pair.measurement, "opened")
        _take_turns(pairs, "stages", _Pair.run_block, on_turn)
        _take_turns(pairs, "throughput", _Pair.run_chunk, on_turn)
        # Backwards, so that the order has no advantage.
        for pair in reversed(pairs if live_s > 0 else []):
            sleep(SWITCH_PAUSE_S)
            pair.attempt(partial(pair.run_live, live_s))
            on_turn(pair.measurement, "live")
    finally:
        for pair in pairs:
            pair.close()
    return [pair.measurement for pair in pairs]


def _take_turns(
    pairs: Sequence[_Pair], what: str, take_turn: Callable[[_Pair], bool], on_turn: OnTurn
) -> None:
    """Let each pair take a turn, until none has frames left. The first one changes from round to round."""
    left = [pair for pair in pairs if not pair.measurement.failure]
    number = 0
    while left:
        first, through = number % len(left), []
        for pair in (*left[first:], *left[:first]):
            sleep(SWITCH_PAUSE_S if len(left) > 1 else 0.0)
            if not pair.attempt(partial(take_turn, pair)):
                through.append(pair)
            on_turn(pair.measurement, what)
        left = [pair for pair in left if pair not in through]
        number += 1


class _Pair:
    """A measurement and the process that it is of. Steps return whether there is more to measure."""

    def __init__(self, measurement: Measurement, meter: EnergyMeter | None) -> None:
        self.measurement = measurement
        self._meter = meter
        self._metered = True
        self._opened: WorkerProcess | None = None

    @property
    def _worker(self) -> WorkerProcess:
        if self._opened is None:
            raise WorkerError("it was not opened")
        return self._opened

    def attempt(self, step: Callable[[], bool]) -> bool:
        """Take a step, unless one has failed."""
        if self.measurement.failure:
            return False
        try:
            return step()
        except WorkerError as error:
            self.measurement.failure = str(error)
            self.close()
            return False

    def open(self) -> bool:
        self._opened = WorkerProcess(self.measurement.job)
        self.measurement.start = self._opened.start
        return True

    def run_block(self) -> bool:
        measurement = self.measurement
        self._worker.call("warm_up")
        before_j = self._energy_j()
        block: Block = self._worker.call("run_block")
        if not block.frames:
            measurement.finished, measurement.peak_mb = True, self._worker.call("peak_mb")
            return False
        after_j = self._energy_j()
        if before_j is None or after_j is None:
            # Without one turn, the sum would have fewer frames than its divisor.
            self._metered, measurement.energy_j = False, None
        elif self._metered:
            measurement.energy_j = (measurement.energy_j or 0.0) + after_j - before_j
        measurement.blocks.append((block.frames, block.resident_mb))
        return True

    def run_chunk(self) -> bool:
        self._worker.call("warm_up")
        chunk: tuple[int, float] | None = self._worker.call("run_chunk")
        if chunk is not None:
            self.measurement.chunks.append(chunk)
        return chunk is not None

    def run_live(self, seconds: float) -> bool:
        self.measurement.live = self._worker.call("run_live", seconds)
        return True

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()

    def _energy_j(self) -> float | None:
        return None if self._meter is None else self._meter.energy_j()
