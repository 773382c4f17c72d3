"""The camera, flat coloured shapes in metres, and their images and shadows.

Places are in metres: ``x`` to the right of the camera, ``z`` away from it, and height above the ground. Flat
shapes are in metres to the right of a place on the ground, and up from it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_fairmot.types import Float64Array, UInt8Array

Color: TypeAlias = tuple[int, int, int]  # BGR
Point: TypeAlias = tuple[float, float]

LENS_HEIGHT_M = 3.0
FOCAL_LENGTH = 1.6  # image heights
HORIZON = 0.25  # share of the image above the horizon
NEAREST_M = 6.5  # depth of feet at about the lower edge of the image

SUBPIXEL_BITS = 4  # of the coordinates that OpenCV draws with
FIXED_POINT_LIMIT = 2**24  # OpenCV's coordinates have 32 bits; corners beside the camera are beyond them

ROUNDNESS = 0.3  # brightness that the right side of a round body loses; light comes from the left

SHADOW_REDUCTION = 4  # shadows are soft, so their map is that much smaller than the canvas
SHADOW_RIGHT, SHADOW_AWAY = 0.55, 0.5  # metres that the shadow of a point 1 m up falls to the right and away
SHADOW_STRENGTH = (0.36, 0.42, 0.46)  # share of blue, green and red lost in shadow; the blue sky lights it

_ARC = np.exp(1j * np.linspace(math.pi / 2, 3 * math.pi / 2, 7))
_ENDS = np.concatenate([_ARC, -_ARC])
_CIRCLE = np.exp(1j * np.linspace(0, 2 * math.pi, 18, endpoint=False))


@dataclass(frozen=True, slots=True)
class Camera:
    """Pinhole camera on a first floor, with an upright image plane (a shifted lens).

    A metre is the same number of pixels up and sideways; the number depends on depth alone. ``size`` is width
    and height of the image; the canvas is ``margin`` pixels larger on each side. Pixels are the canvas's.
    """

    size: tuple[int, int]
    margin: int = 0

    @property
    def canvas_size(self) -> tuple[int, int]:
        """Width and height of the image with its margins, pixels."""
        return self.size[0] + 2 * self.margin, self.size[1] + 2 * self.margin

    @property
    def horizon(self) -> float:
        """Canvas row of the horizon."""
        return self.margin + HORIZON * self.size[1]

    def scale(self, z: float) -> float:
        """Pixels per metre at a depth."""
        return FOCAL_LENGTH * self.size[1] / z

    def project(self, x: float, z: float, height: float = 0.0) -> Point:
        """Canvas column and row of a place."""
        scale = self.scale(z)
        return self.margin + self.size[0] / 2 + x * scale, self.horizon + (LENS_HEIGHT_M - height) * scale

    def half_width(self, z: float) -> float:
        """Metres in view to each side at a depth."""
        return self.size[0] / 2 / self.scale(z)


@dataclass(frozen=True, slots=True)
class Polygon:
    """Filled polygon; ``outline`` is float64 (N, 2), metres to the right and up."""

    outline: Float64Array
    color: Color


@dataclass(frozen=True, slots=True)
class Capsule:
    """Line with round ends; its radius changes evenly from start to end. Metres."""

    start: Point
    end: Point
    radius: float
    end_radius: float
    color: Color


Shape: TypeAlias = Polygon | Capsule


@dataclass(frozen=True, slots=True)
class Sprite:
    """Small image with transparency."""

    image: UInt8Array  # (H, W, 4): BGR premultiplied by alpha, and alpha
    anchor: Point  # column and row of the place on the ground
    scale: float  # pixels per metre
    bounds: tuple[float, float, float, float]  # left, bottom, right and top of the shapes, metres


def polygon(points: Sequence[Point], color: Color) -> Polygon:
    """Polygon from its corners."""
    return Polygon(np.array(points, np.float64), color)


def rectangle(left: float, bottom: float, right: float, top: float, color: Color) -> Polygon:
    """Upright rectangle."""
    return polygon([(left, bottom), (right, bottom), (right, top), (left, top)], color)


def trapezoid(x: float, top: Point, bottom: Point, color: Color, *, lean: float = 0.0) -> Polygon:
    """Trapezoid around ``x``: height and half width of its top and bottom; ``lean`` is the bottom's shift."""
    (high, wide), (low, narrow) = top, bottom
    foot = x + lean
    return polygon([(x - wide, high), (x + wide, high), (foot + narrow, low), (foot - narrow, low)], color)


def ellipse(center: Point, half_width: float, half_height: float, color: Color) -> Polygon:
    """Upright ellipse."""
    outline = _CIRCLE.view(np.float64).reshape(-1, 2) * (half_width, half_height)
    outline += center
    return Polygon(outline, color)


def shaded(color: Color, light: float) -> Color:
    """Colour times a brightness."""
    blue, green, red = color
    return min(255, round(blue * light)), min(255, round(green * light)), min(255, round(red * light))


def mixed(color: Color, other: Color, share: float) -> Color:
    """Colour with a share of another."""
    blue, green, red = (round(a + share * (b - a)) for a, b in zip(color, other, strict=True))
    return blue, green, red


def fixed_point(points: NDArray[np.float64]) -> NDArray[np.int32]:
    """Pixels as OpenCV's fixed-point coordinates."""
    steps = np.rint(points * (1 << SUBPIXEL_BITS))
    return np.clip(steps, -FIXED_POINT_LIMIT, FIXED_POINT_LIMIT).astype(np.int32)


