"""What all sources share: the release of what is read, and clocks that rise."""

from __future__ import annotations

from itertools import pairwise
from threading import Event, Thread

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fairmot.sources.base import ReadingGuard
from edge_fairmot.sources.clock import StreamClock


def test_what_nobody_reads_is_released_at_once_and_once() -> None:
    released: list[str] = []
    guard = ReadingGuard(lambda: released.append("now"))
    with guard.reading() as is_open:
        assert is_open
    guard.close()
    guard.close()
    assert released == ["now"]
    with guard.reading() as is_open:
        assert not is_open


def test_what_is_being_read_is_released_after_the_read() -> None:
    events: list[str] = []
    guard = ReadingGuard(lambda: events.append("released"))
    inside, go_on = Event(), Event()

    def read() -> None:
        with guard.reading():
            inside.set()
            go_on.wait(10)
            events.append("read")

    reader = Thread(target=read)
    reader.start()
    assert inside.wait(10)
    guard.close()  # does not wait
    assert events == []
    go_on.set()
    reader.join(10)
    assert events == ["read", "released"]


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
