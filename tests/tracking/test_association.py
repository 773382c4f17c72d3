from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from edge_fairmot.tracking import kalman
from edge_fairmot.tracking.association import UNMATCHED, assign, cosine_distance, duplicates
from edge_fairmot.tracking.tracks import Roster


def total(cost: np.ndarray, column_of: list[int], limit: float) -> float:
    """Cost of an assignment in which every row and every column left alone costs half the limit."""
    matched = [(row, column) for row, column in enumerate(column_of) if column != UNMATCHED]
    alone = cost.shape[0] + cost.shape[1] - 2 * len(matched)
    return sum(cost[pair] for pair in matched) + alone * limit / 2


def least_total(cost: np.ndarray, limit: float) -> float:
    rows, columns = cost.shape
    choices = [*range(columns), *[UNMATCHED] * rows]
    return min(total(cost, list(choice), limit) for choice in set(permutations(choices, rows)))


@pytest.mark.parametrize("seed", range(10))
def test_assignment_is_the_least_of_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cost = rng.uniform(0, 1, (3, 4))
    cost[rng.random(cost.shape) < 0.3] = np.inf
    chosen = assign(cost, 0.5).tolist()
    assert total(cost, chosen, 0.5) == pytest.approx(least_total(cost, 0.5))


def test_the_limit_is_a_price_and_not_a_filter_afterwards() -> None:
    # Solving first would pair (0, 1) and (1, 0), 0.9 in all, and then drop (1, 0) for being above 0.5.
    # With the limit as the price of solitude (0, 0) is kept.
    cost = np.array([[0.30, 0.35], [0.55, 0.95]])
    assert assign(cost, 0.5).tolist() == [0, UNMATCHED]


def test_a_pair_above_the_limit_is_never_made() -> None:
    assert assign(np.array([[0.41]]), 0.4).tolist() == [UNMATCHED]
    assert assign(np.array([[0.39]]), 0.4).tolist() == [0]
    assert assign(np.full((2, 3), np.inf), 0.4).tolist() == [UNMATCHED, UNMATCHED]


def test_cosine_distance_is_never_negative_and_survives_nothing() -> None:
    a = np.array([[0.6, 0.8], [0.0, 0.0]], np.float32)
    b = np.array([[0.6, 0.8], [-0.6, -0.8], [0.8, -0.6]], np.float32)
    distance = cosine_distance(a, b)
    assert distance.dtype == np.float64
    assert distance.min() >= 0
    np.testing.assert_allclose(distance, [[0, 2, 1], [1, 1, 1]], atol=1e-7)


@pytest.mark.parametrize("shape", [(1, 1, 8), (70, 61, 128), (3, 600, 512), (200, 0, 16)])
def test_a_cosine_computed_in_blocks_is_the_cosine(shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(0)
    m, n, d = shape
    a, b = rng.normal(size=(m, d)).astype(np.float32), rng.normal(size=(n, d)).astype(np.float32)
    unit_a, unit_b = (
        x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a.astype(float), b.astype(float))
    )
    np.testing.assert_allclose(cosine_distance(a, b), 1 - unit_a @ unit_b.T, atol=1e-12)


def roster_of(
    x: list[float], age: list[float], lost: list[bool], class_id: list[int] | None = None
) -> Roster:
    count = len(x)
    left = np.array(x)
    boxes = np.stack((left, np.zeros(count), left + 40, np.full(count, 100.0)), axis=1)
    return Roster(
        motion=kalman.initiate(kalman.xyah_from_xyxy(boxes)),
        feature=np.zeros((count, 2), np.float32),
        track_id=np.arange(count),
        class_id=np.array(class_id or [0] * count),
        score=np.zeros(count, np.float32),
        started=np.zeros(count),
        matched=np.array(age),
        confirmed=np.ones(count, bool),
        lost=np.array(lost),
        retired=np.zeros(count, bool),
    )


@pytest.mark.parametrize(("ages", "goes"), [((5.0, 4.0), [1]), ((4.0, 5.0), [0]), ((5.0, 5.0), [0])])
def test_of_duplicates_the_younger_goes_and_of_equals_the_tracked(
    ages: tuple[float, float], goes: list[int]
) -> None:
    named = duplicates(roster_of([0, 1], list(ages), [False, True]), 0.15)
    assert np.flatnonzero(named).tolist() == goes


def test_a_track_that_goes_still_names_others() -> None:
    # The tracked one in the middle is younger than one lost track and older than the other: both pairs
    # count, though the first is enough to dissolve the second.
    roster = roster_of([0, 1, -1], [5, 9, 2], [False, True, True])
    assert duplicates(roster, 0.15).tolist() == [True, False, True]


def test_duplicates_need_overlap_one_class_and_a_lost_one() -> None:
    assert not duplicates(roster_of([0, 8], [5, 4], [False, True]), 0.15).any()
    assert not duplicates(roster_of([0, 1], [5, 4], [False, True], class_id=[0, 1]), 0.15).any()
    assert not duplicates(roster_of([0, 1], [5, 4], [False, False]), 0.15).any()
    assert not duplicates(roster_of([0, 1], [5, 4], [True, True]), 0.15).any()
