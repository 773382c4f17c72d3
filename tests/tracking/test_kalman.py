"""Prediction over any time. The filter as a whole is held by the dense matrices of ``test_oracle.py``."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge_fairmot.tracking import kalman

ROUNDING = 1e-9
"""Relative: the same sums in another order, over a dozen steps."""

# The noise follows the height, so predictions of several lengths agree where the height is held.
HELD = np.ones(4, bool)


def people(rng: np.random.Generator) -> np.ndarray:
    """Return four measurements, xyah."""
    return rng.uniform([0, 0, 0.2, 40], [1900, 1000, 0.6, 300], (4, 4))


def moving(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    measured = people(rng)
    motion = kalman.initiate(measured)
    for _ in range(3):
        motion = kalman.predict(motion, 1.0, np.zeros(4, bool))
        measured[:, :2] += rng.normal(0, 4, (4, 2))
        motion = kalman.update(motion, measured)
    return motion


@given(seed=st.integers(0, 99), periods=st.integers(1, 40))
def test_whole_periods_at_once_equal_as_many_single_ones(seed: int, periods: int) -> None:
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
def test_the_covariance_stays_positive_definite_after_any_gap(seed: int, periods: float) -> None:
    motion = kalman.predict(moving(seed), periods, np.zeros(4, bool))
    for belief in (motion, kalman.update(motion, people(np.random.default_rng(seed)))):
        _, _, var_p, cov, var_v = belief.swapaxes(0, 1)
        assert (var_p > 0).all()
        assert (var_v > 0).all()
        assert (np.abs(cov) < np.sqrt(var_p) * np.sqrt(var_v)).all()


def test_the_velocity_of_the_height_is_zeroed_only_where_asked() -> None:
    motion = moving(1)
    motion[:, 1] = 2.0
    before = motion.copy()
    moved = kalman.predict(motion, 1.0, np.array([True, False, False, False]))
    assert moved[:, 1, 3].tolist() == [0, 2, 2, 2]
    steps = moved[:, 0] - motion[:, 0]
    np.testing.assert_array_equal(steps > 1, [[True, True, True, False]] + [[True] * 4] * 3)
    np.testing.assert_array_equal(motion, before)  # the input is not changed
