"""Time stamps that rise, whatever a stream, a camera or a network does."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fairmot.sources.clock import CORRECTION_S, LARGEST_LAG_S, USUAL_LAG_S, LiveClock, StreamClock


@given(
    st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=1), st.sampled_from([10.0, float("inf")])
)
def test_a_clock_rises_and_follows_stamps_that_rise(stamps: list[float | None], gap_s: float) -> None:
    clock = StreamClock(0.04, gap_s)
    times = [clock.advance(stamp) for stamp in stamps]
    assert all(later > earlier for earlier, later in pairwise(times))
    assert times[0] == (stamps[0] or 0.0)
    if None not in stamps and gap_s > 10 and all(later > earlier for earlier, later in pairwise(stamps)):
        assert times == stamps


@pytest.mark.parametrize("jump_s", [-3600.0, -5.0, 20.0, 3600.0])
def test_a_camera_whose_clock_is_set_keeps_its_pace(jump_s: float) -> None:
    """It states 25 frames/s and gives 12: counting periods meanwhile would be half the speed."""
    clock = StreamClock(1 / 25, 10)
    stated_s = 5000 + np.arange(200) / 12 + jump_s * (np.arange(200) >= 100)
    given_s = np.array([clock.advance(at) for at in stated_s])
    assert np.delete(np.diff(given_s), 99) == pytest.approx(1 / 12)
    assert np.diff(given_s)[99] == pytest.approx(1 / 25)


def test_one_wild_stamp_costs_two_periods_and_one_told_twice_nothing() -> None:
    clock = StreamClock(1 / 25, 10)
    stated_s = np.arange(20) / 12
    stated_s[10] += 3600
    assert np.diff([clock.advance(at) for at in stated_s]) == pytest.approx(
        [1 / 12] * 9 + [1 / 25] * 2 + [1 / 12] * 8
    )
    clock = StreamClock(1 / 25, 10)
    given_s = [clock.advance(at) for at in (0.0, 0.1, 0.1, 0.2, 0.3)]
    assert given_s == pytest.approx([0.0, 0.1, 0.14, 0.2, 0.3])


def test_a_file_keeps_its_gaps() -> None:
    clock = StreamClock(1 / 25)
    assert [clock.advance(at) for at in (0.0, 0.04, 3600.0)] == [0.0, 0.04, 3600.0]


def test_the_source_s_own_intervals_are_kept() -> None:
    clock = LiveClock()
    clock.time_of(7.0, 1000.0)
    # Arrivals shake by up to 20 ms, the times do not.
    times = [clock.time_of(7.0 + 0.04 * n, 1000.0 + 0.04 * n + 0.02 * (n % 2)) for n in range(1, 50)]
    assert times == pytest.approx([1000.0 + 0.04 * n for n in range(1, 50)])
    clock.restart()
    assert clock.time_of(0.0, 1005.0) == 1005.0
    assert LiveClock().time_of(999.93, 1000.0) == 999.93  # a stamp on the machine's own clock


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
    clock = LiveClock()
    for n in range(10):  # the first frames wait for FFmpeg, and do not count
        clock.time_of(0.1 * n, 1000.0)
    assert clock.time_of(1.0, 1000.1) == pytest.approx(1000.1)


def test_a_slow_drift_is_made_up_for_without_a_step() -> None:
    clock, last_s = LiveClock(), 1000.0
    clock.time_of(0.0, 1000.0)
    for n in range(1, 50_000):  # half an hour; the camera loses a second in a thousand
        now_s = 1000 + 0.04 * n
        time_s = clock.time_of(0.04 * n * 0.999, now_s)
        assert 0.035 < time_s - last_s < 0.045
        assert now_s - USUAL_LAG_S - 0.1 <= time_s <= now_s
        last_s = time_s


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(0, 100)), min_size=2, max_size=30))
def test_times_rise_whatever_the_source_says(steps: list[tuple[float, float]]) -> None:
    clock, now_s, last_s = LiveClock(), 1000.0, 0.0
    for source_s, passed_s in steps:
        now_s += passed_s
        time_s = clock.time_of(source_s, now_s)
        assert time_s > last_s
        assert time_s >= now_s - LARGEST_LAG_S - 1e-6
        last_s = time_s
