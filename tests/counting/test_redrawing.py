"""Lines and zones that are moved while counting goes on."""

from dataclasses import replace

import numpy as np
import pytest

from edge_fairmot.counting import (
    Counter,
    CountingConfig,
    Event,
    LineTotals,
    ZoneTotals,
    parse_line,
    parse_zone,
)
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.types import Tracks

SIZE = (400, 200)
DOOR = parse_line("door:0.5,0,0.5,1")
LEFT = parse_zone("left:0,0;0.5,0;0.5,1;0,1")


def track(x):
    """One person of 40 pixels, whose feet are at x."""
    box = np.array([[x - 8, 60, x + 8, 100]], np.float32)
    return Tracks(np.array([7]), box, np.ones(1, np.float32), np.zeros(1, np.int64), np.zeros(1, bool))


def walk(counter, start_s, *places):
    return [event for n, x in enumerate(places) for event in counter.update(track(x), start_s + n / 10)]


def test_a_line_drawn_meanwhile_counts_from_the_next_frame_on():
    counter = Counter(CountingConfig(), SIZE)
    assert walk(counter, 0, 300, 100) == []
    counter.redraw([DOOR], [])
    assert counter.lines == {}
    assert walk(counter, 1, 100, 300) == [Event("out", "door", 7, 1.1)]
    assert counter.lines == {"door": LineTotals(0, 1)}
    assert counter.config.lines == (DOOR,)


def test_a_moved_line_keeps_its_totals_and_counts_nobody_it_jumps_over():
    counter = Counter(CountingConfig((DOOR,)), SIZE)
    walk(counter, 0, 300, 100)
    counter.redraw([parse_line("door:0.1,0,0.1,1")], [])
    assert walk(counter, 1, 100, 100) == []
    assert counter.lines == {"door": LineTotals(1, 0)}
    assert walk(counter, 2, 20) == [Event("in", "door", 7, 2.0)]
    assert counter.lines == {"door": LineTotals(2, 0)}


def test_what_stays_as_it_is_misses_nothing_when_something_else_is_drawn():
    counter = Counter(CountingConfig((DOOR,), (LEFT,)), SIZE)
    walk(counter, 0, 300, 199)
    counter.redraw([DOOR, parse_line("other:0,0.9,1,0.9")], [LEFT, replace(LEFT, name="copy")])
    events = walk(counter, 1, 150)
    assert events == [Event("in", "door", 7, 1.0), Event("enter", "copy", 7, 1.0)]
    assert counter.zones["left"].entries == 1


@pytest.mark.parametrize(
    ("polygon", "events", "totals"),
    [
        ("0,0;0.4,0;0.4,1;0,1", [], ZoneTotals(1, 1)),
        ("0.6,0;1,0;1,1;0.6,1", [Event("leave", "left", 7, 1.0, 0.9)], ZoneTotals(0, 1, 1, 0.9, 0.9)),
    ],
    ids=["around them", "away from them"],
)
def test_a_moved_zone_keeps_who_is_in_it_and_sees_the_others_leave(polygon, events, totals):
    counter = Counter(CountingConfig(zones=(LEFT,)), SIZE)
    walk(counter, 0, 300, 100)
    counter.redraw([], [parse_zone(f"left:{polygon}")])
    assert walk(counter, 1, 100) == events
    assert counter.zones == {"left": totals}


def test_what_is_taken_away_is_forgotten():
    counter = Counter(CountingConfig((DOOR,), (LEFT,), hysteresis=0.3), SIZE)
    walk(counter, 0, 300, 100)
    counter.redraw([], [])
    assert walk(counter, 1, 300) == []
    assert (counter.lines, counter.zones) == ({}, {})
    counter.redraw([DOOR], [LEFT])
    walk(counter, 2, 300)
    assert (counter.lines, counter.zones) == ({"door": LineTotals()}, {"left": ZoneTotals()})
    assert counter.config.hysteresis == 0.3


def test_a_drawing_that_is_not_right_changes_nothing():
    counter = Counter(CountingConfig((DOOR,)), SIZE)
    with pytest.raises(InvalidInputError, match="two lines are called 'door'"):
        counter.redraw([DOOR, DOOR], [])
    walk(counter, 0, 300, 100)
    assert counter.lines == {"door": LineTotals(1, 0)}
