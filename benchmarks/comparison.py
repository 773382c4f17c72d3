"""Two runs of a benchmark: what has changed beyond noise, row by row.

Times are paired frame by frame, for the same frame costs decoder and tracker the same, and the logarithms of
their ratios are summed up by the median. Its 95 % interval is a bootstrap over parts of the run: frames near
in time share the machine's mood and are no independent witnesses. Two runs of one file on a quiet machine
differ by a few percent whatever is done, so a change counts when the whole interval is beyond a tolerance.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edge_fairmot.benchmarks.bootstrap import COVERAGE, MIN_BLOCKS, Interval, bootstrap
from edge_fairmot.benchmarks.device.conditions import BUSY_SHARE
from edge_fairmot.benchmarks.results import Entry, Results
from edge_fairmot.benchmarks.scores import Correctness
from edge_fairmot.benchmarks.speed.figures import FrameTimes
from edge_fairmot.errors import EvaluationError, InvalidInputError
from edge_fairmot.types import Float64Array

TOLERANCE = 0.05
"""Share by which a time must have changed."""

PARTS = 10
"""Of a run: long enough for each to have seen more than one mood of the machine."""

RESAMPLES = 2000

SAME = "no difference seen"


@dataclass(frozen=True, slots=True)
class Change:
    """One figure of one row, before and after.

    Attributes
    ----------
    row : str
    figure : str
    old, new : float or None
    change : float or None
        Share for times, difference for scores.
    interval : Interval or None
        Of the change, 95 %; None where there is too little to tell, or nothing to judge.
    verdict : str
    regression : bool
    """

    row: str
    figure: str
    old: float | None
    new: float | None
    change: float | None
    interval: Interval | None
    verdict: str
    regression: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was found.

    Attributes
    ----------
    changes : tuple of Change
    warnings : tuple of str
        What speaks against it.
    """

    changes: tuple[Change, ...]
    warnings: tuple[str, ...]

    @property
    def regressions(self) -> tuple[Change, ...]:
        """What is worse beyond noise."""
        return tuple(change for change in self.changes if change.regression)

    @property
    def seen(self) -> tuple[Change, ...]:
        """What differs beyond noise, for better or worse."""
        return tuple(change for change in self.changes if change.verdict != SAME)


def compare(old: Results, new: Results, tolerance: float = TOLERANCE) -> Comparison:
    """Compare two runs.

    Parameters
    ----------
    old, new : Results
        Of the same frames and settings. Rows are the same where model's name and runtime are.
    tolerance : float
        Share by which a time must have changed to count.

    Returns
    -------
    Comparison

    Raises
    ------
    EvaluationError
        If they are of other frames or settings, or have no row in common.
    """
    if not 0 <= tolerance < 1:
        raise InvalidInputError(f"the tolerance must be between 0 and 1, not {tolerance}")
    _check_same_work(old, new)
    before = {entry.name: entry for entry in old.entries}
    after = {entry.name: entry for entry in new.entries}
    common = [name for name in before if name in after]
    if not common:
        raise EvaluationError(
            f"the runs have no row in common: {', '.join(before)} here, {', '.join(after)} there"
        )
    rates = [footage.frame_rate for footage in new.footage]
    changes = [
        change for name in common for change in _compare_rows(before[name], after[name], rates, tolerance)
    ]
    return Comparison(tuple(changes), tuple(_warnings(old, new)))


def _compare_rows(old: Entry, new: Entry, rates: list[float], tolerance: float) -> Iterator[Change]:
    if old.speed is None or new.speed is None:
        if old.speed is not None:
            yield Change(old.name, "runs", None, None, None, None, f"fails now: {new.failure}", True)
        elif new.speed is not None:
            yield Change(old.name, "runs", None, None, None, None, "runs now")
        return
    yield _compare_times(old.name, old.speed.times, new.speed.times, tolerance)
    if old.correctness is not None and new.correctness is not None:
        yield from _compare_scores(old.name, old.correctness, new.correctness, rates)


def _compare_times(row: str, old: FrameTimes, new: FrameTimes, tolerance: float) -> Change:
    count = min(len(old), len(new))
    before, after = np.array(old.frame_ms[:count]), np.array(new.frame_ms[:count])
    shift = np.log(after / before)
    interval = _interval(np.array_split(shift, PARTS)) if count >= MIN_BLOCKS * PARTS else None
    limit = math.log1p(tolerance)
    change = float(np.expm1(np.median(shift)))
    verdict, regression = SAME, False
    if interval is None:
        verdict = "too few frames to tell"
    elif interval.low > limit:
        verdict, regression = "slower", True
    elif interval.high < -limit:
        verdict = "faster"
    shares = None if interval is None else Interval(math.expm1(interval.low), math.expm1(interval.high))
    medians = float(np.median(before)), float(np.median(after))
    return Change(row, "ms a frame", *medians, change, shares, verdict, regression)


def _interval(parts: list[Float64Array], seed: int = 0) -> Interval:
    generator = np.random.default_rng(seed)
    draws = generator.integers(0, len(parts), (RESAMPLES, len(parts)))
    medians = [np.median(np.concatenate([parts[index] for index in draw])) for draw in draws]
    low, high = np.quantile(medians, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return Interval(float(low), float(high))


def _compare_scores(row: str, old: Correctness, new: Correctness, rates: list[float]) -> Iterator[Change]:
    before, after = ([tally.counts() for tally in right.tallies] for right in (old, new))
    intervals = {} if old.tallies == new.tallies else bootstrap(before, after, rates)
    for name in ("mota", "idf1"):
        ours, theirs = getattr(old.score, name), getattr(new.score, name)
        if ours is None or theirs is None:
            continue
        found = intervals.get(name)
        interval = found.difference if found is not None else None
        verdict = SAME
        if interval is not None and interval.high < 0:
            verdict = "worse"
        elif interval is not None and interval.low > 0:
            verdict = "better"
        elif interval is None and old.tallies != new.tallies:
            verdict = "differs, too short to tell" if ours != theirs else SAME
        yield Change(row, name.upper(), ours, theirs, theirs - ours, interval, verdict, verdict == "worse")


def _check_same_work(old: Results, new: Results) -> None:
    if old.settings != new.settings:
        raise EvaluationError(
            f"the runs have other settings, {old.settings} and {new.settings}: measure again with the same"
        )
    ours, theirs = (
        [(f.sha256, f.frame_size, f.frames, bool(f.ground_truth)) for f in results.footage]
        for results in (old, new)
    )
    if ours != theirs:
        raise EvaluationError(
            f"the runs are of other frames, {_footage(old)} and {_footage(new)}: measure again on the same"
        )


def _footage(results: Results) -> str:
    return ", ".join(f"{footage.frames} of {footage.name}" for footage in results.footage)


def _warnings(old: Results, new: Results) -> Iterator[str]:
    if str(old.machine) != str(new.machine):
        yield f"the machines differ: {old.machine} and {new.machine}"
    changed = {
        name: (old.machine.packages.get(name), version)
        for name, version in new.machine.packages.items()
        if old.machine.packages.get(name) != version
    }
    for name, (before, after) in changed.items():
        yield f"{name} was {before or 'absent'} and is {after}"
    for which, results in (("old", old), ("new", new)):
        busy = [c.other_share for c in results.conditions if c.other_share is not None]
        if busy and max(busy) > BUSY_SHARE:
            yield f"others used {max(busy):.0%} of the processor in the {which} run: a change may be theirs"
    names = {entry.name for entry in new.entries}
    for entry in old.entries:
        if entry.name not in names:
            yield f"{entry.name} is not in the new run"
