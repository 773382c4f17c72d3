"""Counting on the synthetic street, where each walk is known."""

import re
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from edge_fairmot.benchmarks import counting_error
from edge_fairmot.benchmarks.counting_error import CONFIG, CountingError, true_tracks
from edge_fairmot.benchmarks.street import Street, StreetOptions
from edge_fairmot.counting import Counter
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.sources import open_source
from edge_fairmot.tracking import Tracker, TrackerConfig
from edge_fairmot.types import LineCounts

SIZE, FPS, FRAMES = (320, 180), 10.0, 300
ASPECT = SIZE[0] / SIZE[1]

MARGINS, LONGER = (0.04, 0.1, 0.16), (-0.1, 0.0, 0.1)
"""A walk is plain if these change nothing: the margin clear of the line, and the length beyond its ends, in
heights of the person. The middle of a box sways by as much while the person walks straight on."""

LARGEST_ERROR = 0.15
"""Of the tracker with true boxes, as a share of all crossings."""


@pytest.fixture(scope="module", params=[0, 3])
def truths(request):
    street = Street(StreetOptions(seed=request.param, size=SIZE, fps=FPS))
    return [street.truth(index) for index in range(FRAMES)]


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
    zone_counted, zone_true = np.mean(occupancies, axis=0)
    found = CountingError(counted.counts.lines, true.counts.lines, zone_counted, zone_true)
    assert found.crossings > 40
    assert found.missed + found.invented <= LARGEST_ERROR * found.crossings
    assert zone_counted == pytest.approx(zone_true, rel=0.25)


def test_an_error_does_not_hide_behind_another():
    def counts(**lines):
        return {name: LineCounts(name, (0, 0), (1, 1), *both) for name, both in lines.items()}

    found = CountingError(counts(door=(7, 9), gate=(4, 0)), counts(door=(9, 8), gate=(4, 2)), 0.0, 0.0)
    assert (found.crossings, found.missed, found.invented) == (23, 4, 1)


def test_the_report_shows_counts_beside_the_true_ones(true_boxes, monkeypatch, capsys):
    spec = "synthetic:frames=40,size=160x90,fps=10"
    monkeypatch.setattr(counting_error, "open_runtime", lambda model, runtime: SimpleNamespace(close=list))
    with open_source(spec) as street:
        monkeypatch.setattr(counting_error, "FairMotDetector", lambda runtime: true_boxes(street))
        counting_error.report(spec, "people.onnx", "cpu")
    assert re.search(
        r"\d+ crossings: \d+ too few, \d+ too many, [\d.]+% off; in the zone", capsys.readouterr().out
    )
    with pytest.raises(InvalidInputError, match="give a street with an end"):
        counting_error.report("synthetic:frames=endless", "people.onnx", "cpu")
