"""Noise is called noise, and a change a change."""

from dataclasses import replace

import numpy as np
import pytest

from edge_fairmot.benchmarks.comparison import BUSY, SAME, compare
from edge_fairmot.benchmarks.conditions import Conditions, Reading
from edge_fairmot.benchmarks.results import MeasuredSource, Settings
from edge_fairmot.errors import EvaluationError, InvalidInputError

from .made_results import FRAMES, correctness, counts, entry, results, slowed, speed


def times(comparison):
    (change,) = [change for change in comparison.changes if change.figure == "ms a frame"]
    return change


@pytest.mark.parametrize("seed", range(8))
def test_two_runs_of_the_same_file_are_no_difference(seed):
    old = results(entry(speed=speed(seed=2 * seed, noise=0.15)))
    new = results(entry(speed=speed(seed=2 * seed + 1, noise=0.15)))

    comparison = compare(old, new)

    assert [change.verdict for change in comparison.changes] == [SAME, SAME, SAME]
    assert comparison.regressions == comparison.seen == ()


@pytest.mark.parametrize("seed", range(8))
def test_fifteen_percent_are_seen_through_noise_of_fifteen(seed):
    old = results(entry(speed=speed(100, seed=2 * seed, noise=0.15)))
    new = results(entry(speed=speed(117, seed=2 * seed + 1, noise=0.15)))

    change = times(compare(old, new))

    assert (change.verdict, change.regression) == ("slower", True)
    assert change.interval.low < change.change < change.interval.high
    assert change.change == pytest.approx(0.17, abs=0.06)


def test_faster_is_seen_and_no_regression():
    comparison = compare(results(entry(speed=speed(100))), results(entry(speed=speed(80, seed=1))))

    assert times(comparison).verdict == "faster"
    assert comparison.regressions == ()
    assert len(comparison.seen) == 1


def test_less_than_the_tolerance_is_no_difference_however_sure():
    old, new = (
        results(entry(speed=speed(100, noise=1e-3))),
        results(entry(speed=speed(103, seed=1, noise=1e-3))),
    )

    assert times(compare(old, new)).verdict == SAME
    assert times(compare(old, new, tolerance=0.01)).verdict == "slower"
    with pytest.raises(InvalidInputError, match="between 0 and 1"):
        compare(old, new, tolerance=5)


def test_a_drift_within_one_run_makes_the_verdict_careful():
    """Half of the run at another speed: on average a change, and half of the witnesses saw none."""

    def drift(inference):
        inference[: FRAMES // 2] *= 1.3

    old, new = results(entry(speed=speed(100, seed=1))), results(entry(speed=slowed(speed(100), drift)))
    assert times(compare(old, new)).verdict == SAME


def test_few_frames_are_not_judged():
    old, new = results(entry(speed=speed(100, frames=30))), results(entry(speed=speed(300, frames=30)))

    change = times(compare(old, new))

    assert (change.verdict, change.interval, change.regression) == ("too few frames to tell", None, False)
    assert change.change == pytest.approx(2, abs=0.1)


def test_worse_tracks_are_a_regression_and_better_ones_none():
    worse = results(entry(correctness=correctness(source=counts(matched=3, identified=3))))
    better = results(entry(correctness=correctness()))

    verdicts = {change.figure: change.verdict for change in compare(better, worse).changes}
    assert verdicts == {"ms a frame": SAME, "MOTA": "worse", "IDF1": "worse"}
    assert len(compare(better, worse).regressions) == 2
    assert {change.verdict for change in compare(worse, better).seen} == {"better"}


def test_a_single_frame_that_differs_is_no_difference():
    matched = np.full(FRAMES, 4)
    matched[7] = 3
    almost = counts() | {"matched": tuple(matched.tolist())}
    new = results(entry(correctness=correctness(source=almost)))

    assert compare(results(entry()), new).regressions == ()


def test_scores_of_few_frames_are_shown_and_not_judged():
    def short(value):
        return results(entry(correctness=correctness(source=counts(value, value, frames=20))))

    verdicts = {change.figure: change.verdict for change in compare(short(4), short(2)).changes}
    assert verdicts["MOTA"] == "differs, too few frames to tell"
    assert compare(short(4), short(2)).regressions == ()


def test_a_row_that_fails_now_is_a_regression():
    failed = results(replace(entry(), failure="no such device", speed=None, correctness=None))

    (change,) = compare(results(entry()), failed).regressions
    assert "no such device" in change.verdict
    assert compare(failed, results(entry())).regressions == ()
    assert compare(failed, failed).changes == ()


def test_rows_are_matched_by_file_and_runtime():
    old = results(entry(), entry(runtime="openvino"))
    new = results(entry(runtime="openvino", speed=speed(300)), entry(name="other.onnx"))

    comparison = compare(old, new)

    assert {change.row for change in comparison.changes} == {"fairmot.onnx on openvino"}
    assert any("fairmot.onnx on cpu is not in the new run" in warning for warning in comparison.warnings)
    with pytest.raises(EvaluationError, match="no row in common"):
        compare(results(entry()), results(entry(name="other.onnx")))


BUSY_MACHINE = (Conditions((Reading(1.0, None, None, None, 0.8),)),)


def test_on_a_busy_machine_processor_time_is_compared_in_place_of_the_clock():
    old = results(entry(speed=speed(100)))
    waiting = speed(200, seed=1)
    waiting = replace(waiting, times=replace(waiting.times, cpu_ms=speed(100, seed=2).times.cpu_ms))

    comparison = compare(old, results(entry(speed=waiting), conditions=BUSY_MACHINE))
    verdicts = {change.figure: change.verdict for change in comparison.changes}
    assert (verdicts["ms a frame"], verdicts["ms of processor"]) == (BUSY, SAME)
    assert comparison.seen == ()

    working = results(entry(speed=speed(117, seed=1)), conditions=BUSY_MACHINE)
    (regression,) = compare(old, working).regressions
    assert (regression.figure, regression.verdict) == ("ms of processor", "slower")


def test_what_hits_one_frame_in_ten_is_seen():
    """As a quota does: most frames as before, a tenth of them held back for the rest of the period."""

    def hold_back(inference):
        inference[::10] += 150

    change = times(compare(results(entry()), results(entry(speed=slowed(speed(100, seed=1), hold_back)))))

    assert change.verdict == "slower"
    assert change.change == pytest.approx(0.15, abs=0.02)


def test_other_work_is_not_compared():
    old = results(entry())
    with pytest.raises(EvaluationError, match="other settings"):
        compare(old, replace(old, settings=Settings(threads=1)))
    other = MeasuredSource("other.mp4", (640, 480), 25.0, FRAMES, "another sha", "gt.txt")
    with pytest.raises(EvaluationError, match=r"other frames, 200 of street\.mp4 and 200 of other\.mp4"):
        compare(old, replace(old, sources=(other,)))
    renamed = replace(old.sources[0], name="/elsewhere/street.mp4", ground_truth="/elsewhere/gt.txt")
    assert compare(old, replace(old, sources=(renamed,))).seen == ()


def test_what_speaks_against_a_comparison_is_said():
    old = results(entry())
    machine = replace(old.machine, name="Another board", packages={"numpy": "3"})

    warnings = compare(old, replace(old, conditions=BUSY_MACHINE, machine=machine)).warnings

    assert any("Another board" in warning for warning in warnings)
    assert any("numpy was 2 and is 3" in warning for warning in warnings)
    assert any("80%" in warning and "new run" in warning for warning in warnings)
    assert compare(old, old).warnings == ()
