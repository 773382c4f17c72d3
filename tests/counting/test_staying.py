"""Staying in a zone."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_fairmot.counting.counter import ZoneStay

SQUARE = [(10.0, 10.0), (20.0, 10.0), (20.0, 20.0), (10.0, 20.0)]
BAY = [
    (0.0, 0.0),
    (30.0, 0.0),
    (30.0, 30.0),
    (20.0, 30.0),
    (20.0, 10.0),
    (10.0, 10.0),
    (10.0, 30.0),
    (0.0, 30.0),
]


def test_a_stay_lasts_from_the_first_place_inside_to_the_first_clear_of_it():
    stay = ZoneStay(SQUARE)
    places = [(5, 15), (11, 15), (15, 15), (21, 15), (23, 15), (15, 15)]
    found = [stay.step(7, place, 2.0, float(second)) for second, place in enumerate(places)]
    assert found == [None, "enter", None, None, 3.0, "enter"]
    assert stay.occupancy == 1
    assert stay.forget(7, 9.0) == 4.0
    assert stay.forget(7, 9.0) is None
    assert stay.occupancy == 0


def test_swaying_on_the_edge_is_one_entry():
    stay = ZoneStay(SQUARE)
    found = [stay.step(1, (10 + 1.5 * (-1) ** n, 15), 2.0, float(n)) for n in range(40)]
    assert found.count("enter") == 1
    assert found[1:] == [None] * 39


@given(st.floats(-5, 35), st.floats(-5, 35), st.integers(0, 7), st.booleans())
@settings(max_examples=300)
def test_a_bay_is_outside_whatever_corner_comes_first(x, y, first, backwards):
    corners = BAY[first:] + BAY[:first]
    stay = ZoneStay(corners[::-1] if backwards else corners)
    inside = 0 < x < 30 and 0 < y < 30 and not (10 < x < 20 and y > 10)
    on_edge = (
        min(abs(x - edge) for edge in (0, 10, 20, 30)) < 1e-9
        or min(abs(y - edge) for edge in (0, 10, 30)) < 1e-9
    )
    if not on_edge:
        assert (stay.step(1, (x, y), 0.0, 0.0) == "enter") == inside


@given(st.floats(0, 2 * math.pi), st.floats(0.5, 30), st.floats(0.1, 10))
@settings(max_examples=200)
def test_clear_is_as_far_outside_as_asked_for(angle, away, margin):
    stay = ZoneStay(SQUARE)
    assert stay.step(1, (15, 15), margin, 0.0) == "enter"
    x, y = 15 + away * math.cos(angle), 15 + away * math.sin(angle)
    outside = np.maximum(np.abs([x - 15, y - 15]) - 5, 0)
    left = stay.step(1, (x, y), margin, 1.0)
    if abs(np.hypot(*outside) - margin) > 1e-9:
        assert (left == 1.0) == (np.hypot(*outside) > margin)


@pytest.mark.parametrize(
    "polygon", [[(0, 0), (10, 0), (10, 0), (10, 10)], [(0, 0), (0, 0), (10, 10), (10, 0)]]
)
def test_a_corner_given_twice_does_no_harm(polygon):
    stay = ZoneStay(polygon)
    assert stay.step(1, (8, 5), 1.0, 0.0) == "enter"
    assert stay.step(1, (8, 11.5), 1.0, 1.0) == 1.0
