"""Flat coloured shapes in metres, and their picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np

from edge_fairmot.benchmarks.street.look import Color
from edge_fairmot.types import Float64Array, UInt8Array

SUBPIXEL_BITS = 4

MODELLING = 0.3
"""How much darker than its left, where the light comes from, the right side of a round body is."""

_ARC = np.exp(1j * np.linspace(math.pi / 2, 3 * math.pi / 2, 7))
_ENDS = np.concatenate([_ARC, -_ARC])
_CIRCLE = np.exp(1j * np.linspace(0, 2 * math.pi, 18, endpoint=False))


@dataclass(frozen=True, slots=True)
class Polygon:
    """A filled polygon.

    Attributes
    ----------
    outline : float64 (N, 2)
        Metres: right, up.
    color : Color
    """

    outline: Float64Array
    color: Color


@dataclass(frozen=True, slots=True)
class Capsule:
    """What is within a radius of a line; the radius changes from one end to the other. Metres."""

    start: tuple[float, float]
    end: tuple[float, float]
    radius: float
    end_radius: float
    color: Color


Shape: TypeAlias = Polygon | Capsule


@dataclass(frozen=True, slots=True)
class Sprite:
    """A small picture with transparency.

    Attributes
    ----------
    image : uint8 (H, W, 4)
        BGR, multiplied by the share of the pixel that is covered, and that share.
    anchor : (float, float)
        Column and row of the place between the feet, pixels.
    scale : float
        Pixels to a metre.
    bounds : (float, float, float, float)
        Left, bottom, right and top of what is drawn: metres from that place.
    """

    image: UInt8Array
    anchor: tuple[float, float]
    scale: float
    bounds: tuple[float, float, float, float]


def polygon(points: Sequence[tuple[float, float]], color: Color) -> Polygon:
    """Shape of corners."""
    return Polygon(np.array(points, np.float64), color)


def rectangle(left: float, bottom: float, right: float, top: float, color: Color) -> Polygon:
    """Upright rectangle."""
    return polygon([(left, bottom), (right, bottom), (right, top), (left, top)], color)


def trapezoid(
    x: float, top: tuple[float, float], bottom: tuple[float, float], color: Color, *, lean: float = 0.0
) -> Polygon:
    """Shape that is symmetrical about ``x``: height and half width of its top, and of its bottom.

    ``lean`` is how far the bottom is moved to the right.
    """
    (high, wide), (low, narrow) = top, bottom
    middle = x + lean
    return polygon(
        [(x - wide, high), (x + wide, high), (middle + narrow, low), (middle - narrow, low)], color
    )


def ellipse(center: tuple[float, float], half_width: float, half_height: float, color: Color) -> Polygon:
    """Upright ellipse."""
    outline = _CIRCLE.view(np.float64).reshape(-1, 2) * (half_width, half_height)
    outline += center
    return Polygon(outline, color)


def shaded(color: Color, light: float) -> Color:
    """Colour in less light, or more."""
    blue, green, red = color
    return min(255, round(blue * light)), min(255, round(green * light)), min(255, round(red * light))


def mixed(color: Color, other: Color, share: float) -> Color:
    """Colour with a share of another."""
    blue, green, red = (round(a + share * (b - a)) for a, b in zip(color, other, strict=True))
    return blue, green, red


def outlines(shapes: Sequence[Shape]) -> list[Float64Array]:
    """Polygons of shapes, float64 (N, 2) each, metres. All capsules at once: they are many."""
    capsules = [shape for shape in shapes if isinstance(shape, Capsule)]
    numbers = np.array(
        [(*shape.start, *shape.end, shape.radius, shape.end_radius) for shape in capsules]
    ).reshape(-1, 6)
    start, end = numbers[:, 0] + 1j * numbers[:, 1], numbers[:, 2] + 1j * numbers[:, 3]
    length = np.abs(end - start)
    along = np.where(length > 0, (end - start) / np.maximum(length, 1e-9), 1.0)
    half = len(_ARC)
    ends = np.repeat(np.stack([start, end], axis=1), half, axis=1)
    ends += np.repeat(numbers[:, 4:], half, axis=1) * along[:, None] * _ENDS
    rounded = iter(ends.view(np.float64).reshape(len(capsules), 2 * half, 2))
    return [next(rounded) if isinstance(shape, Capsule) else shape.outline for shape in shapes]


def rasterise(shapes: Sequence[Shape], scale: float) -> Sprite:
    """Draw shapes, the first farthest, and model the whole as if it were round.

    Parameters
    ----------
    shapes : sequence of Shape
    scale : float
        Pixels to a metre.

    Returns
    -------
    Sprite
        With a clear pixel on all sides.
    """
    fineness = 2 if scale > 60 else 3
    lines = outlines(shapes)
    points = np.concatenate(lines)
    (left, bottom), (right, top) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    width, height = math.ceil((right - left) * scale) + 3, math.ceil((top - bottom) * scale) + 3
    anchor = (1.5 - left * scale, 1.5 + top * scale)
    fine = np.zeros((height * fineness, width * fineness, 4), np.uint8)
    unit = fineness * (1 << SUBPIXEL_BITS)
    # OpenCV names pixel centres.
    points *= (scale * unit, -scale * unit)
    points += (anchor[0] * unit - (1 << SUBPIXEL_BITS - 1), anchor[1] * unit - (1 << SUBPIXEL_BITS - 1))
    corners = np.rint(points).astype(np.int32)
    start = 0
    for shape, line in zip(shapes, lines, strict=True):
        stop = start + len(line)
        cv2.fillPoly(fine, [corners[start:stop]], (*shape.color, 255), cv2.LINE_8, SUBPIXEL_BITS)
        start = stop
    image = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)
    return Sprite(_modelled(np.asarray(image, np.uint8), scale), anchor, scale, (left, bottom, right, top))


def _modelled(image: UInt8Array, scale: float) -> UInt8Array:
    """Lighten what looks to the left and darken what looks to the right, as far as a limb is thick."""
    reach = max(1, round(0.06 * scale))
    alpha = image[:, :, 3]
    left, right = np.zeros_like(alpha), np.zeros_like(alpha)
    left[:, reach:], right[:, :-reach] = alpha[:, :-reach], alpha[:, reach:]
    slope = cv2.subtract(right, left, dtype=cv2.CV_32F)
    light = 1 + MODELLING / 255 * cv2.blur(slope, (2 * reach + 1, 2 * reach + 1))
    lit = cv2.multiply(image, cv2.merge([light, light, light, np.ones_like(light)]), dtype=cv2.CV_8U)
    # A lighter colour must not be more than its share of the pixel.
    for channel in range(3):
        np.minimum(lit[:, :, channel], alpha, out=lit[:, :, channel])
    return np.asarray(lit, np.uint8)
