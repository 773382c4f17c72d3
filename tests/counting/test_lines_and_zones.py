"""Crossing a line and staying in a zone: what counts, what does not, and what must make no difference."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edge_fairmot.counting.crossing import LineCrossing, ZoneOccupancy
from edge_fairmot.counting.shapes import segments_meet

MARGIN = 2.3
"""On a grid of whole numbers no point is exactly this far from most lines."""

GRID = st.integers(-20, 20)
POINTS = st.tuples(GRID, GRID)
WALKS = st.lists(POINTS, min_size=2, max_size=25)
ENDS = POINTS.map(lambda point: (point[0] + 0.3717, point[1] + 0.4139))
LINES = st.tuples(ENDS, ENDS).filter(lambda ends: ends[0] != ends[1])
LINE = ((0, 10), (20, 10))
OPPOSITE = {"in": "out", "out": "in"}


def crossings(line, walk, margin=MARGIN):
    counter = LineCrossing()
    counter.place(*line)
    return [direction for point in walk if (direction := counter.update(1, point, margin)) is not None]


def test_in_is_from_left_to_right_of_the_line():
    # In an image y goes down: looking to the right, the lower part is on the right.
    assert crossings(LINE, [(5, 0), (5, 20)]) == ["in"]
    assert crossings(LINE, [(5, 20), (5, 0)]) == ["out"]
    assert crossings(LINE[::-1], [(5, 0), (5, 20)]) == ["out"]
    assert crossings(((10, 0), (10, 20)), [(20, 5), (0, 5)]) == ["in"]


@given(LINES, WALKS)
@settings(max_examples=200)
def test_a_walk_or_a_line_backwards_counts_the_other_way(line, walk):
    opposite = [OPPOSITE[direction] for direction in crossings(line, walk)]
    assert crossings(line[::-1], walk) == opposite
    assert crossings(line, walk[::-1]) == opposite[::-1]


@given(
    st.tuples(POINTS, POINTS).filter(lambda ends: ends[0] != ends[1]),
    st.lists(POINTS, min_size=2, max_size=6),
)
@settings(max_examples=200)
def test_a_walk_that_does_not_meet_the_line_never_counts(line, walk):
    assume(not any(segments_meet(*line, a, b) for a, b in itertools.pairwise(walk)))
    assert crossings(line, walk, margin=0.0) == []


def test_a_walk_around_the_end_does_not_count_and_is_not_forgotten():
    around = [(10, 0), (30, 0), (30, 20), (10, 20)]
    assert crossings(LINE, around) == []
    assert crossings(LINE, [*around, (10, 0)]) == ["out"]
    assert crossings(LINE, [*around, *around[::-1]]) == []


@given(LINES, WALKS, st.integers(2, 7))
@settings(max_examples=200)
def test_a_faster_camera_counts_the_same(line, walk, times):
    shares = np.arange(times)[:, None] / times
    finer = [
        tuple(point)
        for a, b in itertools.pairwise(walk)
        for point in (np.array(a) + shares * np.subtract(b, a)).tolist()
    ]
    assert crossings(line, [*finer, walk[-1]]) == crossings(line, walk)


@pytest.mark.parametrize(("last", "expected"), [(20, ["in"]), (0, [])])
def test_swaying_on_the_line_counts_once_or_never(last, expected):
    sway = [(8 + n % 3, 10 + 0.9 * MARGIN * (-1) ** n) for n in range(60)]
    assert crossings(LINE, [(8, 0), *sway, (8, last)]) == expected


SQUARE = [(10.0, 10.0), (20.0, 10.0), (20.0, 20.0), (10.0, 20.0)]
BAY = [(0, 0), (30, 0), (30, 30), (20, 30), (20, 10), (10, 10), (10, 30), (0, 30)]


def zone_of(polygon):
    zone = ZoneOccupancy()
    zone.place(polygon)
    return zone


def test_a_stay_lasts_from_the_first_point_inside_to_the_first_outside_and_ends_clear_of_the_zone():
    zone = zone_of(SQUARE)
    found = [zone.update(7, (x, 15), 2.0, float(second)) for second, x in enumerate((5, 11, 15, 21, 23, 15))]
    assert found == [None, "enter", None, None, (3.0, 2.0), "enter"]
    zone.update(7, (16, 15), 2.0, 9.0)
    assert zone.leave(7) == (9.0, 4.0)
    assert zone.leave(7) is None


def test_swaying_on_the_edge_is_one_entry():
    zone = zone_of(SQUARE)
    found = [zone.update(1, (10 + 1.5 * (-1) ** n, 15), 2.0, float(n)) for n in range(40)]
    assert found.count("enter") == 1
    assert found[1:] == [None] * 39


@given(st.floats(-5, 35), st.floats(-5, 35), st.integers(0, 7), st.booleans())
@settings(max_examples=200)
def test_a_bay_is_outside_whatever_corner_comes_first(x, y, first, backwards):
    assume(min(abs(x - edge) for edge in (0, 10, 20, 30)) > 1e-9)
    assume(min(abs(y - edge) for edge in (0, 10, 30)) > 1e-9)
    corners = BAY[first:] + BAY[:first]
    zone = zone_of(corners[::-1] if backwards else corners)
    inside = 0 < x < 30 and 0 < y < 30 and not (10 < x < 20 and y > 10)
    assert (zone.update(1, (x, y), 0.0, 0.0) == "enter") == inside


@given(st.floats(0, 2 * math.pi), st.floats(0.5, 30), st.floats(0.1, 10))
@settings(max_examples=200)
def test_clear_is_as_far_outside_as_the_margin(angle, away, margin):
    zone = zone_of(SQUARE)
    assert zone.update(1, (15, 15), margin, 0.0) == "enter"
    x, y = 15 + away * math.cos(angle), 15 + away * math.sin(angle)
    outside = math.hypot(*np.maximum(np.abs([x - 15, y - 15]) - 5, 0))
    assume(abs(outside - margin) > 1e-9)
    assert (zone.update(1, (x, y), margin, 1.0) == (1.0, 1.0)) == (outside > margin)
