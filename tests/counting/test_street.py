"""Counting on the synthetic street, where each walk is known."""

import re
from itertools import pairwise

import numpy as np
import pytest

from edge_fairmot.benchmarks import counting_error
from edge_fairmot.benchmarks.counting_error import (
    CONFIG,
    Figures,
    TrueCounts,
    ZoneFigures,
    error_of,
    measure_counting,
    true_tracks,
)
from edge_fairmot.benchmarks.street import Street, StreetOptions
from edge_fairmot.counting import Counter, CountingConfig, parse_line, parse_zone
from edge_fairmot.sources import open_source
from edge_fairmot.types import GroundTruth

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


@pytest.fixture
def street(truths):
    with open_source(f"synthetic:frames={FRAMES},size=320x180,fps=10") as source:
        source.truth = truths.__getitem__
        yield source


def test_true_boxes_are_counted_nearly_exactly(street):
    found = error_of([measure_counting(street, None)])
    assert found.inside < 0.03
    assert found.entries < 0.03
    assert found.dwell < 0.05
    assert found.invented + found.missed < 0.1 * found.crossings


def test_a_tracker_with_true_boxes_counts_nearly_all(street, true_boxes):
    found = error_of([measure_counting(street, true_boxes(street))])
    assert found.crossings > 80
    assert found.missed + found.invented <= LARGEST_ERROR * found.crossings
    assert max(found.seen, found.inside) < 0.15


def body(identity, x, y, visibility=1.0):
    return identity, [x - 5, y - 40, x + 5, y], visibility, [x, y]


def truth_of(*bodies):
    ids, xyxy, visibility, feet = zip(*bodies, strict=True) if bodies else ((),) * 4
    return GroundTruth(
        np.array(ids, np.int64),
        np.array(xyxy, np.float32).reshape(-1, 4),
        np.array(visibility, np.float32),
        np.array(feet, np.float32).reshape(-1, 2),
    )


def test_the_truth_is_where_people_stand():
    config = CountingConfig((parse_line("door:0.5,0,0.5,1"),), (parse_zone("low:0,0.5;0.5,0.5;0.5,1;0,1"),))
    true = TrueCounts(config, (200, 100))
    # 1 walks in and out; 2 is hidden and its feet are below the image; 3 sways on the edge; 4 is not in it.
    for n, x in enumerate((150, 90, 50, 20, 150)):
        sway = 99 + 2 * (n % 2)
        true.update(truth_of(body(1, x, 70), body(2, 60, 110, 0), body(3, sway, 80), body(4, 60, 150)), n / 4)
    zone, crossings = true.figures.zones["low"], dict(true.figures.crossings)
    assert (zone.frames, zone.inside, zone.seen) == (5, 3 + 5 + 3, 3 + 3)
    assert (zone.entries, zone.stays, zone.dwell_s) == (3, 1, 0.75)
    assert crossings == {("door", "in"): 1, ("door", "out"): 1}


def test_an_error_does_not_hide_behind_another():
    def figures(crossings, **zones):
        found = Figures()
        found.crossings.update(crossings)
        found.zones.update({name: ZoneFigures(10, *each) for name, each in zones.items()})
        return found

    true = figures(
        {("door", "in"): 9, ("door", "out"): 8, ("gate", "in"): 4},
        a=(40, 30, 5, 2, 8.0),
        b=(60, 50, 5, 2, 8.0),
    )
    counted = figures(
        {("door", "in"): 7, ("door", "out"): 9, ("gate", "out"): 1},
        a=(45, 32, 6, 2, 7.0),
        b=(55, 48, 4, 2, 9.0),
    )
    found = error_of([(counted, true)])
    assert (found.crossings, found.missed, found.invented) == (21, 6, 2)
    assert (found.inside, found.seen, found.entries, found.dwell) == (0.1, 0.05, 0.2, 0.125)
    # Of two streets, one's excess is not another's lack.
    assert error_of([(counted, true), (true, counted)]).missed == 8


def test_the_command_shows_counts_beside_the_true_ones(monkeypatch, capsys):
    command = ["counting_error", "synthetic:frames=40,size=160x90,fps=10"]
    for boxes in ("true", "losses"):
        monkeypatch.setattr("sys.argv", [*command, "--boxes", boxes])
        counting_error.main()
        text = capsys.readouterr().out
        assert re.search(r"^square( +[\d.]+){8}$", text, re.MULTILINE)
        assert re.search(r"\d+ crossings: \d+ too few, .* stay [\d.]+%$", text, re.MULTILINE)
    monkeypatch.setattr("sys.argv", ["counting_error", "synthetic:frames=endless"])
    with pytest.raises(SystemExit, match="give a street with an end"):
        counting_error.main()
