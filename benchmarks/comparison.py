"""Two runs of a benchmark compared row by row: which changes are more than noise.

Times are paired frame by frame, because decoder and tracker cost the same for the same frame. They are
compared by the ratio of their means: a median does not show what slows one frame in ten. Frames near in time
share the state of the machine, so a run is cut into parts. A change counts when its 95 % interval, by
bootstrap over parts, is wholly beyond a tolerance, and a sign test over parts agrees. The tolerance is there
because two runs of one file on a quiet machine differ by a few percent.

On a machine in other use, wall clock depends on that use. Processor time depends on it less, and is compared
instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from edge_fairmot.benchmarks.conditions import BUSY_SHARE
from edge_fairmot.benchmarks.frame_counts import FrameCounts, Interval, bootstrap
from edge_fairmot.benchmarks.results import Correctness, Entry, Results
from edge_fairmot.errors import EvaluationError, InvalidInputError
from edge_fairmot.types import Float64Array

TOLERANCE = 0.05
"""Least relative change of a time that counts."""

PARTS = 10
"""Parts of a run, each long enough for more than one state of the machine."""

AGREEING_PARTS = 9
"""Number of ten parts that must agree. By chance they do so in one of fifty comparisons."""

FRAMES_A_PART = 5

RESAMPLES = 2000

SAME = "no difference seen"
BUSY = "cannot tell: the machine was in other use"
FEW = "too few frames to tell"


@dataclass(frozen=True, slots=True)
class Change:
    """One figure of one row, before and after."""

    row: str
    figure: str
    old: float | None
    new: float | None
    change: float | None  # relative for times, difference for scores
    interval: Interval | None  # of the change, 95 %; None where there are too few frames
    verdict: str
    regression: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """Changes of all rows, and warnings that limit them."""

    changes: tuple[Change, ...]
    warnings: tuple[str, ...]

    @property
    def regressions(self) -> tuple[Change, ...]:
        """Changes for the worse beyond noise."""
        return tuple(change for change in self.changes if change.regression)

    @property
    def seen(self) -> tuple[Change, ...]:
        """Changes beyond noise, for better or worse."""
        return tuple(change for change in self.changes if change.verdict not in (SAME, BUSY, FEW))


def compare(old: Results, new: Results, tolerance: float = TOLERANCE) -> Comparison:
    """Compare two runs of the same frames and settings; rows match by model name and runtime."""
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
    rates = [source.frame_rate for source in new.sources]
    changes: list[Change] = []
    for name in common:
        ours, theirs = before[name], after[name]
        busy = _busy(old, ours) or _busy(new, theirs)
        changes += _compare_rows(ours, theirs, rates, tolerance, busy=busy)
    return Comparison(tuple(changes), tuple(_warnings(old, new)))


def _busy(results: Results, entry: Entry) -> bool:
    """Whether the machine was in other use while a row was measured."""
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
    halves = zip(np.array_split(before, PARTS), np.array_split(after, PARTS), strict=True)
    parts = np.array([(ours.sum(), theirs.sum()) for ours, theirs in halves])
    interval = _ratio_interval(parts)
    slower = int((parts[:, 1] > parts[:, 0]).sum())
    if interval.low > tolerance and slower >= AGREEING_PARTS:
        return Change(row, figure, *means, change, interval, "slower", True)
    # As much faster as the other would be slower: 1.05 and 1 / 1.05.
    if interval.high < 1 / (1 + tolerance) - 1 and PARTS - slower >= AGREEING_PARTS:
        return Change(row, figure, *means, change, interval, "faster")
    return Change(row, figure, *means, change, interval, SAME)


def _ratio_interval(parts: Float64Array, seed: int = 0) -> Interval:
    """Return the interval of new / old - 1 by resampling parts, float64 (P, 2), sums of old and new."""
    draws = np.random.default_rng(seed).integers(0, len(parts), (RESAMPLES, len(parts)))
    old, new = parts[draws].sum(axis=1).T
    return Interval.of(new / old - 1)


def _compare_scores(row: str, old: Correctness, new: Correctness, rates: list[float]) -> Iterator[Change]:
    before, after = ([FrameCounts.of(numbers) for numbers in side.counts] for side in (old, new))
    intervals = {} if old.counts == new.counts else bootstrap(before, after, rates)
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
        elif interval is None and old.counts != new.counts:
            verdict = "differs, too few frames to tell" if ours != theirs else SAME
        yield Change(row, name.upper(), ours, theirs, theirs - ours, interval, verdict, verdict == "worse")


def _check_same_work(old: Results, new: Results) -> None:
    if old.settings != new.settings:
        raise EvaluationError(
            f"the runs have other settings, {old.settings} and {new.settings}: measure again with the same"
        )
    ours, theirs = (
        [(s.sha256, s.frame_size, s.frames, bool(s.ground_truth)) for s in results.sources]
        for results in (old, new)
    )
    if ours != theirs:
        texts = (", ".join(f"{s.frames} of {s.name}" for s in results.sources) for results in (old, new))
        raise EvaluationError(
            f"the runs are of other frames, {' and '.join(texts)}: measure again on the same"
        )


def _warnings(old: Results, new: Results) -> Iterator[str]:
    if str(old.machine) != str(new.machine):
        yield f"the machines differ: {old.machine} and {new.machine}"
    for name, version in new.machine.packages.items():
        before = old.machine.packages.get(name)
        if before != version:
            yield f"{name} was {before or 'absent'} and is {version}"
    for which, results in (("old", old), ("new", new)):
        busy = [c.other_share for c in results.conditions if c.other_share is not None]
        if busy and max(busy) > BUSY_SHARE:
            yield (
                f"other processes used {max(busy):.0%} of the processor in the {which} run: a change may be "
                "due to them"
            )
    names = {entry.name for entry in new.entries}
    for entry in old.entries:
        if entry.name not in names:
            yield f"{entry.name} is not in the new run"
