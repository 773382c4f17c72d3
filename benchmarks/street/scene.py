"""One moment of the street: everybody at their place on the canvas."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from edge_fairmot.benchmarks.street.backdrop import Cover
from edge_fairmot.benchmarks.street.camera import Camera
from edge_fairmot.benchmarks.street.crowd import Walker
from edge_fairmot.benchmarks.street.shape import Sprite
from edge_fairmot.benchmarks.street.sprites import Portraits
from edge_fairmot.types import UInt8Array

HALF_COVERED = 128
"""A pixel is somebody's where they cover half of it."""


@dataclass(frozen=True, slots=True)
class Figure:
    """Somebody as they are drawn.

    Attributes
    ----------
    walker : Walker
    x, z : float
        Place on the ground, metres.
    xyxy : (float, float, float, float)
        Of the whole body, hidden or not, canvas pixels.
    sprite : Sprite
    left, top : int
        Of ``image``, canvas pixels; may be outside.
    image : uint8 (H, W, 4)
        As in a sprite, at its size in the picture.
    """

    walker: Walker
    x: float
    z: float
    xyxy: tuple[float, float, float, float]
    sprite: Sprite
    left: int
    top: int
    image: UInt8Array


def place_figures(
    walkers: Sequence[Walker], time_s: float, camera: Camera, portraits: Portraits
) -> list[Figure]:
    """Draw everybody who may be on the canvas, the farthest first."""
    places = [(walker, *walker.place(time_s)) for walker in walkers]
    places.sort(key=lambda place: -place[2])
    return [
        figure
        for walker, x, z, heading in places
        if (figure := _place(walker, (x, z, heading), time_s, camera, portraits)) is not None
    ]


def _place(
    walker: Walker, place: tuple[float, float, float], time_s: float, camera: Camera, portraits: Portraits
) -> Figure | None:
    x, z, heading = place
    column, row = camera.project(x, z)
    scale = camera.scale(z)
    # From the side of the picture one sees people turned a little more.
    sprite = portraits.of(walker, heading + math.atan2(x, z), walker.gait(time_s), scale)
    left, bottom, right, top = sprite.bounds
    xyxy = column + left * scale, row - top * scale, column + right * scale, row - bottom * scale
    width, height = camera.canvas_size
    if xyxy[2] <= 0 or xyxy[0] >= width or xyxy[1] >= height:
        return None
    ratio = scale / sprite.scale
    corner_x, corner_y = column - ratio * sprite.anchor[0], row - ratio * sprite.anchor[1]
    first_column, first_row = math.floor(corner_x), math.floor(corner_y)
    high, wide = (math.ceil(ratio * side) + 1 for side in sprite.image.shape[:2])
    # OpenCV maps pixel centres, and here they are edges.
    matrix = np.array(
        [
            [ratio, 0.0, corner_x - first_column + (ratio - 1) / 2],
            [0.0, ratio, corner_y - first_row + (ratio - 1) / 2],
        ]
    )
    image = np.asarray(cv2.warpAffine(sprite.image, matrix, (wide, high), flags=cv2.INTER_LINEAR), np.uint8)
    return Figure(walker, x, z, xyxy, sprite, first_column, first_row, image)


@dataclass(frozen=True, slots=True)
class Layer:
    """What of a figure is on the canvas, and not behind houses or furniture.

    Attributes
    ----------
    rows, columns : slice
        Of the canvas.
    image : uint8 (H, W, 4)
        As in a sprite.
    """

    rows: slice
    columns: slice
    image: UInt8Array


def uncovered(figure: Figure, covers: Sequence[Cover], camera: Camera) -> Layer | None:
    """Take away what nearer things hide. None where nothing of the figure is on the canvas."""
    width, height = camera.canvas_size
    high, wide = figure.image.shape[:2]
    top, bottom = max(figure.top, 0), min(figure.top + high, height)
    left, right = max(figure.left, 0), min(figure.left + wide, width)
    if top >= bottom or left >= right:
        return None
    image = figure.image[top - figure.top : bottom - figure.top, left - figure.left : right - figure.left]
    for cover in covers:
        if cover.depth >= figure.z:
            break
        if cover.left >= right or cover.right <= left or cover.top >= bottom or cover.bottom <= top:
            continue
        image = _hidden(image, top, left, cover)
    return Layer(slice(top, bottom), slice(left, right), image)


def _hidden(image: UInt8Array, top: int, left: int, cover: Cover) -> UInt8Array:
    high, wide = image.shape[:2]
    first_row, last_row = max(top, cover.top), min(top + high, cover.bottom)
    first_column, last_column = max(left, cover.left), min(left + wide, cover.right)
    alpha = cover.alpha[
        first_row - cover.top : last_row - cover.top, first_column - cover.left : last_column - cover.left
    ]
    image = image.copy()
    place = image[first_row - top : last_row - top, first_column - left : last_column - left]
    seen = cv2.bitwise_not(alpha)
    place[:] = cv2.multiply(place, cv2.merge([seen, seen, seen, seen]), scale=1 / 255)
    return image


def blend(canvas: UInt8Array, layer: Layer) -> None:
    """Draw a layer on the canvas."""
    place = canvas[layer.rows, layer.columns]
    blue, green, red, alpha = cv2.split(layer.image)
    behind = cv2.bitwise_not(alpha)
    cv2.multiply(place, cv2.merge([behind, behind, behind]), dst=place, scale=1 / 255)
    cv2.add(place, cv2.merge([blue, green, red]), dst=place)
