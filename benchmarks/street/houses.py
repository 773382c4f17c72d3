"""The houses along the street and at its end, in perspective."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_fairmot.benchmarks.street.camera import Camera
from edge_fairmot.benchmarks.street.facade import NAMES, ROOF, House, invent_house
from edge_fairmot.benchmarks.street.furniture import LEAVES
from edge_fairmot.benchmarks.street.look import Color
from edge_fairmot.benchmarks.street.plan import BLOCKS, END_M, WALL_M, Block
from edge_fairmot.benchmarks.street.shape import SUBPIXEL_BITS, mixed, shaded
from edge_fairmot.types import UInt8Array

HAZE: Color = (222, 222, 220)
TOWER_M = 90.0
"""Depth of the church tower behind the last houses."""

FONT = cv2.FONT_HERSHEY_DUPLEX

FIXED_POINT_LIMIT = 2**24
"""OpenCV's coordinates are 32 bits wide: corners beside the camera lie beyond."""

Place = tuple[float, float]


class HousePainter:
    """Draws on a picture that is larger than the camera's canvas.

    Parameters
    ----------
    picture : uint8 (H, W, 3)
        Drawn on.
    camera : Camera
    fineness : int
        Pixels of the picture to one of the canvas.
    random : Random
    """

    def __init__(self, picture: UInt8Array, camera: Camera, fineness: int, random: Random) -> None:
        self._picture, self._camera, self._fineness, self._random = picture, camera, fineness, random
        self._names = _shuffled_for_ever(random)

    def draw(self) -> None:
        """Draw what is behind the end, the end, and the sides."""
        self._draw_tower()
        self._draw_trees()
        self._draw_end()
        for block in sorted(BLOCKS, key=lambda block: -block.far):
            if block.near > BLOCKS[0].near:
                self._draw_end_wall(block)
            self._draw_block(block)

    def _draw_tower(self) -> None:
        for outline, color in (
            ([(-9, 0), (-3, 0), (-3, 15), (-9, 15)], (196, 198, 200)),
            ([(-5, 0), (-3, 0), (-3, 15), (-5, 15)], (184, 186, 190)),
            ([(-9.5, 15), (-2.5, 15), (-6, 22)], (176, 172, 160)),
            ([(-6.6, 11), (-5.4, 11), (-5.4, 13.4), (-6.6, 13.4)], (150, 150, 152)),
        ):
            self._fill([self._camera.project(x, TOWER_M, high) for x, high in outline], color)

    def _draw_trees(self) -> None:
        random, half = self._random, self._camera.half_width(END_M)
        for _ in range(260):
            x, high = random.uniform(-half, half), random.triangular(3.5, 8.4, 5.5)
            column, row = self._camera.project(x, END_M, high)
            radius = random.uniform(0.35, 0.8) * self._camera.scale(END_M)
            # Haze takes the colour out of what is far.
            color = mixed(shaded(random.choice(LEAVES), random.uniform(0.8, 1.2)), HAZE, 0.35)
            center = round(column * self._fineness), round(row * self._fineness)
            cv2.circle(self._picture, center, round(radius * self._fineness), color, cv2.FILLED, cv2.LINE_AA)

    def _draw_end(self) -> None:
        """Draw the row of houses that closes the street."""
        random, camera = self._random, self._camera
        half = camera.half_width(END_M)
        x = -half - random.uniform(1, 4)
        while x < half:
            floors, width = random.choice((0, 1, 1)), random.uniform(4.6, 6.5)
            house = invent_house(random, next(self._names), floors=floors, width=width)
            front = _draw_front(house, camera.scale(END_M) * self._fineness)
            hazy = cv2.addWeighted(front, 0.84, np.full_like(front, HAZE), 0.16, 0)
            low, high = camera.project(x, END_M), camera.project(x + width, END_M, house.height)
            corners = [(low[0], high[1]), high, (high[0], low[1]), low]
            self._warp(np.asarray(hazy, np.uint8), corners)
            self._draw_roof(x, house)
            x += width

    def _draw_roof(self, x: float, house: House) -> None:
        eaves, ridge, end = house.height, house.height + 1.5, x + house.width
        corners = [(x - 0.15, eaves), (end + 0.15, eaves), (end - 0.7, ridge), (x + 0.7, ridge)]
        outline = [self._camera.project(at, END_M, high) for at, high in corners]
        self._fill(outline, mixed(ROOF, HAZE, 0.2))

    def _draw_block(self, block: Block) -> None:
        random, camera, x = self._random, self._camera, block.side * WALL_M
        scale = min(1.2 * camera.scale(max(block.near, 8.0)) * self._fineness, 160.0)
        # The sun is on the left: it shines on the right side's fronts.
        light = 0.94 if block.side < 0 else 1.04
        z = block.near
        while z < block.far - 0.1:
            width = random.uniform(5.0, 6.6)
            if block.far - z - width < 4.0:
                width = block.far - z
            house = invent_house(random, next(self._names), floors=random.choice((2, 3)), width=width)
            front = np.asarray(cv2.convertScaleAbs(_draw_front(house, scale), alpha=light), np.uint8)
            # A front's left end is the nearer one on the street's left side.
            first, last = (z, z + width) if block.side < 0 else (z + width, z)
            corners = [camera.project(x, first, house.height), camera.project(x, last, house.height)]
            corners += [camera.project(x, last), camera.project(x, first)]
            self._warp(front, corners)
            z += width

    def _draw_end_wall(self, block: Block) -> None:
        """Draw the wall that a block turns to the camera, beside a side street."""
        house = invent_house(self._random, "", floors=3, width=4.0)
        x = block.side * WALL_M
        corners = ((x, 0.0), (x, 30.0), (3 * x, 30.0), (3 * x, 0.0))
        outline = [self._camera.project(place, block.near, high) for place, high in corners]
        self._fill(outline, shaded(house.shapes[0].color, 0.8))

    def _fill(self, outline: Sequence[Place], color: Color) -> None:
        points = fixed_point(np.array(outline) * self._fineness)
        cv2.fillPoly(self._picture, [points], color, cv2.LINE_AA, SUBPIXEL_BITS)

    def _warp(self, front: UInt8Array, corners: Sequence[Place]) -> None:
        """Put a front where its corners are: upper left, upper right, lower right, lower left."""
        target = np.array(corners) * self._fineness
        first = np.maximum(np.floor(target.min(axis=0)).astype(int), 0)
        last = np.minimum(np.ceil(target.max(axis=0)).astype(int), self._picture.shape[1::-1])
        if (first >= last).any():
            return
        target -= first
        height, width = front.shape[:2]
        source = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
        matrix = cv2.getPerspectiveTransform(source, target.astype(np.float32))
        place = self._picture[first[1] : last[1], first[0] : last[0]]
        warped = cv2.warpPerspective(front, matrix, (place.shape[1], place.shape[0]), flags=cv2.INTER_LINEAR)
        mask = np.zeros(place.shape[:2], np.uint8)
        cv2.fillConvexPoly(mask, fixed_point(target), 255, cv2.LINE_8, SUBPIXEL_BITS)
        cv2.copyTo(warped, mask, place)


