"""The clock of a camera that comes and goes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fairmot.sources.live import CORRECTION_S, LARGEST_LAG_S, USUAL_LAG_S, LiveClock


def test_the_source_s_own_intervals_are_kept() -> None:
    clock = LiveClock()
    clock.time_of(7.0, 1000.0)
    # Arrivals shake by up to 20 ms, the times do not.
    times = [clock.time_of(7.0 + 0.04 * n, 1000.0 + 0.04 * n + 0.02 * (n % 2)) for n in range(1, 50)]
    assert times == pytest.approx([1000.0 + 0.04 * n for n in range(1, 50)])


def test_a_stamp_on_the_machine_s_clock_is_when_the_picture_was_taken() -> None:
    clock = LiveClock()
    assert clock.time_of(999.93, 1000.0) == 999.93


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0, 20.0, -20.0])
def test_a_clock_that_is_set_changes_nothing(jump_s: float) -> None:
    clock = LiveClock()
    before = [clock.time_of(50 + 0.1 * n, 1000 + 0.1 * n) for n in range(5)]
    after = [clock.time_of(50 + 0.1 * n + jump_s, 1000 + 0.1 * n) for n in range(5, 10)]
    assert before + after == pytest.approx([1000 + 0.1 * n for n in range(10)])


def test_what_waited_in_a_stalled_network_keeps_its_time() -> None:
    clock = LiveClock()
    clock.time_of(0.0, 1000.0)
    late = [clock.time_of(0.1 * n, 1003.0) for n in range(1, 30)]
    assert late == pytest.approx([1000 + 0.1 * n for n in range(1, 30)], abs=29 * CORRECTION_S)


def test_the_first_pictures_wait_for_ffmpeg_and_do_not_count() -> None:
    clock = LiveClock()
    for n in range(10):
        clock.time_of(0.1 * n, 1000.0)
    assert clock.time_of(1.0, 1000.1) == pytest.approx(1000.1)


def test_a_slow_drift_is_made_up_for_without_a_step() -> None:
    clock, last_s = LiveClock(), 1000.0
    clock.time_of(0.0, 1000.0)
    for n in range(1, 200_000):  # two hours and more; the camera loses a second in a thousand
        now_s = 1000 + 0.04 * n
        time_s = clock.time_of(0.04 * n * 0.999, now_s)
        assert 0.035 < time_s - last_s < 0.045
        assert now_s - USUAL_LAG_S - 0.1 <= time_s <= now_s
        last_s = time_s


def test_a_source_opened_again_begins_anew() -> None:
    clock = LiveClock()
    clock.time_of(3.0, 1000.0)
    clock.restart()
    assert clock.time_of(0.0, 1002.0) == 1002.0


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(0, 100)), min_size=2, max_size=30))
def test_times_rise_whatever_the_source_says(steps: list[tuple[float, float]]) -> None:
    clock, now_s, last_s = LiveClock(), 1000.0, 0.0
    for source_s, passed_s in steps:
        now_s += passed_s
        time_s = clock.time_of(source_s, now_s)
        assert time_s > last_s
        assert time_s >= now_s - LARGEST_LAG_S - 1e-6
        last_s = time_s
