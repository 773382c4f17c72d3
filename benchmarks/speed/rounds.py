"""Contenders measured in turn, block by block, so that whatever the machine does meets all of them alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import sleep

from edge_fairmot.benchmarks.device.energy import EnergyMeter
from edge_fairmot.benchmarks.speed.contender import Job, LiveRun
from edge_fairmot.benchmarks.speed.contender_process import ContenderFailedError, ContenderProcess
from edge_fairmot.benchmarks.speed.stage_timing import TimedFrame

SWITCH_PAUSE_S = 0.25
"""Before a contender's turn: threads of the one before spin a while for work that will not come, and take the
cores from it. A session that was idle then needs an inference to wake its own, which is not counted."""

LONGEST_BLOCK = 10
"""Frames of one turn; more, and the machine has time to change between contenders."""

FEWEST_ROUNDS = 12
"""Short footage is cut into smaller blocks, for intervals are drawn from blocks."""


@dataclass(slots=True)
class Measurement:
    """What is measured of one contender, as it comes in.

    Attributes
    ----------
    job : Job
    open_ms, first_ms, before_mb, peak_mb : float
    blocks : list of (tuple of TimedFrame, float)
        Frames of a turn, and resident memory after it.
    energy_j : float or None
        Over the frames of all blocks; None where a block was not metered.
    pipelined : (int, float) or None
        Frames and seconds.
    live : LiveRun or None
    failure : str
        Why it could not go on.
    finished : bool
        Whether all frames were timed.
    """

    job: Job
    open_ms: float = 0.0
    first_ms: float = 0.0
    before_mb: float = 0.0
    peak_mb: float = 0.0
    blocks: list[tuple[tuple[TimedFrame, ...], float]] = field(default_factory=list)
    energy_j: float | None = None
    pipelined: tuple[int, float] | None = None
    live: LiveRun | None = None
    failure: str = ""
    finished: bool = False

    @property
    def frames(self) -> int:
        """Frames that were timed."""
        return sum(len(frames) for frames, _ in self.blocks)


def block_length(frames: int) -> int:
    """Frames of a turn, for so many frames in all."""
    return max(1, min(LONGEST_BLOCK, frames // FEWEST_ROUNDS))


def measure(
    jobs: Sequence[Job],
    block: int,
    live_s: float,
    *,
    meter: EnergyMeter | None = None,
    on_turn: Callable[[Measurement, str], None] = lambda measurement, what: None,
) -> list[Measurement]:
    """Measure contenders side by side.

    A contender that fails is left out from then on, with its reason. An interruption ends the measuring: what
    came in up to then is in the measurements that ``on_turn`` was given.

    Parameters
    ----------
    jobs : sequence of Job
    block : int
        Frames of one turn.
    live_s : float
        How much of each source is played at its own pace; 0 for nothing.
    meter : EnergyMeter, optional
    on_turn : callable, optional
        Called with a measurement and what was added to it.

    Returns
    -------
    list of Measurement
        In the order of the jobs.
    """
    measurements = [Measurement(job) for job in jobs]
    racers: list[_Racer] = []
    try:
        for measurement in measurements:  # one after the other: a cold start wants the machine to itself
            racer = _Racer(measurement)
            racers.append(racer)
            racer.attempt(racer.begin)
            on_turn(measurement, "opened")
        _take_turns(racers, block, meter, on_turn)
        for racer in racers:
            sleep(SWITCH_PAUSE_S)
            racer.attempt(racer.run_pipelined)
            on_turn(racer.measurement, "pipelined")
        # Backwards: who was early before is late now.
        for racer in reversed(racers if live_s > 0 else []):
            sleep(SWITCH_PAUSE_S)
            racer.attempt(partial(racer.run_live, live_s))
            on_turn(racer.measurement, "live")
    finally:
        for racer in racers:
            racer.close()
    return measurements


def _take_turns(
    racers: Sequence[_Racer],
    block: int,
    meter: EnergyMeter | None,
    on_turn: Callable[[Measurement, str], None],
) -> None:
    number = 0
    while running := [racer for racer in racers if racer.running]:
        # Everybody is first once in a while: what follows a pause of many turns may differ.
        first = number % len(running)
        for racer in (*running[first:], *running[:first]):
            sleep(SWITCH_PAUSE_S if len(running) > 1 else 0.0)
            racer.attempt(partial(racer.run_block, block, meter))
            on_turn(racer.measurement, "block")
        number += 1


class _Racer:
    """A measurement and the process that it is of."""

    def __init__(self, measurement: Measurement) -> None:
        self.measurement = measurement
        self.running = False
        self._metered = True
        self._process: ContenderProcess | None = None

    def attempt(self, step: Callable[[], None]) -> None:
        """Take a step unless one failed before."""
        if self.measurement.failure:
            return
        try:
            step()
        except ContenderFailedError as error:
            self.measurement.failure = str(error)
            self.running = False
            self.close()

    def begin(self) -> None:
        self._process = ContenderProcess(self.measurement.job)
        start = self._process.start
        self.measurement.open_ms, self.measurement.first_ms = start.open_ms, start.first_ms
        self.measurement.before_mb = start.before_mb
        self.running = True

    def run_block(self, count: int, meter: EnergyMeter | None) -> None:
        process, measurement = self._opened(), self.measurement
        process.warm_up()
        before_j = meter.energy_j() if meter is not None else None
        block = process.run_block(count)
        if not block.frames:
            self.running = False
            measurement.finished, measurement.peak_mb = True, process.peak_mb()
            return
        self._add_energy(before_j, meter.energy_j() if meter is not None else None)
        measurement.blocks.append((block.frames, block.resident_mb))

    def _add_energy(self, before_j: float | None, after_j: float | None) -> None:
        """Add a turn's; with one missing, the sum would be of fewer frames than it is divided by."""
        measurement = self.measurement
        if before_j is None or after_j is None:
            self._metered, measurement.energy_j = False, None
        elif self._metered:
            measurement.energy_j = (measurement.energy_j or 0.0) + after_j - before_j

    def run_pipelined(self) -> None:
        self.measurement.pipelined = self._opened().run_pipelined()

    def run_live(self, seconds: float) -> None:
        self.measurement.live = self._opened().run_live(seconds)

    def close(self) -> None:
        if self._process is not None:
            self._process.close()

    def _opened(self) -> ContenderProcess:
        if self._process is None:
            raise ContenderFailedError("it was not opened")
        return self._process
