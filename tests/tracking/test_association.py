from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest

from edge_fairmot.tracking import Tracker, TrackerConfig
from edge_fairmot.tracking.association import UNMATCHED, assign, cosine_distance, duplicates
from edge_fairmot.tracking.tracks import TrackTable, measure
from edge_fairmot.types import Detections


def total(cost: np.ndarray, column_of: list[int], thresh: float) -> float:
    """Total cost of an assignment: each unmatched row and column costs half of ``thresh``."""
    matched = [(row, column) for row, column in enumerate(column_of) if column != UNMATCHED]
    unmatched = cost.shape[0] + cost.shape[1] - 2 * len(matched)
    return sum(cost[pair] for pair in matched) + unmatched * thresh / 2


def least_total(cost: np.ndarray, thresh: float) -> float:
    rows, columns = cost.shape
    choices = [*range(columns), *[UNMATCHED] * rows]
    return min(total(cost, list(choice), thresh) for choice in set(permutations(choices, rows)))


@pytest.mark.parametrize("seed", range(10))
def test_the_assignment_has_the_least_total_cost(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cost = rng.uniform(0, 1, (3, 4))
    cost[rng.random(cost.shape) < 0.3] = np.inf
    chosen = assign(cost, 0.5).tolist()
    assert total(cost, chosen, 0.5) == pytest.approx(least_total(cost, 0.5))


def test_the_threshold_is_a_cost_and_not_a_filter_after_the_assignment() -> None:
    # Solving first would pair (0, 1) and (1, 0), total 0.9, and then drop (1, 0) because it is above 0.5.
    cost = np.array([[0.30, 0.35], [0.55, 0.95]])
    assert assign(cost, 0.5).tolist() == [0, UNMATCHED]


def test_a_pair_above_the_threshold_is_never_matched() -> None:
    assert assign(np.array([[0.41]]), 0.4).tolist() == [UNMATCHED]
    assert assign(np.array([[0.39]]), 0.4).tolist() == [0]
    assert assign(np.full((2, 3), np.inf), 0.4).tolist() == [UNMATCHED, UNMATCHED]


def test_cosine_distance_is_never_negative_and_defined_for_zeros() -> None:
    a = np.array([[0.6, 0.8], [0.0, 0.0]], np.float32)
    b = np.array([[0.6, 0.8], [-0.6, -0.8], [0.8, -0.6]], np.float32)
    distance = cosine_distance(a, b)
    assert distance.dtype == np.float64
    assert distance.min() >= 0
    np.testing.assert_allclose(distance, [[0, 2, 1], [1, 1, 1]], atol=1e-7)


@pytest.mark.parametrize("shape", [(1, 1, 8), (70, 61, 128), (3, 600, 512), (200, 0, 16)])
def test_cosine_distance_is_the_same_in_blocks(shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(0)
    m, n, d = shape
    a, b = rng.normal(size=(m, d)).astype(np.float32), rng.normal(size=(n, d)).astype(np.float32)
    unit_a, unit_b = (
        x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a.astype(float), b.astype(float))
    )
    np.testing.assert_allclose(cosine_distance(a, b), 1 - unit_a @ unit_b.T, atol=1e-12)


def test_a_track_that_is_removed_as_a_duplicate_still_removes_others(seen: Callable[..., Detections]) -> None:
    # The tracked one lives shorter than the first lost one and longer than the second: both pairs count.
    measured = measure(seen((0, 0), (1, 0), (-1, 0)), 0.4)
    tracks = TrackTable.start(measured, 1, 10.0, confirmed=True)
    tracks.start_frame[:], tracks.lost[:] = (5, 1, 8), (False, True, True)
    assert duplicates(tracks, TrackerConfig()).tolist() == [True, False, True]


def test_without_embeddings_people_are_followed_by_overlap() -> None:
    tracker = Tracker()
    ids = []
    for frame in range(12):
        boxes = np.float32(
            [[10 + 3 * frame, 20, 60 + 3 * frame, 150], [300 - 4 * frame, 30, 340 - 4 * frame, 160]]
        )
        boxes = boxes[:1] if frame in {5, 6} else boxes
        found = Detections(boxes, np.full(len(boxes), 0.9, np.float32), np.zeros((len(boxes), 0), np.float32))
        ids.append(sorted(tracker.update(found).track_id.tolist()))
    assert ids == [[1, 2]] * 5 + [[1]] * 2 + [[1, 2]] * 5
