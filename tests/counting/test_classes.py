"""Several classes: counted apart, in one total, and only where a line or zone wants them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_fairmot.counting import Counter, CountingConfig, Line, parse_counting, parse_line, parse_zone
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.types import Tracks

SIZE = (400, 200)
NAMES = ("car", "bus", "person")
DOOR, HALL = parse_line("door:0.5,0,0.5,1"), parse_zone("hall:0,0;0.5,0;0.5,1;0,1")


def walk(counter, frames, start_s=0.0):
    """Feed frames of (id, class, x) and return the events."""
    events = []
    for index, rows in enumerate(frames):
        table = np.array(rows, np.float64).reshape(-1, 3)
        x, count = table[:, 2], len(table)
        tracks = Tracks(
            table[:, 0].astype(np.int64),
            np.stack([x - 8, np.full(count, 60), x + 8, np.full(count, 100)], axis=1).astype(np.float32),
            np.ones(count, np.float32),
            table[:, 1].astype(np.int64),
            np.zeros(count, bool),
        )
        events += counter.update(tracks, start_s + index / 10)
    return events


def traffic(rides):
    """Each ride, (id, class, from x, to x), in 21 frames, all at once."""
    return [[(one, kind, a + (b - a) * n / 20) for one, kind, a, b in rides] for n in range(21)]


RIDES = [(1, 0, 300, 100), (2, 0, 320, 90), (3, 1, 310, 80), (4, 2, 100, 300)]


def test_a_line_counts_each_class_and_all_of_them():
    counter = Counter(CountingConfig((DOOR,), (HALL,)), SIZE, NAMES)
    events = walk(counter, traffic(RIDES))
    line, zone = counter.counts.lines["door"], counter.counts.zones["hall"]
    assert (line.inwards, line.outwards) == (3, 1)
    by_class = {name: (one.inwards, one.outwards) for name, one in line.by_class.items()}
    assert by_class == {"car": (2, 0), "bus": (1, 0), "person": (0, 1)}
    assert (zone.occupancy, zone.entries, zone.stays) == (3, 4, 1)
    stays = {name: (one.occupancy, one.entries, one.stays) for name, one in zone.by_class.items()}
    assert stays == {"car": (2, 2, 0), "bus": (1, 1, 0), "person": (0, 1, 1)}
    assert zone.by_class["person"].mean_dwell_s == zone.mean_dwell_s == zone.longest_dwell_s > 0
    crossings = {event.track_id: event.class_id for event in events if event.name == "door"}
    assert crossings == {1: 0, 2: 0, 3: 1, 4: 2}


def test_counts_of_one_class_equal_those_of_a_counter_that_sees_only_it():
    both = Counter(CountingConfig((DOOR,), (HALL,)), SIZE, NAMES)
    walk(both, traffic(RIDES))
    for class_id, name in enumerate(NAMES):
        alone = Counter(CountingConfig((DOOR,), (HALL,)), SIZE)
        walk(alone, traffic([ride for ride in RIDES if ride[1] == class_id]))
        counts, own = both.counts, alone.counts
        assert counts.lines["door"].by_class[name] == own.lines["door"]
        assert counts.zones["hall"].by_class[name] == own.zones["hall"]
    assert not alone.counts.lines["door"].by_class  # of a model of one class there is nothing to list


def test_a_shape_counts_only_its_classes():
    lines = (DOOR, parse_line("bikes:0.5,0,0.5,1;person"))
    counter = Counter(CountingConfig(lines, (replace(HALL, classes=("bus", "car")),)), SIZE, NAMES)
    walk(counter, traffic(RIDES))
    counts = counter.counts
    assert (counts.lines["door"].inwards, counts.lines["bikes"].inwards) == (3, 0)
    assert counts.lines["bikes"].outwards == 1
    assert list(counts.lines["bikes"].by_class) == ["person"]
    assert (counts.zones["hall"].entries, list(counts.zones["hall"].by_class)) == (3, ["car", "bus"])


def test_those_inside_leave_when_a_zone_counts_them_no_more():
    counter = Counter(CountingConfig((), (HALL,)), SIZE, NAMES)
    walk(counter, [[(1, 0, 100), (3, 1, 120)]])
    counter.redraw((), [replace(HALL, classes=("bus",))])
    (event,) = walk(counter, [[(1, 0, 100), (3, 1, 120)]], start_s=2.0)
    assert (event.kind, event.track_id, event.dwell_s) == ("leave", 1, 2.0)
    assert counter.counts.zones["hall"].occupancy == 1


def test_a_lost_car_is_not_continued_by_a_bus():
    hall = Counter(CountingConfig((), (parse_zone("all:0,0;1,0;1,1;0,1"),)), SIZE, NAMES)
    walk(hall, [[(1, 0, 200)], [(2, 1, 200)], [(3, 1, 200)]])
    entries = {name: one.entries for name, one in hall.counts.zones["all"].by_class.items()}
    assert entries == {"car": 1, "bus": 1, "person": 0}  # 3 continues the bus


def test_a_class_that_cannot_be_counted_is_named_with_those_that_can():
    bikes = parse_line("bikes:0.5,0,0.5,1;bicycle")
    with pytest.raises(InvalidInputError, match="line 'bikes' counts 'bicycle', which the model does not"):
        Counter(CountingConfig((bikes,)), SIZE, NAMES)
    with pytest.raises(InvalidInputError, match=r"'bus', which is not tracked: use 'car'$"):
        Counter(CountingConfig((replace(DOOR, classes=("bus",)),)), SIZE, NAMES, tracked=("car",))
    counter = Counter(CountingConfig((DOOR,)), SIZE, NAMES)
    with pytest.raises(InvalidInputError, match=r"use 'car', 'bus', 'person'$"):
        counter.redraw([bikes], [])
    walk(counter, traffic(RIDES))
    assert counter.counts.lines["door"].inwards == 3


def test_classes_are_written_after_the_points_or_in_a_list():
    assert parse_line("a:b:0,0,1,1;car, bus") == Line("a:b", (0, 0), (1, 1), ("car", "bus"))
    assert parse_zone("q:0,0;1,0;1,1;car").classes == ("car",)
    document = {"line": [{"name": "a", "start": [0, 0], "end": [1, 1], "classes": ["car"]}]}
    assert parse_counting(document).lines[0].classes == ("car",)
    for text in ("a:0,0,1,1;", "a:0,0,1,1;car,", "a:0,0,1,1;0.5,x", "a:0,0,1,1;car;bus"):
        with pytest.raises(InvalidInputError, match="is no line"):
            parse_line(text)
    with pytest.raises(InvalidInputError, match="is no zone"):
        parse_zone("q:0,0;1,0;1,1;0,0.9x")
    document["line"][0]["classes"] = "car"
    with pytest.raises(InvalidInputError, match="classes of 'a' must be a list"):
        parse_counting(document)
