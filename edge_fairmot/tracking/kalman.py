"""The constant-velocity Kalman filter of DeepSORT, for many tracks at once.

Four quantities of a box are measured: centre x, centre y, aspect (width / height) and height (xyah). Each
has a velocity, per frame period. The transition couples a quantity with its own velocity only, and the
initial, process and measurement covariances are diagonal. So of the 8x8 covariance only four 2x2 blocks
are ever non-zero and the innovation covariance is diagonal: no matrix needs a factorisation. A `motion`
array holds what remains.

``motion : float64 (5, M, 4)`` unpacks into five arrays (M, 4) over tracks and xyah: position, velocity,
variance of position, covariance of position and velocity, variance of velocity. Source pixels.
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
    """Turn corners into what the filter measures.

    Parameters
    ----------
    xyxy : float64 (N, 4)
        Source pixels, of positive size.

    Returns
    -------
    float64 (N, 4)
        Centre x, centre y, aspect, height.
    """
    xyah = np.empty_like(xyxy)
    size = xyxy[:, 2:] - xyxy[:, :2]
    xyah[:, :2] = xyxy[:, :2] + size / 2
    xyah[:, 2] = size[:, 0] / size[:, 1]
    xyah[:, 3] = size[:, 1]
    return xyah


def xyxy_from_xyah(xyah: Float64Array) -> Float64Array:
    """Turn what the filter measures into corners: the inverse of :func:`xyah_from_xyxy`."""
    size = xyah[:, 2:].copy()
    size[:, 0] *= xyah[:, 3]
    xyxy = np.empty_like(xyah)
    xyxy[:, :2] = xyah[:, :2] - size / 2
    xyxy[:, 2:] = xyxy[:, :2] + size
    return xyxy


def initiate(measured: Float64Array) -> Float64Array:
    """Begin tracks at rest.

    Parameters
    ----------
    measured : float64 (N, 4)
        xyah, source pixels.

    Returns
    -------
    float64 (5, N, 4)
        Motion.
    """
    height = measured[:, 3]
    motion = np.zeros((5, *measured.shape))
    motion[0] = measured
    motion[2] = _variance(height, 2 * POSITION_WEIGHT, ASPECT_STD)
    motion[4] = _variance(height, 10 * VELOCITY_WEIGHT, ASPECT_VELOCITY_STD)
    return motion


def predict(motion: Float64Array, periods: float, holds_height: BoolArray) -> Float64Array:
    """Move tracks on in time.

    A whole number of periods gives what as many steps of one period give at constant height; the formula
    is a polynomial in the number of periods and holds between them too.

    Parameters
    ----------
    motion : float64 (5, M, 4)
    periods : float
        Elapsed frame periods, positive.
    holds_height : bool (M,)
        Whose height velocity is forgotten first.

    Returns
    -------
    float64 (5, M, 4)
        Motion.
    """
    position, velocity, var_p, cov, var_v = motion
    velocity = velocity.copy()
    velocity[holds_height, 3] = 0
    noise_p = _variance(position[:, 3], POSITION_WEIGHT, ASPECT_STD)
    noise_v = _variance(position[:, 3], VELOCITY_WEIGHT, ASPECT_VELOCITY_STD)
    k = periods
    # Sums over steps j = 0 .. k-1 of j and of j squared: the velocity noise of one step is a drift in
    # all later ones.
    drift, drift_squared = k * (k - 1) / 2, (k - 1) * k * (2 * k - 1) / 6
    moved = np.empty_like(motion)
    moved[0] = position + k * velocity
    moved[1] = velocity
    moved[2] = var_p + 2 * k * cov + k * k * var_v + k * noise_p + drift_squared * noise_v
    moved[3] = cov + k * var_v + drift * noise_v
    moved[4] = var_v + k * noise_v
    return moved


def correct(motion: Float64Array, measured: Float64Array) -> Float64Array:
    """Take in one measurement a track.

    Parameters
    ----------
    motion : float64 (5, M, 4)
    measured : float64 (M, 4)
        xyah, source pixels.

    Returns
    -------
    float64 (5, M, 4)
        Motion: the posterior.
    """
    position, velocity, var_p, cov, var_v = motion
    noise = _variance(position[:, 3], POSITION_WEIGHT, MEASURED_ASPECT_STD)
    innovation_var = var_p + noise
    innovation = (measured - position) / innovation_var
    # noise / innovation_var is 1 - gain without the cancellation, which after a long gap would leave a
    # variance of rounding errors, perhaps negative.
    rest = noise / innovation_var
    posterior = np.empty_like(motion)
    posterior[0] = position + var_p * innovation
    posterior[1] = velocity + cov * innovation
    posterior[2] = var_p * rest
    posterior[3] = cov * rest
    posterior[4] = var_v - cov * cov / innovation_var
    return posterior


def gating_distance(motion: Float64Array, measured: Float64Array) -> Float64Array:
    """Squared Mahalanobis distance of every track to every measurement.

    Parameters
    ----------
    motion : float64 (5, M, 4)
    measured : float64 (N, 4)
        xyah, source pixels.

    Returns
    -------
    float64 (M, N)
        Chi-square distributed with 4 degrees of freedom if they belong together.
    """
    position, _, var_p, _, _ = motion
    weight = 1 / (var_p + _variance(position[:, 3], POSITION_WEIGHT, MEASURED_ASPECT_STD))
    squares = position[:, None] - measured
    squares *= squares
    distance: Float64Array = squares @ weight[:, :, None]
    return distance[..., 0]


def _variance(height: Float64Array, weight: float, aspect_std: float) -> Float64Array:
    variance = np.empty((len(height), 4))
    variance[:] = np.square(weight * height)[:, None]
    variance[:, 2] = aspect_std**2
    return variance


def rescale(motion: Float64Array, factor: tuple[float, float]) -> Float64Array:
    """Move into a picture of another size.

    Parameters
    ----------
    motion : float64 (5, M, 4)
    factor : (float, float)
        Of width and height, new over old.

    Returns
    -------
    float64 (5, M, 4)
    """
    width, height = factor
    scale = np.array([width, height, width / height, height])
    # Positions and velocities go with the scale, variances with its square.
    rescaled: Float64Array = motion * np.stack([scale, scale, scale**2, scale**2, scale**2])[:, None]
    return rescaled