def fixed_point(points: NDArray[np.float64]) -> NDArray[np.int32]:
    """Pixels as OpenCV's drawing takes them."""
    steps = np.rint(points * (1 << SUBPIXEL_BITS))
    return np.clip(steps, -FIXED_POINT_LIMIT, FIXED_POINT_LIMIT).astype(np.int32)


def _shuffled_for_ever(random: Random) -> Iterator[str]:
    while True:
        yield from random.sample(NAMES, len(NAMES))


def _draw_front(house: House, scale: float) -> UInt8Array:
    """Draw a house as seen from before it, ``scale`` pixels to a metre."""
    width, height = max(1, round(house.width * scale)), max(1, round(house.height * scale))
    # Of the wall's colour, not empty: the wall's own edge is blended with what is there.
    picture = np.full((height, width, 3), house.shapes[0].color, np.uint8)
    for shape in house.shapes:
        points = fixed_point(shape.outline * (scale, -scale) + (0, height))
        cv2.fillPoly(picture, [points], shape.color, cv2.LINE_AA, SUBPIXEL_BITS)
    size = cv2.getFontScaleFromHeight(FONT, max(1, round(0.3 * scale)), 1)
    thick = max(1, round(0.035 * scale))
    (text_w, _), _ = cv2.getTextSize(house.name, FONT, size, thick)
    at = round((width - text_w) / 2), height - round(2.85 * scale)
    cv2.putText(picture, house.name, at, FONT, size, house.name_color, thick, cv2.LINE_AA)
    return picture
