"""Counting on the synthetic street, where everybody's walk is known."""

import re
import subprocess
import sys
from contextlib import closing
from itertools import pairwise

import numpy as np
import pytest

from edge_fairmot.benchmarks.counting_error import CONFIG, CountingError, measure_counting, true_tracks
from edge_fairmot.benchmarks.street import Street, StreetOptions
from edge_fairmot.counting import Counter, LineTotals
from edge_fairmot.runtimes import open_runtime
from edge_fairmot.sources import open_source

SIZE, FPS, LENGTH = (320, 180), 10.0, 450
ASPECT = SIZE[0] / SIZE[1]

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
        feet = truth.foot_points.tolist()
        for identity, foot, height in zip(truth.ids.tolist(), feet, heights, strict=True):
            walks.setdefault(identity, []).append((*foot, height))
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
def test_every_plain_walk_is_counted_exactly_with_true_tracks(truths, step):
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


def test_a_tracker_with_true_boxes_counts_nearly_all(record_true_boxes, tmp_path):
    spec = f"synthetic:seed=0,frames={LENGTH},size={SIZE[0]}x{SIZE[1]},fps={FPS:g}"
    record_true_boxes(spec, tmp_path / "true.npz")
    with open_source(spec) as source, closing(open_runtime(tmp_path / "true.npz", "replay")) as runtime:
        found = measure_counting(source, runtime)

    assert found.crossings > 60
    assert found.missed + found.invented <= LARGEST_ERROR * found.crossings
    assert found.zone_counted == pytest.approx(found.zone_true, rel=0.25)


def test_an_error_does_not_hide_behind_another():
    counted = {"door": LineTotals(7, 9), "gate": LineTotals(4, 0)}
    true = {"door": LineTotals(9, 8), "gate": LineTotals(4, 2)}

    found = CountingError(counted, true, 0.0, 0.0)

    assert (found.crossings, found.missed, found.invented) == (23, 4, 1)


def test_counts_are_told_beside_the_truth(record_true_boxes, tmp_path):
    spec = "synthetic:frames=60,size=320x180,fps=10"
    record_true_boxes(spec, tmp_path / "true.npz")

    shown = measure(spec, "--model", tmp_path / "true.npz", "--runtime", "replay")
    assert shown.returncode == 0
    assert re.search(r"\d+ crossings: \d+ too few, \d+ too many, [\d.]+% off; in the zone", shown.stdout)
    endless = measure("synthetic:frames=endless", "--model", tmp_path / "true.npz", "--runtime", "replay")
    assert endless.returncode == 1
    assert endless.stderr.count("\n") == 1
    assert "give a street with an end" in endless.stderr


def measure(*arguments):
    command = [sys.executable, "-m", "edge_fairmot.benchmarks.counting_error"]
    return subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, check=False)
