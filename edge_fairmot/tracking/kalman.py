"""The constant-velocity Kalman filter of DeepSORT and FairMOT, for many tracks at once.

It measures four quantities of a box, xyah: centre x, centre y, aspect (width / height) and height. Each has a
velocity, in units per frame period. The transition couples a quantity with its own velocity only, and the
initial, process and measurement covariances are diagonal. So only four 2x2 blocks of the 8x8 covariance are
ever non-zero, the innovation covariance is diagonal, and no matrix needs a factorisation.

``motion``, float64 (M, 5, 4), is the state of M tracks: position, velocity, variance of the position,
covariance of position and velocity, variance of the velocity; each of xyah, in source pixels.
"""

from __future__ import annotations

import numpy as np

from edge_fairmot.types import BoolArray, Float64Array

POSITION_WEIGHT = 1 / 20
"""Standard deviation of centre and height, as a share of the height."""

VELOCITY_WEIGHT = 1 / 160
"""Standard deviation of their velocities, as a share of the height."""

ASPECT_STD = 1e-2
ASPECT_VELOCITY_STD = 1e-5
MEASURED_ASPECT_STD = 1e-1


def xyah_from_xyxy(xyxy: Float64Array) -> Float64Array:
    """Turn boxes of positive size, (N, 4), into measurements, (N, 4)."""
    size = xyxy[:, 2:] - xyxy[:, :2]
    return np.column_stack((xyxy[:, :2] + size / 2, size[:, 0] / size[:, 1], size[:, 1]))


def xyxy_from_xyah(xyah: Float64Array) -> Float64Array:
    """Turn measurements, (N, 4), into boxes: the inverse of ``xyah_from_xyxy``."""
    size = np.column_stack((xyah[:, 2] * xyah[:, 3], xyah[:, 3]))
    low = xyah[:, :2] - size / 2
    return np.column_stack((low, low + size))


def initiate(measured: Float64Array) -> Float64Array:
    """Return the motion of new tracks: at the measured xyah, (N, 4), and at rest."""
    height = measured[:, 3]
    nothing = np.zeros_like(measured)
    var_p = _variance(height, 2 * POSITION_WEIGHT, ASPECT_STD)
    var_v = _variance(height, 10 * VELOCITY_WEIGHT, ASPECT_VELOCITY_STD)
    return np.stack((measured, nothing, var_p, nothing, var_v), axis=1)


def predict(motion: Float64Array, periods: float, stop_height: BoolArray) -> Float64Array:
    """Return the motion some frame periods later; ``stop_height``, (M,), zeroes the height's velocity first.

    At constant height, k periods give the same as k predictions of one period. The formula is a polynomial
    in the number of periods, so it also holds for a fraction of one.
    """
    position, velocity, var_p, cov, var_v = motion.swapaxes(0, 1)
    velocity = velocity.copy()
    velocity[stop_height, 3] = 0
    noise_p = _variance(position[:, 3], POSITION_WEIGHT, ASPECT_STD)
    noise_v = _variance(position[:, 3], VELOCITY_WEIGHT, ASPECT_VELOCITY_STD)
    k = periods
    # Sums of j and of j squared over the steps j = 0 .. k-1: the velocity noise of a step moves the track in
    # all later steps.
    drift, drift_squared = k * (k - 1) / 2, (k - 1) * k * (2 * k - 1) / 6
    return np.stack(
        (
            position + k * velocity,
            velocity,
            var_p + 2 * k * cov + k * k * var_v + k * noise_p + drift_squared * noise_v,
            cov + k * var_v + drift * noise_v,
            var_v + k * noise_v,
        ),
        axis=1,
    )


def update(motion: Float64Array, measured: Float64Array) -> Float64Array:
    """Return the posterior after one measurement of each track, xyah, (M, 4)."""
    position, velocity, var_p, cov, var_v = motion.swapaxes(0, 1)
    noise = _variance(position[:, 3], POSITION_WEIGHT, MEASURED_ASPECT_STD)
    innovation_var = var_p + noise
    innovation = (measured - position) / innovation_var
    # Equals 1 - gain without the cancellation, which could make a variance negative after a long gap.
    rest = noise / innovation_var
    return np.stack(
        (
            position + var_p * innovation,
            velocity + cov * innovation,
            var_p * rest,
            cov * rest,
            var_v - cov * cov / innovation_var,
        ),
        axis=1,
    )


def gating_distance(motion: Float64Array, measured: Float64Array) -> Float64Array:
    """Squared Mahalanobis distance of M tracks to N measurements, xyah: (M, N), chi-square with 4 dof."""
    position, var_p = motion[:, 0], motion[:, 2]
    weight = 1 / (var_p + _variance(position[:, 3], POSITION_WEIGHT, MEASURED_ASPECT_STD))
    squares = position[:, None] - measured
    squares *= squares
    distance: Float64Array = squares @ weight[:, :, None]
    return distance[..., 0]


def rescale(motion: Float64Array, factor: tuple[float, float]) -> Float64Array:
    """Return the motion in images of another size; ``factor`` of width and height, new over old."""
    width, height = factor
    scale = np.array([width, height, width / height, height])
    rescaled: Float64Array = motion * np.stack([scale, scale, scale**2, scale**2, scale**2])
    return rescaled


def move(motion: Float64Array, matrix: Float64Array) -> Float64Array:
    """Return the motion in the image of a moved camera; ``matrix``, (2, 3), maps points to it, pixels.

    Centre and velocity are mapped, and sizes are scaled. The variances are scaled and not rotated: those of x
    and y are equal.
    """
    linear, scale = matrix[:, :2], np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    moved = rescale(motion, (scale, scale))
    moved[:, 0, :2] = motion[:, 0, :2] @ linear.T + matrix[:, 2]
    moved[:, 1, :2] = motion[:, 1, :2] @ linear.T
    return moved


def _variance(height: Float64Array, weight: float, aspect_std: float) -> Float64Array:
    variance = np.empty((len(height), 4))
    variance[:] = np.square(weight * height)[:, None]
    variance[:, 2] = aspect_std**2
    return variance
