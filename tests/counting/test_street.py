"""Counting on the synthetic street, where everybody's walk is known."""

from itertools import pairwise

import numpy as np
import pytest

from edge_fairmot.counting import Counter, CountingConfig, parse_line, parse_zone
from edge_fairmot.street import Street, StreetOptions
from edge_fairmot.tracking import Tracker, TrackerConfig

SIZE, FPS, LENGTH = (320, 180), 10.0, 450
ASPECT = SIZE[0] / SIZE[1]

CONFIG = CountingConfig(
    tuple(
        map(
            parse_line,
            (
                "across:0.02,0.55,0.98,0.55",
                "near:0.1,0.75,0.9,0.75",
                "door:0.3,0.45,0.3,0.95",
                "middle:0.6,0.45,0.6,0.95",
                "slant:0.2,0.9,0.8,0.5",
            ),
        )
    ),
    (parse_zone("square:0.3,0.5;0.7,0.5;0.7,0.8;0.3,0.8"),),
)

MARGINS, LONGER = (0.04, 0.1, 0.16), (-0.1, 0.0, 0.1)
"""A walk is plain if these make no difference: what is clear of the line, and where the line ends, in heights
of the walker. A box's middle sways by as much while its owner walks straight on."""

LARGEST_ERROR = 0.15
"""Of the tracker with true boxes, a share of all crossings."""


@pytest.fixture(scope="module", params=[0, 3])
def truths(request):
    street = Street(StreetOptions(seed=request.param, size=SIZE, fps=FPS))
    return [street.truth(index) for index in range(LENGTH)]


def walks_of(truths):
    """Feet and box height of everybody, picture heights."""
    walks = {}
    for truth in truths:
        heights = (truth.xyxy[:, 3] - truth.xyxy[:, 1]).tolist()
        for identity, feet, height in zip(truth.ids.tolist(), truth.feet.tolist(), heights, strict=True):
            walks.setdefault(identity, []).append((*feet, height))
    return {identity: np.array(walk) / SIZE[1] for identity, walk in walks.items()}


def true_crossings(walk, line, margin, longer):
    """How often somebody really came in and went out: by the ground under their feet, not by their box."""
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
def test_every_plain_walk_is_counted_exactly_with_true_tracks(truths, true_tracks, step):
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
    assert crossings > 120


def test_a_tracker_with_true_boxes_counts_nearly_all(truths, true_tracks, true_detections):
    truly, tracked = Counter(CONFIG, SIZE), Counter(CONFIG, SIZE)
    tracker, random = Tracker(TrackerConfig(frame_rate=FPS)), np.random.default_rng(0)
    for index, truth in enumerate(truths):
        truly.update(true_tracks(truth), index / FPS)
        tracked.update(tracker.update(true_detections(truth, random), index / FPS), index / FPS)
    expected, counted = (
        np.array([(totals.inwards, totals.outwards) for totals in counter.lines.values()])
        for counter in (truly, tracked)
    )
    assert np.abs(counted - expected).sum() <= LARGEST_ERROR * expected.sum()
    assert (
        abs(tracked.zones["square"].entries - truly.zones["square"].entries)
        <= 0.15 * truly.zones["square"].entries
    )
    assert abs(tracked.zones["square"].occupancy - truly.zones["square"].occupancy) <= 4
