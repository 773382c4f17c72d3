"""Crossing a line: what counts, what does not, and what must make no difference."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edge_fairmot.counting.counter import LineCrossing

MARGIN = 2.3
"""On a grid of whole places no place is exactly this far from most lines."""

GRID = st.integers(-20, 20)
WALKS = st.lists(st.tuples(GRID, GRID), min_size=2, max_size=25)
ENDS = st.tuples(GRID, GRID).map(lambda place: (place[0] + 0.3717, place[1] + 0.4139))
LINES = st.tuples(ENDS, ENDS).filter(lambda ends: ends[0] != ends[1])


def crossings(line, walk, margin=MARGIN):
    counter = LineCrossing(*line)
    return [direction for place in walk if (direction := counter.step(1, place, margin)) is not None]


def test_in_is_from_left_to_right_of_the_line():
    # In a picture y goes down: whoever looks to the right has the lower part on their right.
    line = ((0, 10), (20, 10))
    assert crossings(line, [(5, 0), (5, 20)]) == ["in"]
    assert crossings(line, [(5, 20), (5, 0)]) == ["out"]
    assert crossings(line[::-1], [(5, 0), (5, 20)]) == ["out"]
    downwards = ((10, 0), (10, 20))
    assert crossings(downwards, [(20, 5), (0, 5)]) == ["in"]


@given(LINES, WALKS)
@settings(max_examples=300)
def test_a_walk_backwards_crosses_the_other_way(line, walk):
    forth, back = crossings(line, walk), crossings(line, walk[::-1])
    opposite = {"in": "out", "out": "in"}
    assert back == [opposite[direction] for direction in reversed(forth)]


@given(LINES, WALKS)
@settings(max_examples=300)
def test_a_line_backwards_counts_the_other_way(line, walk):
    opposite = {"in": "out", "out": "in"}
    assert crossings(line[::-1], walk) == [opposite[direction] for direction in crossings(line, walk)]


def orientation(a, b, c):
    return np.sign((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))


def meets(a, b, c, d):
    """Whether two closed segments between whole places share a point; exact."""
    boxes = all(
        max(min(a[k], b[k]), min(c[k], d[k])) <= min(max(a[k], b[k]), max(c[k], d[k])) for k in range(2)
    )
    return (
        boxes
        and orientation(a, b, c) * orientation(a, b, d) <= 0
        and orientation(c, d, a) * orientation(c, d, b) <= 0
    )


@given(
    st.tuples(st.tuples(GRID, GRID), st.tuples(GRID, GRID)).filter(lambda ends: ends[0] != ends[1]),
    st.lists(st.tuples(GRID, GRID), min_size=2, max_size=6),
)
@settings(max_examples=300)
def test_a_walk_that_does_not_meet_the_line_never_counts(line, walk):
    assume(not any(meets(*line, a, b) for a, b in itertools.pairwise(walk)))
    assert crossings(line, walk, margin=0.0) == []


def test_a_walk_around_the_end_does_not_count_and_is_not_forgotten():
    line = ((0, 10), (20, 10))
    around = [(10, 0), (30, 0), (30, 20), (10, 20)]
    assert crossings(line, around) == []
    assert crossings(line, [*around, (10, 0)]) == ["out"]
    assert crossings(line, [*around, *around[::-1]]) == []


@given(LINES, WALKS, st.integers(2, 7))
@settings(max_examples=300)
def test_a_faster_camera_counts_the_same(line, walk, times):
    shares = np.arange(times)[:, None] / times
    finer = [
        tuple(place)
        for a, b in itertools.pairwise(walk)
        for place in (np.array(a) + shares * np.subtract(b, a)).tolist()
    ]
    assert crossings(line, [*finer, walk[-1]]) == crossings(line, walk)


@pytest.mark.parametrize(("last", "expected"), [(20, ["in"]), (0, [])])
def test_swaying_on_the_line_counts_once_or_never(last, expected):
    line = ((0, 10), (20, 10))
    sway = [(8 + n % 3, 10 + 0.9 * MARGIN * (-1) ** n) for n in range(60)]
    assert crossings(line, [(8, 0), *sway, (8, last)]) == expected


def test_everybody_is_followed_alone_and_forgotten_on_request():
    counter = LineCrossing((0, 10), (20, 10))
    assert counter.step(1, (5, 0), MARGIN) is None
    assert counter.step(2, (5, 20), MARGIN) is None
    assert counter.step(1, (5, 20), MARGIN) == "in"
    counter.forget(2)
    counter.forget(3)
    assert counter.step(2, (5, 0), MARGIN) is None