def rasterise(shapes: Sequence[Shape], scale: float) -> Sprite:
    """Draw shapes, the farthest first, with the light of a round body and a clear pixel on each side."""
    fineness = 2 if scale > 60 else 3
    lines = _outlines(shapes)
    points = np.concatenate(lines)
    (left, bottom), (right, top) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    width, height = math.ceil((right - left) * scale) + 3, math.ceil((top - bottom) * scale) + 3
    anchor = (1.5 - left * scale, 1.5 + top * scale)
    fine = np.zeros((height * fineness, width * fineness, 4), np.uint8)
    unit = fineness * (1 << SUBPIXEL_BITS)
    # OpenCV's coordinates are those of pixel centres.
    points *= (scale * unit, -scale * unit)
    points += (anchor[0] * unit - (1 << SUBPIXEL_BITS - 1), anchor[1] * unit - (1 << SUBPIXEL_BITS - 1))
    corners = np.rint(points).astype(np.int32)
    start = 0
    for shape, line in zip(shapes, lines, strict=True):
        stop = start + len(line)
        cv2.fillPoly(fine, [corners[start:stop]], (*shape.color, 255), cv2.LINE_8, SUBPIXEL_BITS)
        start = stop
    image = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)
    return Sprite(_rounded(np.asarray(image, np.uint8), scale), anchor, scale, (left, bottom, right, top))


def _outlines(shapes: Sequence[Shape]) -> list[Float64Array]:
    """Outline of each shape, float64 (N, 2), metres; all capsules are computed at once, for speed."""
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


def _rounded(image: UInt8Array, scale: float) -> UInt8Array:
    """Lighten left edges and darken right edges, as deep as a limb is thick."""
    reach = max(1, round(0.06 * scale))
    alpha = image[:, :, 3]
    left, right = np.zeros_like(alpha), np.zeros_like(alpha)
    left[:, reach:], right[:, :-reach] = alpha[:, :-reach], alpha[:, reach:]
    slope = cv2.subtract(right, left, dtype=cv2.CV_32F)
    light = 1 + ROUNDNESS / 255 * cv2.blur(slope, (2 * reach + 1, 2 * reach + 1))
    lit = cv2.multiply(image, cv2.merge([light, light, light, np.ones_like(light)]), dtype=cv2.CV_8U)
    # A premultiplied colour must not exceed alpha.
    for channel in range(3):
        np.minimum(lit[:, :, channel], alpha, out=lit[:, :, channel])
    return np.asarray(lit, np.uint8)


class ShadowMap:
    """Soft shadows on the ground at one moment; ``ground`` is uint8 (H, W), 255 where shadows can fall."""

    def __init__(self, camera: Camera, ground: UInt8Array) -> None:
        self._camera, self._ground = camera, ground
        width, height = camera.canvas_size
        self._map = np.zeros((-(-height // SHADOW_REDUCTION), -(-width // SHADOW_REDUCTION)), np.uint8)

    def cast(self, sprite: Sprite, x: float, z: float) -> None:
        """Add the shadow of a sprite that stands at a place."""
        column, row = self._camera.project(x, z)
        ratio = self._camera.scale(z) / sprite.scale / SHADOW_REDUCTION
        up = -SHADOW_AWAY * LENS_HEIGHT_M / z
        anchor_x, anchor_y = sprite.anchor
        shift_x = column / SHADOW_REDUCTION - ratio * (anchor_x - SHADOW_RIGHT * anchor_y)
        shift_y = row / SHADOW_REDUCTION + up * ratio * anchor_y
        matrix = np.array([[ratio, -SHADOW_RIGHT * ratio, shift_x], [0.0, -up * ratio, shift_y]])
        height, width = sprite.image.shape[:2]
        corners = matrix[:, :2] @ np.array([(0, width, 0, width), (0, 0, height, height)]) + matrix[:, 2:]
        left, top = np.maximum(np.floor(corners.min(axis=1)).astype(int), 0).tolist()
        right, bottom = np.minimum(np.ceil(corners.max(axis=1)).astype(int), self._map.shape[::-1]).tolist()
        if left >= right or top >= bottom:
            return
        matrix[:, 2] -= (left, top)
        size = (right - left, bottom - top)
        alpha = cv2.warpAffine(sprite.image[:, :, 3], matrix, size, flags=cv2.INTER_LINEAR)
        place = self._map[top:bottom, left:right]
        cv2.max(place, alpha, dst=place)

    def finish(self) -> UInt8Array:
        """Shadow on the canvas, uint8 (H, W): 0 is full light, 255 full shadow."""
        soft = cv2.blur(self._map, (3, 3))
        full = cv2.resize(soft, self._camera.canvas_size, interpolation=cv2.INTER_LINEAR)
        return np.asarray(cv2.multiply(full, self._ground, scale=1 / 255), np.uint8)


def darken(image: UInt8Array, shadow: UInt8Array, sun: float = 1.0) -> None:
    """Darken an image where shadow is; ``sun`` is from 0, overcast, to 1."""
    light = [cv2.convertScaleAbs(shadow, alpha=-share * sun, beta=255) for share in SHADOW_STRENGTH]
    cv2.multiply(image, cv2.merge(light), dst=image, scale=1 / 255)
