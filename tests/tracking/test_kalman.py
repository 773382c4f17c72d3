"""The four 2x2 blocks against the textbook's dense 8x8 matrices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fairmot.tracking import kalman

ROUNDING = 1e-9
"""Relative: the same sums in another order, over a dozen steps."""


class DenseFilter:
    """One track, x' = F x + w, z = H x + v, written with full matrices."""

    measure = np.eye(4, 8)

    def __init__(self, measured: np.ndarray) -> None:
        self.mean = np.r_[measured, np.zeros(4)]
        h = measured[3]
        self.covariance = np.diag(
            np.square([h / 10, h / 10, 1e-2, h / 10, h / 16, h / 16, 1e-5, h / 16]),
        )

    def predict(self, *, holds_height: bool = False) -> None:
        if holds_height:
            self.mean[7] = 0
        h = self.mean[3]
        transition = np.eye(8) + np.eye(8, k=4)
        noise = np.square([h / 20, h / 20, 1e-2, h / 20, h / 160, h / 160, 1e-5, h / 160])
        self.mean = transition @ self.mean
        self.covariance = transition @ self.covariance @ transition.T + np.diag(noise)

    def innovation_covariance(self) -> np.ndarray:
        h = self.mean[3]
        noise = np.square([h / 20, h / 20, 1e-1, h / 20])
        return self.measure @ self.covariance @ self.measure.T + np.diag(noise)

    def correct(self, measured: np.ndarray) -> None:
        innovation_covariance = self.innovation_covariance()
        gain = self.covariance @ self.measure.T @ np.linalg.inv(innovation_covariance)
        self.mean = self.mean + gain @ (measured - self.measure @ self.mean)
        self.covariance = self.covariance - gain @ innovation_covariance @ gain.T

    def gating_distance(self, measured: np.ndarray) -> float:
        away = measured - self.measure @ self.mean
        return float(away @ np.linalg.inv(self.innovation_covariance()) @ away)


def dense_form(motion: np.ndarray, track: int) -> tuple[np.ndarray, np.ndarray]:
    position, velocity, var_p, cov, var_v = motion[:, track]
    covariance = np.block([[np.diag(var_p), np.diag(cov)], [np.diag(cov), np.diag(var_v)]])
    return np.r_[position, velocity], covariance


def people(rng: np.random.Generator, count: int) -> np.ndarray:
    return np.stack(
        (
            rng.uniform(0, 1900, count),
            rng.uniform(0, 1000, count),
            rng.uniform(0.2, 0.6, count),
            rng.uniform(40, 300, count),
        ),
        axis=1,
    )


def test_four_blocks_are_the_whole_covariance() -> None:
    rng = np.random.default_rng(3)
    measured = people(rng, 5)
    motion, dense = kalman.initiate(measured), [DenseFilter(row) for row in measured]
    for step in range(12):
        holds_height = rng.random(5) < 0.3
        motion = kalman.predict(motion, 1.0, holds_height)
        measured = measured + rng.normal(0, [3, 3, 0.01, 2], measured.shape)
        distances = kalman.gating_distance(motion, measured)
        for track, filtered in enumerate(dense):
            filtered.predict(holds_height=bool(holds_height[track]))
            expected = [filtered.gating_distance(row) for row in measured]
            np.testing.assert_allclose(distances[track], expected, rtol=ROUNDING)
        if step % 3:
            motion = kalman.correct(motion, measured)
            for track, filtered in enumerate(dense):
                filtered.correct(measured[track])
        for track, filtered in enumerate(dense):
            mean, covariance = dense_form(motion, track)
            np.testing.assert_allclose(mean, filtered.mean, rtol=ROUNDING, atol=1e-12)
            np.testing.assert_allclose(covariance, filtered.covariance, rtol=ROUNDING, atol=1e-12)


def moving(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    measured = people(rng, 4)
    motion = kalman.initiate(measured)
    for _ in range(3):
        motion = kalman.predict(motion, 1.0, np.zeros(4, bool))
        measured[:, :2] += rng.normal(0, 4, (4, 2))
        motion = kalman.correct(motion, measured)
    return motion


# The noise follows the height, so both ways agree where the height is held.
HELD = np.ones(4, bool)


@given(seed=st.integers(0, 99), periods=st.integers(1, 40))
def test_whole_periods_at_once_are_as_many_single_ones(seed: int, periods: int) -> None:
    single = moving(seed)
    at_once = kalman.predict(single, float(periods), HELD)
    for _ in range(periods):
        single = kalman.predict(single, 1.0, HELD)
    np.testing.assert_allclose(at_once, single, rtol=ROUNDING, atol=1e-12)


@given(seed=st.integers(0, 99), first=st.floats(0.01, 20), second=st.floats(0.01, 20))
def test_elapsed_times_add_up(seed: int, first: float, second: float) -> None:
    motion = moving(seed)
    in_two = kalman.predict(kalman.predict(motion, first, HELD), second, HELD)
    np.testing.assert_allclose(kalman.predict(motion, first + second, HELD), in_two, rtol=1e-8, atol=1e-9)


@given(seed=st.integers(0, 99), periods=st.floats(1e-6, 1e9))
def test_a_covariance_stays_one_after_any_gap(seed: int, periods: float) -> None:
    motion = kalman.predict(moving(seed), periods, np.zeros(4, bool))
    for belief in (motion, kalman.correct(motion, people(np.random.default_rng(seed), 4))):
        _, _, var_p, cov, var_v = belief
        assert (var_p > 0).all()
        assert (var_v > 0).all()
        assert (np.abs(cov) < np.sqrt(var_p) * np.sqrt(var_v)).all()


def test_boxes_survive_the_round_trip() -> None:
    boxes = np.array([[10.0, 20.0, 50.0, 120.0], [-5.5, 0.0, 3.25, 900.0]])
    np.testing.assert_allclose(kalman.xyxy_from_xyah(kalman.xyah_from_xyxy(boxes)), boxes, rtol=1e-12)


def test_height_velocity_is_forgotten_only_where_asked() -> None:
    motion = moving(1)
    motion[1] = 2.0
    moved = kalman.predict(motion, 1.0, np.array([True, False, False, False]))
    assert moved[1, :, 3].tolist() == [0, 2, 2, 2]
    np.testing.assert_array_equal(moved[0] - motion[0] > 1, [[True, True, True, False]] + [[True] * 4] * 3)


def test_inputs_are_not_changed() -> None:
    motion = moving(1)
    before = motion.copy()
    kalman.predict(motion, 1.0, HELD)
    kalman.correct(motion, motion[0] + 1)
    kalman.gating_distance(motion, motion[0])
    np.testing.assert_array_equal(motion, before)


@pytest.mark.parametrize("count", [0, 1])
def test_nobody_is_no_special_case(count: int) -> None:
    motion = kalman.initiate(np.full((count, 4), 10.0))
    motion = kalman.correct(kalman.predict(motion, 1.0, np.zeros(count, bool)), np.full((count, 4), 10.0))
    assert motion.shape == (5, count, 4)
    assert kalman.gating_distance(motion, np.zeros((0, 4))).shape == (count, 0)
