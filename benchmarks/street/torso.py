"""The upper body and what is worn on it."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from edge_fairmot.benchmarks.street.look import Color, Look
from edge_fairmot.benchmarks.street.shape import Capsule, Polygon, Shape, ellipse, mixed, shaded
from edge_fairmot.benchmarks.street.skeleton import Skeleton
from edge_fairmot.types import Float64Array

PROFILE = (
    (1.06, 0.034, 0.034),
    (1.04, 0.066, 0.046),
    (0.99, 0.105, 0.066),
    (0.9, 0.118, 0.078),
    (0.7, 0.113, 0.08),
    (0.4, 0.098, 0.07),
    (0.1, 0.104, 0.076),
)
"""From the neck down: level between pelvis, 0, and chest, 1; half breadth and half thickness in heights."""

STRIPES = 5


def draw_torso(look: Look, body: Skeleton) -> list[Shape]:
    """Neck, top with its pattern, and scarf."""
    unit = look.height_m
    left, right = _edges(look, body)
    shapes: list[Shape] = [
        Capsule(body.chest, body.head, 0.034 * unit, 0.032 * unit, shaded(look.skin, 0.85))
    ]
    shapes.append(_strip(left, right, look.top))
    shapes += _draw_pattern(look, body, left, right)
    if look.upper != "shirt" and body.along < 0.2:
        zipper = left + (right - left) * (0.5 + 0.42 * body.across)
        half = np.array([0.0035 * unit, 0.0])
        shapes.append(_strip(zipper - half, zipper + half, shaded(look.top, 0.6)))
    if look.scarf is not None:
        x, y = body.chest
        half_width = body.half_width(0.062, 0.055) * unit
        shapes.append(ellipse((x, y + 0.025 * unit), half_width, 0.026 * unit, look.scarf))
    return shapes


def _edges(look: Look, body: Skeleton) -> tuple[Float64Array, Float64Array]:
    """Left and right edge from the neck down to the hem, float64 (L, 2) each."""
    shirt = look.upper == "shirt"
    hem = (-0.07 if shirt else -0.15, 0.106, 0.078)
    level, breadth, thickness = np.array((*PROFILE, hem)).T
    spine = body.pelvis + level[:, None] * np.subtract(body.chest, body.pelvis)
    bulk = look.build * look.height_m * (1.0 if shirt else 1.07)
    half = np.hypot(breadth * body.along, thickness * body.across) * bulk
    aside = np.stack([half, np.zeros_like(half)], axis=1)
    return spine - aside, spine + aside


def _strip(left: Float64Array, right: Float64Array, color: Color) -> Polygon:
    return Polygon(np.concatenate([left, right[::-1]]), color)


def _draw_pattern(look: Look, body: Skeleton, left: Float64Array, right: Float64Array) -> list[Shape]:
    shapes: list[Shape] = []
    checked = look.pattern == "checks"
    color = mixed(look.top, look.pattern_color, 0.6) if checked else look.pattern_color
    if checked or look.pattern == "rings":
        count, thick = (4, 0.2) if checked else (5, 0.5)
        for ring in range(count):
            rows = [(ring + 0.3) / count, (ring + 0.3 + thick) / count]
            shapes.append(_strip(_along(left, rows), _along(right, rows), color))
    if checked or look.pattern == "stripes":
        # Stripes narrow towards the sides, as on a cylinder.
        edges = 0.5 + 0.5 * np.sin((np.arange(2 * STRIPES) - STRIPES + 0.5) * 0.27)
        for low, high in list(pairwise(edges))[::2]:
            across = (right - left)[1:]
            shapes.append(_strip(left[1:] + low * across, left[1:] + high * across, color))
    if look.pattern == "print" and body.along < -0.3:
        middle = (_along(left, [0.3]) + _along(right, [0.3]))[0] / 2
        x = float(middle[0] + 0.3 * body.across * (right[2, 0] - left[2, 0]))
        radius = 0.045 * look.height_m
        shapes.append(ellipse((x, float(middle[1])), radius * math.fabs(body.along), radius, color))
    return shapes


def _along(edge: Float64Array, shares: list[float]) -> Float64Array:
    """Points of an edge by their share of the way from the shoulder to the hem, float64 (N, 2)."""
    place = 1 + np.array(shares) * (len(edge) - 2)
    rows = np.arange(len(edge))
    return np.stack([np.interp(place, rows, edge[:, axis]) for axis in range(2)], axis=1)
