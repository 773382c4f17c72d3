"""Tracks in, events and totals out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
HEIGHT = 40.0
CONFIG = CountingConfig(
    (parse_line("door:0.5,0,0.5,1"),), (parse_zone("left half:0,0;0.5,0;0.5,1;0,1"),), hysteresis=0.1
)


def tracks(*people, height=HEIGHT):
    """Tracks of (id, x, y): feet, pixels."""
    table = np.array(people, np.float64).reshape(-1, 3)
    x, y = table[:, 1], table[:, 2]
    xyxy = np.stack([x - 8, y - height, x + 8, y], axis=1).astype(np.float32)
    count = len(table)
    return Tracks(
        table[:, 0].astype(np.int64),
        xyxy,
        np.ones(count, np.float32),
        np.zeros(count, np.int64),
        np.zeros(count, bool),
    )


def watch(moments, config=CONFIG, size=SIZE):
    """Feed (time_s, people) pairs."""
    counter = Counter(config, size)
    return counter, [event for time_s, people in moments for event in counter.update(tracks(*people), time_s)]


def test_a_walk_over_the_door_gives_its_events():
    counter, events = watch([(n / 10, [(3, 300 - 10 * n, 100)]) for n in range(21)])
    assert events == [Event("in", "door", 3, 1.1), Event("enter", "left half", 3, 1.1)]
    assert counter.lines == {"door": LineTotals(1, 0)}
    assert counter.zones == {"left half": ZoneTotals(occupancy=1, entries=1)}


def test_a_stay_ends_with_its_time():
    there_and_back = [300, 150, 120, 150, 300, 320, 150, 300]
    counter, events = watch([(float(n), [(5, x, 100)]) for n, x in enumerate(there_and_back)])
    assert [event for event in events if event.kind == "leave"] == [
        Event("leave", "left half", 5, 4.0, 3.0),
        Event("leave", "left half", 5, 7.0, 1.0),
    ]
    assert counter.lines == {"door": LineTotals(2, 2)}
    assert counter.zones == {"left half": ZoneTotals(0, 2, 2, 2.0, 3.0)}


def test_hysteresis_follows_the_size_of_people():
    near = [(n / 10, [(1, x, 100)]) for n, x in enumerate((230, 197, 203, 197, 203))]
    assert watch(near)[0].lines["door"] == LineTotals(0, 0)  # 4 pixels are a tenth of a box
    counter = Counter(CONFIG, SIZE)
    for time_s, people in near:
        counter.update(tracks(*people, height=20.0), time_s)
    assert counter.lines["door"] == LineTotals(2, 2)


@pytest.mark.parametrize("gap", [1, 5, 20])
@pytest.mark.parametrize("other_id", [3, 9])
def test_a_loss_across_the_line_counts_once(gap, other_id):
    """At 10 frames a second and 50 pixels a second, lost before the line and found after it."""
    walk = [(n, 330 - 5 * n) for n in range(50)]
    lost = range(26 - gap // 2, 26 - gap // 2 + gap)
    moments = [(n / 10, [] if n in lost else [(3 if n < lost[0] else other_id, x, 100)]) for n, x in walk]
    counter, events = watch(moments)
    assert counter.lines["door"] == LineTotals(1, 0)
    assert counter.zones["left half"] == ZoneTotals(1, 1)
    assert {event.track_id for event in events} == {other_id}


def test_a_loss_within_a_stay_does_not_end_it():
    moments = [
        *((n / 10, [(1, 150 + n % 2, 100)]) for n in range(20)),
        (2.0, []),
        (4.0, [(2, 155, 102)]),
        (5.0, [(2, 300, 100)]),
    ]
    _, events = watch(moments)
    assert events[-1] == Event("leave", "left half", 2, 5.0, 5.0)


def test_who_stays_away_has_left_when_last_seen():
    moments = [(float(n), [(1, 100, 100)]) for n in range(3)] + [(2.0 + CONFIG.memory_s, [])]
    counter, events = watch(moments)
    assert [event.kind for event in events] == ["enter"]
    assert counter.zones["left half"].occupancy == 1
    assert counter.update(tracks(), 2.1 + CONFIG.memory_s) == [Event("leave", "left half", 1, 2.0, 2.0)]
    assert counter.zones["left half"] == ZoneTotals(0, 1, 1, 2.0, 2.0)
    # Whoever comes then is somebody new, under the same number too.
    counter.update(tracks((1, 300, 100)), 9.0)
    assert counter.lines["door"] == LineTotals(0, 0)


@pytest.mark.parametrize(
    ("place", "height"), [((150, 100), HEIGHT), ((205, 100), 2 * HEIGHT)], ids=["far away", "another size"]
)
def test_somebody_else_is_not_taken_for_who_was_lost(place, height):
    counter = Counter(CONFIG, SIZE)
    for n in range(10):
        counter.update(tracks((1, 300 - 10 * n, 100)), n / 10)
    counter.update(tracks((2, *place), height=height), 1.0)
    counter.update(tracks((2, 100, 100), height=height), 1.1)
    assert counter.lines["door"].inwards == int(place[0] > 200 + 0.1 * height)
    assert counter._visitors._greeted == 2


def test_who_walks_out_of_the_picture_is_not_waited_for():
    counter = Counter(CONFIG, SIZE)
    for n in range(20):
        counter.update(tracks((1, 100 - 5 * n, 100)), n / 10)
    counter.update(tracks((2, 4, 100)), 2.5)
    assert counter._visitors._greeted == 2


def test_an_id_that_comes_back_after_another_took_its_place_is_somebody_new():
    counter = Counter(CONFIG, SIZE)
    moments = [[(1, 300, 100)], [], [(2, 300, 100)], [(2, 300, 100), (1, 310, 100)]]
    for n, people in enumerate(moments):
        counter.update(tracks(*people), n / 10)
    assert counter._visitors._greeted == 2
    assert sorted(counter._visitors._visitors) == [1, 2]


def test_of_two_who_could_be_meant_the_nearest_is_and_each_but_once():
    counter = Counter(CONFIG, SIZE)
    counter.update(tracks((1, 300, 100), (2, 320, 100)), 0.0)
    counter.update(tracks(), 0.1)
    counter.update(tracks((3, 316, 100), (4, 305, 100), (5, 310, 100)), 0.2)
    numbers = {track_id: visitor.number for track_id, visitor in counter._visitors._visitors.items()}
    assert numbers == {3: 2, 4: 1, 5: 3}


WALKERS = st.lists(
    st.dictionaries(st.integers(1, 6), st.tuples(st.integers(0, 400), st.integers(40, 200)), max_size=5),
    max_size=30,
)


@given(WALKERS, st.integers(1, 30))
@settings(max_examples=150)
def test_who_has_entered_is_inside_or_has_left(moments, tenths):
    counter = Counter(CONFIG, SIZE)
    kinds = []
    for n, people in enumerate(moments):
        rows = [(identity, *place) for identity, place in people.items()]
        kinds += [event.kind for event in counter.update(tracks(*rows), n * tenths / 10)]
        zone = counter.zones["left half"]
        assert zone.entries == zone.occupancy + zone.stays == kinds.count("enter")
        assert zone.stays == kinds.count("leave")
        assert counter.lines["door"] == LineTotals(kinds.count("in"), kinds.count("out"))
        assert zone.mean_dwell_s <= zone.longest_dwell_s + 1e-9


@given(st.integers(-60, 60), st.integers(1, 5))
@settings(max_examples=60)
def test_a_walk_backwards_swaps_in_and_out(slope, pace):
    walk = [(300 - 4 * pace * n, 100 + slope * n / 30) for n in range(1 + 30 // pace)]
    counts = [
        watch([(n / 10, [(1, *place)]) for n, place in enumerate(way)])[0].lines["door"]
        for way in (walk, walk[::-1])
    ]
    assert (counts[0].inwards, counts[0].outwards) == (counts[1].outwards, counts[1].inwards) == (1, 0)


def test_lines_mean_the_same_in_any_shape_of_picture():
    for size in ((400, 200), (1280, 720), (200, 800)):
        config = CountingConfig((parse_line("slant:0.2,0.9,0.8,0.3"),))
        # Across the middle of the line, at right angles in pixels.
        along = np.array([0.6 * size[0], -0.6 * size[1]])
        across = np.array([-along[1], along[0]]) / np.hypot(*along)
        middle = np.array([0.5 * size[0], 0.6 * size[1]])
        walk = [middle + step * 5 * across for step in range(-6, 7)]
        counter, _ = watch([(n / 10, [(1, *place)]) for n, place in enumerate(walk)], config, size)
        assert counter.lines["slant"] == LineTotals(1, 0)


def test_a_picture_that_changes_its_size_counts_as_one_that_does_not():
    moments = [(n / 10, [(3, 300 - 10 * n, 100)]) for n in range(21)]
    _, expected = watch(moments)
    counter, events = Counter(CONFIG, SIZE), []
    for time_s, people in moments:
        scale = 3 if time_s > 0.9 else 1  # right before the line
        tall = tracks(*people)
        larger = Tracks(tall.track_id, tall.xyxy * scale, tall.score, tall.class_id, tall.predicted)
        events += counter.update(larger, time_s, (SIZE[0] * scale, SIZE[1] * scale))
    assert events == expected
    assert len(events) == 2


def test_a_camera_above_counts_the_middle_of_boxes():
    config = CountingConfig((parse_line("gate:0,0.5,1,0.5"),), anchor="center")
    walk = [(200, 100 + HEIGHT / 2 + step) for step in (-10, -6, 6, 10)]
    counter, _ = watch([(n / 10, [(1, *place)]) for n, place in enumerate(walk)], config)
    assert counter.lines["gate"] == LineTotals(1, 0)


def test_a_month_of_people_takes_no_more_memory_than_a_minute():
    counter = Counter(CONFIG, SIZE)
    for n in range(1000):
        counter.update(tracks((n, 150 + 100 * (n % 2), 100)), 1.5 * CONFIG.memory_s * n)
    assert counter._visitors._greeted == 1000
    assert len(counter._visitors._visitors) < 3
    assert len(counter._lines["door"].crossing._walks) < 3
    assert counter.zones["left half"].occupancy < 3


def test_time_goes_forward():
    counter = Counter(CONFIG, SIZE)
    counter.update(tracks(), 1.0)
    for time_s in (1.0, 0.5, float("nan"), float("inf")):
        with pytest.raises(InvalidInputError, match=r"later than 1\.0"):
            counter.update(tracks(), time_s)
    with pytest.raises(InvalidInputError, match="frame_size"):
        Counter(CONFIG, (0, 10))
