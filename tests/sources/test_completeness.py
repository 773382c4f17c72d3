from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fairmot.sources.completeness import INDEX_TOLERANCE, Delivery, Promise, shortfall
from edge_fairmot.sources.decoding import RisingClock, StreamClock

EXACT = Promise(frame_count=100, exact=True, cut_off=False, duration_s=4.0)
ESTIMATE = Promise(frame_count=100, exact=False, cut_off=False, duration_s=4.0)
CUT_OFF = Promise(frame_count=100, exact=False, cut_off=True, duration_s=4.0)
UNKNOWN = Promise(frame_count=None, exact=False, cut_off=False, duration_s=None)


def delivery(
    count: int, *, end_s: float | None = None, gap_s: float = 0.04, lost: int | None = None
) -> Delivery:
    return Delivery(count, count / 25 if end_s is None else end_s, gap_s, lost)


@pytest.mark.parametrize(
    ("promise", "given_"),
    [
        (EXACT, delivery(100)),
        (EXACT, delivery(102)),
        (EXACT, delivery(100 - INDEX_TOLERANCE)),
        (ESTIMATE, delivery(95)),
        (ESTIMATE, delivery(40, end_s=4.0)),  # dropped frames are no loss at the end
        (ESTIMATE, delivery(3, end_s=2.1, gap_s=1.0)),  # a slide show: its last picture stays
        (CUT_OFF, delivery(100)),  # what is missing is not a frame
        (UNKNOWN, delivery(7)),
    ],
)
def test_a_sound_delivery_is_not_complained_of(promise: Promise, given_: Delivery) -> None:
    assert shortfall(promise, given_) is None


@pytest.mark.parametrize(
    ("promise", "given_", "complaint"),
    [
        (EXACT, delivery(60), "ended after 60 of 100 frames"),
        (EXACT, delivery(99 - INDEX_TOLERANCE), "ended after 91 of 100 frames"),
        (Promise(100, True, True, 4.0), delivery(99), "ended after 99 of 100 frames"),
        (
            EXACT,
            delivery(99, end_s=4.0, lost=50),
            "is damaged: 1 of 100 frames cannot be decoded, the first after",
        ),
        (EXACT, delivery(60, lost=58), "ended after 60 of 100 frames"),
        (ESTIMATE, delivery(60), "ended after 60 frames, at 2.40 s of 4.00 s"),
        (
            ESTIMATE,
            delivery(90, end_s=4.0, lost=12),
            "is damaged: some frames cannot be decoded, the first after",
        ),
        (CUT_OFF, delivery(97), "is cut off: it ended after 97 frames, at 3.88 s"),
        (UNKNOWN, delivery(7, lost=5), "is damaged: some frames cannot be decoded, the first after frame 5"),
    ],
)
def test_a_shortfall_is_named(promise: Promise, given_: Delivery, complaint: str) -> None:
    assert (shortfall(promise, given_) or "").startswith(complaint)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1))
def test_the_clock_rises_and_follows_times_that_rise(presented: list[float]) -> None:
    clock = RisingClock(period_s=0.04)
    times = [clock.advance(at) for at in presented]
    assert all(later > earlier for earlier, later in pairwise(times))
    assert times[0] == presented[0]
    if all(later > earlier for earlier, later in pairwise(presented)):
        assert times == presented


@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=1))
def test_a_stream_s_clock_rises_whatever_the_camera_says(presented: list[float | None]) -> None:
    clock = StreamClock(RisingClock(period_s=0.04))
    times = [clock.advance(at) for at in presented]
    assert all(later > earlier for earlier, later in pairwise(times))


@pytest.mark.parametrize("jump_s", [-3600.0, -5.0, 20.0, 3600.0])
def test_a_camera_whose_clock_is_set_keeps_its_pace(jump_s: float) -> None:
    """It tells 25 frames a second and gives 12: counting periods meanwhile would be half speed."""
    clock = StreamClock(RisingClock(period_s=1 / 25))
    true_s = np.arange(200) / 12
    told_s = 5000 + true_s + jump_s * (np.arange(200) >= 100)
    given_s = np.array([clock.advance(at) for at in told_s])
    assert np.delete(np.diff(given_s), 99) == pytest.approx(1 / 12)
    assert np.diff(given_s)[99] == pytest.approx(1 / 25)


def test_one_wild_time_costs_two_periods_and_no_more() -> None:
    clock = StreamClock(RisingClock(period_s=1 / 25))
    told_s = np.arange(20) / 12
    told_s[10] += 3600
    given_s = [clock.advance(at) for at in told_s]
    assert np.diff(given_s) == pytest.approx([1 / 12] * 9 + [1 / 25] * 2 + [1 / 12] * 8)


def test_a_time_that_is_told_twice_costs_nothing() -> None:
    clock = StreamClock(RisingClock(period_s=1 / 25))
    given_s = [clock.advance(at) for at in (0.0, 0.1, 0.1, 0.2, 0.3)]
    assert given_s == pytest.approx([0.0, 0.1, 0.14, 0.2, 0.3])
