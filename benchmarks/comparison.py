"""Two runs of a benchmark: what has changed beyond noise, row by row.

Times are paired frame by frame, for the same frame costs decoder and tracker the same, and compared by the
ratio of their means: what holds a processor back may hit one frame in ten, which a median would not see.
Frames near in time share the machine's mood, so a run is cut into parts, and the parts are the witnesses: a
change counts when its 95 % interval, by bootstrap over parts, is wholly beyond a tolerance, and a sign test
over parts agrees. Two runs of one file on a quiet machine differ by a few percent whatever is done: hence the
tolerance.

On a machine that others use, the clock tells of them. Processor time suffers little from waiting for a turn,
and is compared in its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from edge_fairmot.benchmarks.bootstrap import COVERAGE, Interval, bootstrap
from edge_fairmot.benchmarks.device.conditions import BUSY_SHARE
from edge_fairmot.benchmarks.results import Entry, Results
from edge_fairmot.benchmarks.scores import Correctness
from edge_fairmot.errors import EvaluationError, InvalidInputError
from edge_fairmot.types import Float64Array

TOLERANCE = 0.05
"""Share by which a time must have changed."""

PARTS = 10
"""Of a run: long enough for each to have seen more than one mood of the machine."""

AGREEING_PARTS = 9
"""So many of the ten are slower, or faster, by chance in one of fifty comparisons."""

FRAMES_A_PART = 5
"""Fewer are no witness."""

RESAMPLES = 2000

SAME = "no difference seen"
BUSY = "cannot tell: others were at work"
FEW = "too few frames to tell"


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
        return tuple(change for change in self.changes if change.verdict not in (SAME, BUSY, FEW))


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
    changes: list[Change] = []
    for name in common:
        ours, theirs = before[name], after[name]
        busy = _busy(old, ours) or _busy(new, theirs)
        changes += _compare_rows(ours, theirs, rates, tolerance, busy=busy)
    return Comparison(tuple(changes), tuple(_warnings(old, new)))


def _busy(results: Results, entry: Entry) -> bool:
    """Whether others were at work while a row was measured."""
    share = results.conditions[entry.group].other_share if entry.group < len(results.conditions) else None
    return share is not None and share > BUSY_SHARE


def _compare_rows(
    old: Entry, new: Entry, rates: list[float], tolerance: float, *, busy: bool
) -> Iterator[Change]:
    if old.speed is None or new.speed is None:
        if old.speed is not None:
            yield Change(old.name, "runs", None, None, None, None, f"fails now: {new.failure}", True)
        elif new.speed is not None:
            yield Change(old.name, "runs", None, None, None, None, "runs now")
        return
    ours, theirs = old.speed.times, new.speed.times
    by_clock = _compare_times(old.name, "ms a frame", ours.frame_ms, theirs.frame_ms, tolerance)
    if busy:
        yield replace(by_clock, verdict=BUSY, regression=False)
        yield _compare_times(old.name, "ms of processor", ours.cpu_ms, theirs.cpu_ms, tolerance)
    else:
        yield by_clock
    if old.correctness is not None and new.correctness is not None:
        yield from _compare_scores(old.name, old.correctness, new.correctness, rates)


def _compare_times(
    row: str, figure: str, old: tuple[float, ...], new: tuple[float, ...], tolerance: float
) -> Change:
    count = min(len(old), len(new))
    before, after = np.array(old[:count]), np.array(new[:count])
    means = float(before.mean()), float(after.mean())
    change = means[1] / means[0] - 1
    if count < PARTS * FRAMES_A_PART:
        return Change(row, figure, *means, change, None, FEW)
    parts = np.array(
        [
            (ours.sum(), theirs.sum())
            for ours, theirs in zip(np.array_split(before, PARTS), np.array_split(after, PARTS), strict=True)
        ]
    )
    interval = _interval(parts)
    slower = int((parts[:, 1] > parts[:, 0]).sum())
    if interval.low > tolerance and slower >= AGREEING_PARTS:
        return Change(row, figure, *means, change, interval, "slower", True)
    # As much faster as the other would be slower: 1.05 and 1 / 1.05.
    if interval.high < 1 / (1 + tolerance) - 1 and PARTS - slower >= AGREEING_PARTS:
        return Change(row, figure, *means, change, interval, "faster")
    return Change(row, figure, *means, change, interval, SAME)


def _interval(parts: Float64Array, seed: int = 0) -> Interval:
    """Resample parts, float64 (P, 2), sums of old and new; gives the interval of their ratio, less 1."""
    draws = np.random.default_rng(seed).integers(0, len(parts), (RESAMPLES, len(parts)))
    old, new = parts[draws].sum(axis=1).T
    low, high = np.quantile(new / old - 1, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
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
