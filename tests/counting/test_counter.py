"""Tracks in, events and counts out."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_fairmot.counting import Counter, CountingConfig, Line, Zone, parse_line, parse_zone
from edge_fairmot.counting.counter import MOST_LEFT_OUT
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.types import CountingEvent, Totals, Tracks

SIZE = (400, 200)
HEIGHT = 40.0
DOOR, LEFT = parse_line("door:0.5,0,0.5,1"), parse_zone("left half:0,0;0.5,0;0.5,1;0,1")
CONFIG = CountingConfig((DOOR,), (LEFT,), hysteresis=0.1)
EVERYWHERE = CountingConfig(zones=(parse_zone("image:0,0;1,0;1,1;0,1"),))
"""Each person enters this zone once: its entries are the number of persons."""


@pytest.fixture
def watch(tracks):
    """Feed (time_s, people) pairs; return the counter and its events."""

    def feed(moments, config=CONFIG, size=SIZE, counter=None, **options):
        counter = counter or Counter(config, size)
        events = [
            event
            for time_s, people in moments
            for event in counter.update(tracks(*people, **options), time_s)
        ]
        return counter, events

    return feed


def line_counts(counter, name="door"):
    line = counter.counts.lines[name]
    return line.inwards, line.outwards


def zone_counts(counter, name="left half"):
    zone = counter.counts.zones[name]
    return zone.occupancy, zone.entries, zone.stays, zone.mean_dwell_s, zone.longest_dwell_s


def persons(counter):
    return counter.counts.zones["image"].entries


def test_a_walk_over_the_door(watch):
    counter, events = watch([(n / 10, [(3, 300 - 10 * n, 100)]) for n in range(21)])
    assert events == [CountingEvent("in", "door", 3, 1.1), CountingEvent("enter", "left half", 3, 1.1)]
    counts = counter.counts
    assert line_counts(counter) == (1, 0)
    assert zone_counts(counter) == (1, 1, 0, 0, 0)
    watch([(3.0, [(3, 300, 100)])], counter=counter)
    assert line_counts(counter) == (1, 1)
    assert counts.lines["door"].outwards == 0  # a snapshot


def test_a_stay_ends_with_its_dwell_time(watch):
    there_and_back = [300, 150, 120, 150, 300, 320, 150, 300]
    counter, events = watch([(float(n), [(5, x, 100)]) for n, x in enumerate(there_and_back)])
    assert [event for event in events if event.kind == "leave"] == [
        CountingEvent("leave", "left half", 5, 4.0, 3.0),
        CountingEvent("leave", "left half", 5, 7.0, 1.0),
    ]
    assert line_counts(counter) == (2, 2)
    assert zone_counts(counter) == (0, 2, 2, 2.0, 3.0)


def test_hysteresis_follows_the_height_of_people(watch):
    near = [(n / 10, [(1, x, 100)]) for n, x in enumerate((230, 197, 203, 197, 203))]
    assert line_counts(watch(near)[0]) == (0, 0)  # 4 pixels are a tenth of a box
    assert line_counts(watch(near, height=20.0)[0]) == (2, 2)


@pytest.mark.parametrize("gap", [1, 5, 20])
@pytest.mark.parametrize("other_id", [3, 9])
def test_a_loss_across_the_line_counts_once(watch, gap, other_id):
    """10 frames and 50 pixels a second; lost before the line and found after it."""
    walk = [(n, 330 - 5 * n) for n in range(50)]
    lost = range(26 - gap // 2, 26 - gap // 2 + gap)
    counter, events = watch(
        [(n / 10, [] if n in lost else [(3 if n < lost[0] else other_id, x, 100)]) for n, x in walk]
    )
    assert line_counts(counter) == (1, 0)
    assert zone_counts(counter)[:2] == (1, 1)
    assert {event.track_id for event in events} == {other_id}


def test_a_loss_within_a_stay_does_not_end_it(watch):
    stay = [(n / 10, [(1, 150 + n % 2, 100)]) for n in range(20)]
    _, events = watch([*stay, (2.0, []), (4.0, [(2, 155, 102)]), (5.0, [(2, 300, 100)])])
    assert events[-1] == CountingEvent("leave", "left half", 2, 5.0, 5.0)


def test_a_person_who_is_not_seen_again_has_left_when_last_seen(watch, tracks):
    moments = [(float(n), [(1, 100, 100)]) for n in range(3)] + [(2.0 + CONFIG.memory_s, [])]
    counter, events = watch(moments)
    assert [event.kind for event in events] == ["enter"]
    assert (zone_counts(counter)[0], counter.counts.zones["left half"].unseen) == (0, 1)
    leave = CountingEvent("leave", "left half", 1, 2.0, 2.0)
    assert counter.update(tracks(), 2.1 + CONFIG.memory_s) == (leave,)
    assert zone_counts(counter) == (0, 1, 1, 2.0, 2.0)
    assert counter.counts.zones["left half"].unseen == 0
    # A track with the same id is then another person.
    counter.update(tracks((1, 300, 100)), 9.0)
    assert line_counts(counter) == (0, 0)


@pytest.mark.parametrize(
    ("start", "place", "height"),
    [(300, (100, 100), HEIGHT), (300, (205, 100), 2 * HEIGHT), (50, (4, 100), HEIGHT)],
    ids=["far away", "another size", "after a walk out of the image"],
)
def test_another_person_does_not_continue_a_lost_one(watch, tracks, start, place, height):
    counter, _ = watch([(n / 10, [(1, start - 5 * n, 100)]) for n in range(10)], EVERYWHERE)
    counter.update(tracks((2, *place), height=height), 1.5)
    assert persons(counter) == 2


def test_an_id_that_returns_after_another_has_continued_its_person_is_a_new_person(watch):
    moments = [[(1, 300, 100)], [], [(2, 300, 100)], [(2, 300, 100), (1, 310, 100)]]
    counter, _ = watch([(n / 10, people) for n, people in enumerate(moments)], EVERYWHERE)
    assert persons(counter) == 2


def test_the_nearest_track_continues_a_person_and_each_person_once(watch):
    moments = [
        [(1, 190, 100), (2, 210, 100)],
        [],
        [(3, 206, 100), (4, 195, 100), (5, 200, 100)],
        [(3, 150, 100), (4, 250, 100), (5, 200, 100)],
    ]
    _, events = watch([(n / 10, people) for n, people in enumerate(moments)])
    # 3 continues 2, from the right; 4 continues 1, from the left.
    crossings = [(event.kind, event.track_id) for event in events if event.name == "door"]
    assert crossings == [("in", 3), ("out", 4)]


WALKERS = st.lists(
    st.dictionaries(st.integers(1, 6), st.tuples(st.integers(0, 400), st.integers(40, 200)), max_size=5),
    max_size=30,
)


@given(WALKERS, st.integers(1, 30))
@settings(max_examples=100)
def test_a_person_who_entered_is_inside_or_has_left(tracks, moments, tenths):
    counter = Counter(CONFIG, SIZE)
    kinds = []
    for n, people in enumerate(moments):
        rows = [(identity, *place) for identity, place in people.items()]
        kinds += [event.kind for event in counter.update(tracks(*rows), n * tenths / 10)]
        occupancy, entries, stays, mean_s, longest_s = zone_counts(counter)
        # Who is outside within the margin has not left.
        assert 0 <= occupancy + counter.counts.zones["left half"].unseen <= entries - stays
        assert (entries, stays) == (kinds.count("enter"), kinds.count("leave"))
        assert line_counts(counter) == (kinds.count("in"), kinds.count("out"))
        assert mean_s <= longest_s + 1e-9


def test_lines_mean_the_same_in_images_of_any_shape(watch):
    for size in ((400, 200), (1280, 720), (200, 800)):
        config = CountingConfig((parse_line("slant:0.2,0.9,0.8,0.3"),))
        # Across the middle of the line, at right angles in pixels.
        along = np.array([0.6 * size[0], -0.6 * size[1]])
        across = np.array([-along[1], along[0]]) / np.hypot(*along)
        middle = np.array([0.5 * size[0], 0.6 * size[1]])
        walk = [middle + step * 5 * across for step in range(-6, 7)]
        counter, _ = watch([(n / 10, [(1, *place)]) for n, place in enumerate(walk)], config, size)
        assert line_counts(counter, "slant") == (1, 0)


def test_an_image_that_changes_its_size_changes_no_event(watch, tracks):
    moments = [(n / 10, [(3, 300 - 10 * n, 100)]) for n in range(21)]
    _, expected = watch(moments)
    counter, events = Counter(CONFIG, SIZE), []
    for time_s, people in moments:
        scale = 3 if time_s > 0.9 else 1  # right before the line
        small = tracks(*people)
        large = replace(small, xyxy=small.xyxy * scale)
        events += counter.update(large, time_s, (SIZE[0] * scale, SIZE[1] * scale))
    assert events == expected
    assert len(events) == 2


def test_a_camera_above_counts_the_centres_of_boxes(watch):
    config = CountingConfig((parse_line("gate:0,0.5,1,0.5"),), anchor="center")
    walk = [(200, 100 + HEIGHT / 2 + step) for step in (-10, -6, 6, 10)]
    counter, _ = watch([(n / 10, [(1, *place)]) for n, place in enumerate(walk)], config)
    assert line_counts(counter, "gate") == (1, 0)


def test_memory_does_not_grow_with_the_persons_so_far(tracks):
    counter = Counter(CONFIG, SIZE)
    for n in range(300):
        counter.update(tracks((n, 150 + 100 * (n % 2), 100)), 6.0 * n + 1)
        counter.update(tracks(), 6.0 * n + 3)
    assert zone_counts(counter)[1:3] == (150, 150)
    assert len(counter._persons._by_id) < 3
    assert len(counter._lines["door"]._walks) < 3


# What leaves the image, and what is no box or no time.


def boxes(*corners):
    count = len(corners)
    return Tracks(
        np.arange(1, count + 1),
        np.array(corners, np.float32),
        np.ones(count, np.float32),
        np.zeros(count, np.int64),
        np.zeros(count, bool),
    )


IMAGE, INNER, BAND = "0,0;1,0;1,1;0,1", "0.1,0.1;0.9,0.1;0.9,0.9;0.1,0.9", "0,0.6;1,0.6;1,0.9;0,0.9"


@pytest.mark.parametrize(
    ("zone", "anchor", "corners", "inside"),
    [
        (IMAGE, "feet", [100, 100, 140, 180], True),
        (IMAGE, "feet", [100, 100, 140, 200], True),  # ends exactly at the lower edge
        (IMAGE, "feet", [100, 100, 140, 240], True),  # feet below the image
        (IMAGE, "feet", [-30, 60, 20, 100], True),  # centre left of the image
        (IMAGE, "feet", [380, 60, 420, 100], True),  # centre exactly at the right edge
        (IMAGE, "feet", [0, 0, 4, 4], True),  # in the corner
        (IMAGE, "feet", [-60, 60, -10, 100], False),  # wholly left of the image
        (IMAGE, "feet", [100, 201, 140, 280], False),  # wholly below
        (INNER, "feet", [100, 100, 140, 170], True),
        (INNER, "feet", [100, 100, 140, 240], False),  # this zone does not reach the edge
        (INNER, "feet", [-30, 60, 20, 100], False),
        (BAND, "center", [100, 100, 140, 600], True),  # its part in the image ends at 200
        (BAND, "center", [100, 100, 140, 140], True),
    ],
)
def test_a_zone_contains_the_anchor_of_the_part_in_the_image(zone, anchor, corners, inside):
    counter = Counter(CountingConfig(zones=(parse_zone(f"zone:{zone}"),), anchor=anchor), SIZE)
    counter.update(boxes(corners), 0.0)
    assert counter.counts.zones["zone"].occupancy == inside


def test_a_line_is_crossed_outside_the_image_too():
    counter = Counter(CountingConfig((parse_line("low:0,0.98,1,0.98"),)), SIZE)
    for n, bottom in enumerate((180, 190, 200, 210)):
        counter.update(boxes([100, bottom - 100, 140, bottom]), n / 10)
    assert line_counts(counter, "low") == (1, 0)


@pytest.mark.parametrize(
    "corner", [[np.nan] * 4, [0, 0, np.inf, 50], [10, 10, 20, 10], [10, 10, 10, 20], [20, 10, 10, 20]]
)
def test_a_box_without_size_is_refused_and_changes_nothing(corner, tracks):
    counter = Counter(EVERYWHERE, SIZE)
    counter.update(tracks((1, 100, 100)), 0.0)
    with pytest.raises(InvalidInputError, match=r"that of track 2 is \[.*: leave such tracks out"):
        counter.update(boxes([10, 10, 20, 50], corner), 0.1)
    assert counter.update(tracks((1, 100, 100)), 0.1) == ()
    assert persons(counter) == 1


def test_time_goes_forward(tracks):
    counter = Counter(CONFIG, SIZE)
    counter.update(tracks(), 1.0)
    for time_s in (1.0, 0.5, float("nan"), float("inf"), 1.7e12):
        with pytest.raises(InvalidInputError, match=r"later than 1\.0, not .*: divide milliseconds by 1e3"):
            counter.update(tracks(), time_s)
    with pytest.raises(InvalidInputError, match="frame_size"):
        Counter(CONFIG, (0, 10))


def test_a_device_that_is_too_slow_for_its_camera_goes_on(tracks):
    counter = Counter(CONFIG, SIZE, live=True)
    for number in range(10):
        counter.update(tracks(), 40.0 * number)


def test_milliseconds_are_refused_and_a_slow_start_is_not(watch):
    standing = [(1, 100, 100)]
    with pytest.raises(InvalidInputError, match=r"went forward by 40 or more .*milliseconds divided by 1e3"):
        watch([(40.0 * n, standing) for n in range(10)])
    watch([(time_s, standing) for time_s in (0, 9, 18, 27, 36, 36.04, 50, 60, 70, 80, 90, 100)])
    timelapse = replace(EVERYWHERE, memory_s=60.0)
    assert persons(watch([(40.0 * n, standing) for n in range(10)], timelapse)[0]) == 1


# Lines and zones that are drawn while counting goes on.


@pytest.fixture
def walk(tracks):
    """Move person 7 from place to place, ten a second."""

    def move(counter, start_s, *places):
        return [
            event
            for n, x in enumerate(places)
            for event in counter.update(tracks((7, x, 100)), start_s + n / 10)
        ]

    return move


def test_a_moved_line_keeps_its_counts_and_counts_no_person_by_moving(walk):
    counter = Counter(CountingConfig((DOOR,)), SIZE)
    walk(counter, 0, 300, 100)
    counter.redraw([parse_line("door:0.1,0,0.1,1")], [])
    assert walk(counter, 1, 100, 100) == []
    assert line_counts(counter) == (1, 0)
    assert walk(counter, 2, 20) == [CountingEvent("in", "door", 7, 2.0)]
    assert line_counts(counter) == (2, 0)
    walk(counter, 3, 41)  # through the line, not clear of it
    counter.redraw([parse_line("door:0.05,0,0.05,1")], [])
    assert walk(counter, 4, 41) == []


def test_an_unchanged_shape_misses_nothing_when_another_is_drawn(walk):
    counter = Counter(CountingConfig((DOOR,), (LEFT,)), SIZE)
    walk(counter, 0, 300, 199)
    counter.redraw([DOOR, parse_line("other:0,0.9,1,0.9")], [LEFT, replace(LEFT, name="copy")])
    events = walk(counter, 1, 150)
    assert events == [CountingEvent("in", "door", 7, 1.0), CountingEvent("enter", "copy", 7, 1.0)]
    assert zone_counts(counter)[1] == 1


@pytest.mark.parametrize(
    ("polygon", "events", "counts"),
    [
        ("0,0;0.4,0;0.4,1;0,1", [], (1, 1, 0, 0, 0)),
        (
            "0.6,0;1,0;1,1;0.6,1",
            [CountingEvent("leave", "left half", 7, 1.0, 0.9)],
            (0, 1, 1, 0.9, 0.9),
        ),
    ],
    ids=["around the person", "away from the person"],
)
def test_a_moved_zone_keeps_the_persons_inside_and_the_others_leave(walk, polygon, events, counts):
    counter = Counter(CountingConfig(zones=(LEFT,)), SIZE)
    walk(counter, 0, 300, 100)
    counter.redraw([], [parse_zone(f"left half:{polygon}")])
    assert walk(counter, 1, 100) == events
    assert zone_counts(counter) == counts


def test_counts_belong_to_the_id_of_a_shape_whatever_its_name(walk):
    door, hall = replace(DOOR, id="a"), replace(LEFT, id="b")
    counter = Counter(CountingConfig((door,), (hall,)), SIZE)
    walk(counter, 0, 300, 100)
    counter.redraw([replace(door, name="Front door")], [replace(hall, name="Hall")])
    assert walk(counter, 1, 300) == [
        CountingEvent("out", "Front door", 7, 1.0, shape_id="a"),
        CountingEvent("leave", "Hall", 7, 1.0, 0.9, shape_id="b"),
    ]
    assert (counter.counts.lines["Front door"].inwards, counter.counts.lines["Front door"].outwards) == (1, 1)
    assert counter.counts.zones["Hall"].entries == 1
    with pytest.raises(InvalidInputError, match="two lines are of id 'a'"):
        counter.redraw([door, replace(door, name="other")], [])


def test_a_line_that_is_turned_around_turns_its_counts(walk):
    counter = Counter(CountingConfig((DOOR,)), SIZE)
    walk(counter, 0, 300, 100, 300, 100)
    assert line_counts(counter) == (2, 1)
    counter.redraw([replace(DOOR, start=DOOR.end, end=DOOR.start)], [])
    walk(counter, 1, 100)
    assert line_counts(counter) == (1, 2)
    assert walk(counter, 2, 300) == [CountingEvent("in", "door", 7, 2.0)]


def test_a_shape_that_is_left_out_keeps_its_counts_for_an_undo_but_not_where_persons_were(walk):
    counter = Counter(CountingConfig((DOOR,), (LEFT,), hysteresis=0.3), SIZE)
    walk(counter, 0, 300, 100)
    counter.redraw([], [])
    assert walk(counter, 1, 300) == [CountingEvent("leave", "left half", 7, 0.1, 0.0)]
    assert (counter.counts.lines, counter.counts.zones) == ({}, {})
    counter.redraw([DOOR], [LEFT])
    assert (counter.config.lines, counter.counts.lines) == ((), {})
    walk(counter, 2, 300)
    assert (line_counts(counter), zone_counts(counter)) == ((1, 0), (0, 1, 1, 0, 0))
    assert (counter.config.lines, counter.config.hysteresis) == ((DOOR,), 0.3)
    with pytest.raises(InvalidInputError, match="two lines are called 'door'"):
        counter.redraw([DOOR, DOOR], [])
    assert walk(counter, 3, 100) == [
        CountingEvent("in", "door", 7, 3.0),
        CountingEvent("enter", "left half", 7, 3.0),
    ]


def test_of_many_shapes_that_are_left_out_those_left_out_last_keep_their_counts(walk):
    counter = Counter(CountingConfig((DOOR,), (LEFT,)), SIZE)
    walk(counter, 0, 300, 100)
    others = [(replace(DOOR, name=f"{n}"), replace(LEFT, name=f"{n}")) for n in range(MOST_LEFT_OUT + 1)]
    counter.redraw([DOOR, others[0][0]], [LEFT, others[0][1]])
    walk(counter, 1, 300, 100)
    counter.redraw([DOOR], [LEFT])  # others[0] is left out before, though it was drawn after
    for n, (line, zone) in enumerate(others[1:]):
        walk(counter, 2 + n, 100)
        counter.redraw([line], [zone])
    walk(counter, 100, 100)
    counter.redraw([DOOR, others[0][0]], [LEFT, others[0][1]])
    walk(counter, 200, 100)
    assert (line_counts(counter), line_counts(counter, "0")) == ((2, 1), (0, 0))
    assert (zone_counts(counter)[1], zone_counts(counter, "0")[1]) == (3, 1)


# Who is inside now: seen, or not.


def inside(counter, name="left half"):
    zone = counter.counts.zones[name]
    return zone.occupancy, zone.unseen, zone.shown


def test_a_person_who_is_hidden_is_unseen_and_not_inside(watch):
    stay = [(n / 10, [(1, 100, 100), (2, 60, 100)]) for n in range(10)]
    counter, _ = watch(stay)
    watch([(1.2, [(2, 60, 100)])], counter=counter)
    assert inside(counter) == (2, 0, "2")  # a detector misses a person in some frames
    watch([(1.6, [(2, 60, 100)])], counter=counter)
    assert inside(counter) == (1, 1, "1 (+1 unseen)")
    _, events = watch([(2.0, [(9, 104, 100), (2, 60, 100)])], counter=counter)
    assert (inside(counter), events) == ((2, 0, "2"), [])


@pytest.mark.parametrize(
    ("walk_x", "config"),
    [(range(150, 196, 5), CONFIG), (range(50, 0, -5), CONFIG)],
    ids=["out of the zone", "out of the image"],
)
def test_a_person_who_should_have_walked_out_unseen_is_not_inside(watch, walk_x, config):
    counter, _ = watch([(n / 10, [(1, x, 100)]) for n, x in enumerate(walk_x)], config)
    end_s = (len(walk_x) - 1) / 10
    assert inside(counter) == (1, 0, "1")
    _, events = watch([(end_s + 0.7, []), (end_s + 3.9, [])], counter=counter)
    assert (inside(counter), events) == ((0, 0, "0"), [])
    _, events = watch([(end_s + 4.1, [])], counter=counter)
    assert events == [CountingEvent("leave", "left half", 1, end_s, end_s)]


def test_a_stay_ends_where_the_person_went_out_and_not_where_that_was_clear(watch):
    counter, events = watch([(float(n), [(1, x, 100)]) for n, x in enumerate((150, 202, 203, 190, 202, 203))])
    assert [event.kind for event in events] == ["enter"]
    assert inside(counter) == (0, 0, "0")
    _, events = watch([(6.0, [(1, 300, 100)])], counter=counter)
    assert events[-1] == CountingEvent("leave", "left half", 1, 4.0, 4.0)


@pytest.mark.parametrize(("away", "kinds"), [(6, []), (12, ["leave", "enter"])], ids=["at once", "later"])
def test_a_person_whose_box_jumps_out_of_the_zone_and_back_has_not_left(watch, away, kinds):
    places = [150] * 5 + [300] * away + [150] * 5
    counter, events = watch(
        [(n / 10, [(1, x, 100)]) for n, x in enumerate(places)], replace(CONFIG, lines=())
    )
    assert [event.kind for event in events] == ["enter", *kinds]
    assert [event.time_s for event in events if event.kind == "leave"] == [0.5][: len(kinds)]
    assert inside(counter) == (1, 0, "1")
    counter, _ = watch([(n / 10, [(1, x, 100)]) for n, x in enumerate(places[:6])])
    assert inside(counter) == (0, 0, "0")  # at once, though the stay goes on for a while


def test_counts_go_on_from_those_of_earlier_runs_also_of_a_class_that_the_model_lacks():
    config = CountingConfig(
        (Line("door", (0, 0.5), (1, 0.5), id="a1"),), (Zone("hall", ((0, 0), (1, 0), (1, 1)), id="a1"),)
    )
    earlier = {
        ("line", "a1"): {"person": Totals(3, 4), "tram": Totals(10, 20)},
        ("zone", "a1"): {"car": Totals(entries=5, stays=2, dwell_s=8.0, longest_s=6.0)},
        ("zone", "gone"): {"car": Totals(entries=50)},
    }
    counts = Counter(config, (640, 480), ("person", "car"), earlier=earlier).counts
    door, hall = counts.lines["door"], counts.zones["hall"]
    assert (door.inwards, door.outwards) == (13, 24)
    assert (door.by_class["person"].inwards, door.by_class["car"].inwards) == (3, 0)
    assert (hall.occupancy, hall.entries, hall.stays, hall.mean_dwell_s, hall.longest_dwell_s) == (
        0,
        5,
        2,
        4,
        6,
    )
    assert hall.by_class["car"].entries == 5
