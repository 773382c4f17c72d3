"""Counting on the synthetic street, where each walk is known."""

from itertools import pairwise

import numpy as np
import pytest

from edge_fairmot.benchmarks.street import Street, StreetOptions
from edge_fairmot.counting import Counter, CountingConfig, parse_line, parse_zone
from edge_fairmot.tracking import Tracker, TrackerConfig
from edge_fairmot.types import Tracks

SIZE, FPS, FRAMES = (320, 180), 10.0, 300
ASPECT = SIZE[0] / SIZE[1]
LINES = (
    "across:0.02,0.55,0.98,0.55",
    "near:0.1,0.75,0.9,0.75",
    "door:0.3,0.45,0.3,0.95",
    "middle:0.6,0.45,0.6,0.95",
    "slant:0.2,0.9,0.8,0.5",
)
ZONE = "square:0.3,0.5;0.7,0.5;0.7,0.8;0.3,0.8"
CONFIG = CountingConfig(tuple(map(parse_line, LINES)), (parse_zone(ZONE),))

MARGINS, LONGER = (0.04, 0.1, 0.16), (-0.1, 0.0, 0.1)
"""A walk is plain if these change nothing: the margin clear of the line, and the length beyond its ends, in
heights of the person. The middle of a box sways by as much while the person walks straight on."""

LARGEST_ERROR = 0.15
"""Of the tracker with true boxes, as a share of all crossings."""


@pytest.fixture(scope="module", params=[0, 3])
def truths(request):
    street = Street(StreetOptions(seed=request.param, size=SIZE, fps=FPS))
    return [street.truth(index) for index in range(FRAMES)]


def true_tracks(truth):
    count = len(truth)
    return Tracks(
        truth.ids, truth.xyxy, np.ones(count, np.float32), np.zeros(count, np.int64), np.zeros(count, bool)
    )


def walks_of(truths):
    """Foot points and box heights of each person, image heights."""
    walks = {}
    for truth in truths:
        heights = (truth.xyxy[:, 3] - truth.xyxy[:, 1]).tolist()
        feet = truth.foot_points.tolist()
        for identity, foot, height in zip(truth.ids.tolist(), feet, heights, strict=True):
            walks.setdefault(identity, []).append((*foot, height))
    return {identity: np.array(walk) / SIZE[1] for identity, walk in walks.items()}


def true_crossings(walk, line, margin, longer):
    """How often a person really went in and out: by the foot points, not by the boxes."""
    start, end = (np.array((x * ASPECT, y)) for x, y in (line.start, line.end))
    length = np.hypot(*(end - start))
    along = (end - start) / length
    feet, height = walk[:, :2] - start, walk[:, 2]
    away, at = along[0] * feet[:, 1] - along[1] * feet[:, 0], feet @ along
    counts = {"in": 0, "out": 0}
    for before, after in pairwise(np.flatnonzero(np.abs(away) > margin * height)):
        if (away[before] > 0) == (away[after] > 0):
            continue
        steps = np.arange(before, after)
        steps = steps[(away[steps] >= 0) != (away[steps + 1] >= 0)]
        share = away[steps] / (away[steps] - away[steps + 1])
        place = at[steps] + share * (at[steps + 1] - at[steps])
        beyond = longer * height[steps]
        if ((place >= -beyond) & (place <= length + beyond)).sum() % 2:
            counts["in" if away[after] > 0 else "out"] += 1
    return counts["in"], counts["out"]


@pytest.mark.parametrize("step", [1, 2], ids=["every frame", "every other frame"])
def test_each_plain_walk_is_counted_exactly_with_true_tracks(truths, step):
    counter, found = Counter(CONFIG, SIZE), {}
    for index, truth in list(enumerate(truths))[::step]:
        for event in counter.update(true_tracks(truth), index / FPS):
            found.setdefault((event.name, event.track_id), []).append(event.kind)
    plain = crossings = 0
    walks = walks_of(truths)
    for line in CONFIG.lines:
        for identity, walk in walks.items():
            expected = {true_crossings(walk, line, margin, longer) for margin in MARGINS for longer in LONGER}
            if len(expected) == 1:
                events = found.get((line.name, identity), [])
                assert {(events.count("in"), events.count("out"))} == expected, (line.name, identity)
                plain += 1
                crossings += len(events)
    assert plain > 0.9 * len(walks) * len(CONFIG.lines)
    assert crossings > 80


def test_a_tracker_with_true_boxes_counts_nearly_all(truths, true_boxes):
    tracker, detector = Tracker(TrackerConfig(frame_rate=FPS)), true_boxes(None)
    counted, true = Counter(CONFIG, SIZE), Counter(CONFIG, SIZE)
    occupancies = []
    for index, truth in enumerate(truths):
        counted.update(tracker.update(detector.find(truth), index / FPS), index / FPS)
        true.update(true_tracks(truth), index / FPS)
        occupancies.append([each.counts.zones["square"].occupancy for each in (counted, true)])
    pairs = [
        (getattr(counted.counts.lines[name], direction), getattr(line, direction))
        for name, line in true.counts.lines.items()
        for direction in ("inwards", "outwards")
    ]
    crossings = sum(real for _, real in pairs)
    assert crossings > 40
    assert sum(abs(ours - real) for ours, real in pairs) <= LARGEST_ERROR * crossings
    zone_counted, zone_true = np.mean(occupancies, axis=0)
    assert zone_counted == pytest.approx(zone_true, rel=0.25)
