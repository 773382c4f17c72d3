"""Who is on the street when."""

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_fairmot.benchmarks.street.camera import Camera
from edge_fairmot.benchmarks.street.crowd import MEMORY_S, Crowd
from edge_fairmot.benchmarks.street.plan import furnish
from edge_fairmot.benchmarks.street.route import SPACING_M, invent_route
from edge_fairmot.benchmarks.street.sprites import SPRITE_CACHE_BYTES, SpriteCache

CAMERA = Camera((960, 540))


@given(st.integers(0, 10**6), st.sampled_from([(960, 540), (320, 320), (300, 600), (1200, 200)]))
@settings(max_examples=60)
def test_a_walk_is_steady_and_without_leaps(seed, size):
    route = invent_route(Random(seed), Camera(size))
    times = np.arange(0, route.duration_s, 0.04)
    distance = np.array([route.distance(time_s) for time_s in times])
    assert distance[0] == 0
    assert route.distance(route.duration_s + 1) == route.length_m
    steps = np.diff(distance)
    assert (steps >= 0).all()
    assert steps.max() <= route.speed * 0.0401
    places = np.array([route.place(at)[:2] for at in distance])
    assert np.hypot(*np.diff(places, axis=0).T).max() <= route.speed * 0.0401
    assert np.hypot(*np.diff(route.points, axis=0).T).max() <= SPACING_M + 1e-9
    standing = [time_s for time_s in times if route.stride(time_s) == 0]
    assert (len(standing) > 0) == (route.halt_s > 0)
    for time_s in standing:
        assert route.distance(time_s) == pytest.approx(route.halt_at)


@given(st.integers(0, 10**6))
@settings(max_examples=30)
def test_everybody_comes_from_out_of_sight_and_goes_there(seed):
    route = invent_route(Random(seed), CAMERA)
    for x, z in (route.points[0], route.points[-1]):
        assert abs(x) > min(CAMERA.half_width(z), 8.5)


def test_as_many_as_asked_for_are_under_way():
    crowd = Crowd(1, 12, CAMERA, furnish(1))
    for tick in range(0, 1200, 7):
        walkers = crowd.at(tick / 10)
        assert 12 <= len(walkers) <= 14
        identities = [walker.identity for walker in walkers]
        assert identities == sorted(set(identities))


def test_people_walk_around_furniture():
    furniture = furnish(2)
    crowd = Crowd(2, 30, CAMERA, furniture)
    inside = total = 0
    for tick in range(600):
        for walker in crowd.at(tick / 5):
            x, z, _ = walker.place(tick / 5)
            total += 1
            inside += any(math.hypot(x - spot.x, z - spot.z) < 0.5 * spot.radius for spot in furniture)
    assert inside / total < 0.01


def test_a_long_day_takes_no_more_memory_than_a_minute():
    crowd = Crowd(0, 10, CAMERA, furnish(0))
    kept = []
    for minute in range(20):
        crowd.at(60.0 * minute)
        kept.append(len(crowd._walkers))
    assert max(kept) < 10 + 2 * MEMORY_S
    assert crowd._identities > 4 * max(kept)
    assert set(crowd._tracks) == {walker.identity for walker in crowd._walkers}


def test_portraits_make_room_for_new_ones(monkeypatch):
    assert SPRITE_CACHE_BYTES < 2**27
    monkeypatch.setattr("edge_fairmot.benchmarks.street.render.SPRITE_CACHE_BYTES", 200_000)
    portraits, crowd = SpriteCache(CAMERA), Crowd(0, 10, CAMERA, furnish(0))
    walker = crowd.at(0.0)[0]
    first = portraits.of(walker, 0.0, (0.0, 1.0), 100.0)
    assert portraits.of(walker, 0.0, (0.0, 1.0), 100.0) is first
    for step in range(20):
        portraits.of(walker, 0.0, (step * math.tau / 20 + 0.01, 1.0), 100.0)
    assert portraits._bytes == sum(sprite.image.nbytes for sprite in portraits._kept.values()) <= 200_000
    again = portraits.of(walker, 0.0, (0.0, 1.0), 100.0)
    assert again is not first
    np.testing.assert_array_equal(again.image, first.image)
