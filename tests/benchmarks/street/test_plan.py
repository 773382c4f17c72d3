"""Routes and people in metres."""

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_fairmot.benchmarks.street.plan import MEMORY_S, ROUTE_STEP_M, WALL_M, Crowd, furnish, invent_route
from edge_fairmot.benchmarks.street.shapes import Camera

CAMERA = Camera((960, 540))


@given(st.integers(0, 10**6), st.sampled_from([(960, 540), (320, 320), (300, 600), (1200, 200)]))
@settings(max_examples=40)
def test_a_walk_is_steady_and_begins_and_ends_out_of_view(seed, size):
    camera = Camera(size)
    route = invent_route(Random(seed), camera)
    times = np.arange(0, route.duration_s, 0.04)
    distance = np.array([route.distance(time_s) for time_s in times])
    assert distance[0] == 0
    assert route.distance(route.duration_s + 1) == route.length_m
    assert (np.diff(distance) >= 0).all()
    places = np.array([route.place(at)[:2] for at in distance])
    assert np.hypot(*np.diff(places, axis=0).T).max() <= route.speed * 0.0401
    assert np.hypot(*np.diff(route.points, axis=0).T).max() <= ROUTE_STEP_M + 1e-9
    standing = [time_s for time_s in times if route.stride(time_s) == 0]
    assert bool(standing) == (route.halt_s > 0)
    assert [route.distance(time_s) for time_s in standing] == pytest.approx([route.halt_at] * len(standing))
    for x, z in (route.points[0], route.points[-1]):
        assert abs(x) > min(camera.half_width(z), WALL_M)


def test_the_street_stays_full_and_people_walk_around_furniture():
    furniture = furnish(2)
    crowd = Crowd(2, 30, CAMERA, furniture)
    inside = total = 0
    for tick in range(600):
        people = crowd.at(tick / 5)
        assert 30 <= len(people) <= 32
        identities = [person.identity for person in people]
        assert identities == sorted(set(identities))
        for person in people:
            x, z, _ = person.place(tick / 5)
            total += 1
            inside += any(math.hypot(x - spot.x, z - spot.z) < 0.5 * spot.radius for spot in furniture)
    assert inside / total < 0.01


def test_a_long_run_takes_no_more_memory_than_a_minute():
    crowd = Crowd(0, 10, CAMERA, furnish(0))
    kept = []
    for minute in range(20):
        crowd.at(60.0 * minute)
        kept.append(len(crowd._persons))
    assert max(kept) < 10 + 2 * MEMORY_S
    assert crowd._identities > 4 * max(kept)
    assert set(crowd._paths) == {person.identity for person in crowd._persons}
