"""The houses along the street and at its end: fronts as flat shapes, put on the image in perspective."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

import cv2
import numpy as np

from edge_fairmot.benchmarks.street.plan import BLOCKS, END_M, WALL_M, Block
from edge_fairmot.benchmarks.street.shapes import (
    SUBPIXEL_BITS,
    Camera,
    Color,
    Point,
    Polygon,
    ellipse,
    fixed_point,
    mixed,
    polygon,
    rectangle,
    shaded,
)
from edge_fairmot.types import UInt8Array

SHOP_M, FLOOR_M = 3.6, 2.9
TOWER_M = 90.0  # depth of the church tower behind the last houses
FONT = cv2.FONT_HERSHEY_DUPLEX

PLASTER: tuple[Color, ...] = (
    (178, 205, 222), (160, 186, 214), (196, 208, 206), (150, 196, 214), (188, 190, 212), (170, 200, 186),
    (204, 214, 224), (128, 160, 204), (190, 182, 168),
)  # fmt: skip

BRICK: tuple[Color, ...] = ((88, 104, 160), (98, 118, 172), (112, 136, 176))

SIGNS: tuple[Color, ...] = (
    (62, 54, 40), (60, 60, 150), (88, 104, 44), (50, 90, 60), (96, 60, 88), (46, 118, 190), (140, 108, 56),
    (56, 56, 60),
)  # fmt: skip

NAMES = (
    "BAKERY", "BOOKS", "CAFE LUNA", "FLOWERS", "OPTIK", "TEA ROOM", "SHOES", "RECORDS", "GELATO", "TAILOR",
    "CYCLES", "PHARMACY", "TOYS", "FRUIT & VEG", "HATS", "PAPER", "BARBER", "MUSIC", "COFFEE", "GALLERY",
)  # fmt: skip

GLASS: Color = (112, 98, 84)
SHOP_GLASS: Color = (78, 84, 88)
ROOF: Color = (74, 84, 116)
HAZE: Color = (222, 222, 220)

LEAVES: tuple[Color, ...] = ((62, 108, 78), (54, 124, 92), (70, 134, 106), (48, 94, 66), (84, 150, 128))
PETALS: tuple[Color, ...] = ((80, 70, 220), (110, 190, 245), (200, 120, 210), (235, 235, 240), (70, 120, 235))


@dataclass(frozen=True, slots=True)
class House:
    """Front of a house: shapes in metres from its lower left corner, size to the eaves, and the shop sign."""

    shapes: list[Polygon]
    width: float
    height: float
    name: str
    name_color: Color


def invent_house(random: Random, name: str, *, floors: int, width: float) -> House:
    """Random house with a shop on the ground floor."""
    bricks = random.random() < 0.3
    wall = random.choice(BRICK if bricks else PLASTER)
    trim = mixed(wall, (238, 242, 244), 0.75)
    height = SHOP_M + floors * FLOOR_M + 0.5
    shapes = [rectangle(0.0, 0.0, width, height, wall)]
    shapes += (_courses if bricks else _stains)(random, width, height, wall)
    for floor in range(floors):
        y = SHOP_M + floor * FLOOR_M
        shapes += _windows(random, y, width, trim)
        shapes.append(rectangle(0.0, y - 0.02, width, y + 0.1, trim))
    shapes.append(rectangle(0.0, height - 0.42, width, height, trim))
    shapes.append(rectangle(0.0, height - 0.46, width, height - 0.4, shaded(trim, 0.75)))
    sign = random.choice(SIGNS)
    shapes += _shop(random, width, sign)
    # A drain pipe marks the end of the house.
    shapes.append(rectangle(width - 0.14, 0.0, width - 0.04, height - 0.4, shaded(wall, 0.62)))
    return House(shapes, width, height, name, mixed(sign, (240, 248, 250), 0.85))


def _courses(random: Random, width: float, height: float, wall: Color) -> list[Polygon]:
    """Rows of bricks."""
    shapes = []
    for row in range(int(height / 0.16)):
        y = row * 0.16
        shapes.append(rectangle(0.0, y, width, y + 0.025, shaded(wall, 1.16)))
        for _ in range(4):
            x = random.uniform(0.0, width - 0.3)
            brick = shaded(wall, random.uniform(0.8, 1.1))
            shapes.append(rectangle(x, y + 0.025, x + 0.28, y + 0.16, brick))
    return shapes


def _stains(random: Random, width: float, height: float, wall: Color) -> list[Polygon]:
    shapes = []
    for _ in range(14):
        x, y = random.uniform(0, width - 0.6), random.uniform(0, height - 0.8)
        right, top = x + random.uniform(0.3, 1.2), y + random.uniform(0.2, 0.9)
        stain = shaded(wall, random.uniform(0.965, 1.025))
        if right < width:
            shapes.append(rectangle(x, y, right, top, stain))
    return shapes


def _windows(random: Random, floor_y: float, width: float, trim: Color) -> list[Polygon]:
    shapes: list[Polygon] = []
    count = max(2, round(width / 1.9))
    shutters = random.random() < 0.4
    shutter: Color = random.choice(((92, 110, 70), (110, 90, 60), (70, 80, 120), (120, 128, 132)))
    boxes = random.random() < 0.45
    bottom, top = floor_y + 0.75, floor_y + 2.35
    for window in range(count):
        middle = width * (window + 0.5) / count
        left, right = middle - 0.48, middle + 0.48
        gleam = [(left + 0.35, bottom), (right, top - 0.35), (right, top - 0.75), (left + 0.6, bottom)]
        shapes += [
            rectangle(left - 0.11, bottom - 0.05, right + 0.11, top + 0.14, trim),
            rectangle(left, bottom, right, top, GLASS),
            polygon([(left, bottom + 0.2), (left + 0.5, top), (left, top)], shaded(GLASS, 1.5)),
            polygon(gleam, shaded(GLASS, 1.3)),
            rectangle(middle - 0.035, bottom, middle + 0.035, top, trim),
            rectangle(left, bottom + 0.95, right, bottom + 1.01, trim),
            rectangle(left - 0.16, bottom - 0.13, right + 0.16, bottom - 0.03, shaded(trim, 0.92)),
        ]
        if random.random() < 0.35:
            shapes.append(rectangle(left, bottom, left + 0.3, top, mixed(GLASS, (225, 232, 238), 0.65)))
        if shutters:
            for x in (left - 0.55, right + 0.1):
                shapes.append(rectangle(x, bottom - 0.02, x + 0.45, top + 0.02, shutter))
                for step in range(7):
                    low, high = bottom + 0.1 + step * 0.2, bottom + 0.2 + step * 0.2
                    shapes.append(rectangle(x + 0.05, low, x + 0.4, high, shaded(shutter, 0.84)))
        if boxes:
            shapes.append(rectangle(left - 0.05, bottom - 0.08, right + 0.05, bottom + 0.1, (70, 92, 130)))
            for _ in range(16):
                place = (random.uniform(left, right), bottom + random.uniform(0.08, 0.34))
                color = random.choice(LEAVES if random.random() < 0.5 else PETALS)
                shapes.append(ellipse(place, 0.08, 0.07, color))
    return shapes


def _shop(random: Random, width: float, sign: Color) -> list[Polygon]:
    door_right = random.random() < 0.5
    door_left, door_end = (width - 1.75, width - 0.65) if door_right else (0.65, 1.75)
    left, right = (0.55, width - 2.1) if door_right else (2.1, width - 0.55)
    edge = shaded(sign, 1.25)
    shapes = [
        rectangle(0.3, 0.0, width - 0.3, 3.35, shaded(sign, 0.85)),
        rectangle(0.3, 2.68, width - 0.3, 3.3, sign),
        rectangle(0.3, 2.64, width - 0.3, 2.7, shaded(sign, 1.5)),
        rectangle(left - 0.08, 0.5, right + 0.08, 2.6, edge),
        rectangle(left, 0.58, right, 2.52, SHOP_GLASS),
        rectangle(door_left, 0.04, door_end, 2.52, edge),
        rectangle(door_left + 0.12, 0.35, door_end - 0.12, 2.4, (92, 92, 88)),
    ]
    shapes += _display(random, left, right)
    for at in (0.12, 0.58):  # the sky in the pane
        x = left + at * (right - left)
        sky = [(x, 0.58), (x + 0.18, 0.58), (x + 0.75, 2.52), (x + 0.5, 2.52)]
        shapes.append(polygon(sky, (150, 148, 140)))
    count = round((right - left) / 1.3)
    for bar in range(1, count):
        x = left + (right - left) * bar / count
        shapes.append(rectangle(x - 0.03, 0.58, x + 0.03, 2.52, edge))
    low, high = (door_left + 0.12, door_left + 0.2) if door_right else (door_left + 0.9, door_left + 0.98)
    shapes.append(rectangle(low, 1.0, high, 1.35, (120, 190, 220)))
    if random.random() < 0.55:
        shapes += _awning(random, left - 0.15, right + 0.15, sign)
    return shapes


def _display(random: Random, left: float, right: float) -> list[Polygon]:
    """Goods in a shop window and the lamps over them."""
    shapes = [rectangle(left, 0.58, right, 0.82, (64, 70, 78))]
    count = max(1, round((right - left) / 0.9))
    for lamp in range(count):
        x = left + (lamp + 0.5) * (right - left) / count
        cone = [(x - 0.05, 2.4), (x + 0.05, 2.4), (x + 0.4, 1.5), (x - 0.4, 1.5)]
        shapes.append(polygon(cone, mixed(SHOP_GLASS, (150, 196, 226), 0.35)))
        shapes.append(ellipse((x, 2.4), 0.07, 0.05, (205, 238, 250)))
    x = left + 0.15
    while x < right - 0.3:
        wide, high = random.uniform(0.12, 0.42), random.uniform(0.15, 0.95)
        color = (random.randint(50, 220), random.randint(60, 220), random.randint(70, 230))
        if x + wide < right - 0.05:
            if random.random() < 0.3:
                shapes.append(ellipse((x + wide / 2, 0.82 + high * 0.4), wide / 2, high * 0.4, color))
            else:
                shapes.append(rectangle(x, 0.82, x + wide, 0.82 + high, color))
        x += wide + random.uniform(0.05, 0.25)
    shapes.append(rectangle(left, 1.62, right, 1.66, (96, 104, 110)))
    return shapes


def _awning(random: Random, left: float, right: float, sign: Color) -> list[Polygon]:
    colors = (shaded(sign, 1.4), shaded(sign, 1.2))
    if random.random() < 0.6:
        colors = (mixed(sign, (90, 90, 220), 0.5), (228, 234, 238))
    count = max(4, round((right - left) / 0.35))
    wide = (right - left) / count
    shapes = []
    for stripe in range(count):
        x, color = left + stripe * wide, colors[stripe % 2]
        shapes.append(rectangle(x, 2.1, x + wide, 2.72, color))
        shapes.append(ellipse((x + wide / 2, 2.1), wide / 2, 0.14, shaded(color, 0.84)))
    return shapes


class HousePainter:
    """Draws houses on an image with ``fineness`` pixels for each of the camera's canvas."""

    def __init__(self, image: UInt8Array, camera: Camera, fineness: int, random: Random) -> None:
        self._image, self._camera, self._fineness, self._random = image, camera, fineness, random
        self._names = _shuffled_names(random)

    def draw(self) -> None:
        """Draw the background, the end of the street and its sides."""
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
            color = mixed(shaded(random.choice(LEAVES), random.uniform(0.8, 1.2)), HAZE, 0.35)
            center = round(column * self._fineness), round(row * self._fineness)
            cv2.circle(self._image, center, round(radius * self._fineness), color, cv2.FILLED, cv2.LINE_AA)

    def _draw_end(self) -> None:
        """Draw the row of houses that closes the street."""
        random, camera = self._random, self._camera
        half = camera.half_width(END_M)
        x = -half - random.uniform(1, 4)
        while x < half:
            floors, width = random.choice((0, 1, 1)), random.uniform(4.6, 6.5)
            house = invent_house(random, next(self._names), floors=floors, width=width)
            front = draw_front(house, camera.scale(END_M) * self._fineness)
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
        # The sun is on the left: it lights the fronts on the right.
        light = 0.94 if block.side < 0 else 1.04
        z = block.near
        while z < block.far - 0.1:
            width = random.uniform(5.0, 6.6)
            if block.far - z - width < 4.0:
                width = block.far - z
            house = invent_house(random, next(self._names), floors=random.choice((2, 3)), width=width)
            front = np.asarray(cv2.convertScaleAbs(draw_front(house, scale), alpha=light), np.uint8)
            # The left end of a front is the nearer one on the left side of the street.
            first, last = (z, z + width) if block.side < 0 else (z + width, z)
            corners = [camera.project(x, first, house.height), camera.project(x, last, house.height)]
            corners += [camera.project(x, last), camera.project(x, first)]
            self._warp(front, corners)
            z += width

    def _draw_end_wall(self, block: Block) -> None:
        """Draw the wall of a block that faces the camera, beside a side street."""
        house = invent_house(self._random, "", floors=3, width=4.0)
        x = block.side * WALL_M
        corners = ((x, 0.0), (x, 30.0), (3 * x, 30.0), (3 * x, 0.0))
        outline = [self._camera.project(place, block.near, high) for place, high in corners]
        self._fill(outline, shaded(house.shapes[0].color, 0.8))

    def _fill(self, outline: Sequence[Point], color: Color) -> None:
        points = fixed_point(np.array(outline) * self._fineness)
        cv2.fillPoly(self._image, [points], color, cv2.LINE_AA, SUBPIXEL_BITS)

    def _warp(self, front: UInt8Array, corners: Sequence[Point]) -> None:
        """Warp a front to its corners: upper left, upper right, lower right, lower left."""
        target = np.array(corners) * self._fineness
        first = np.maximum(np.floor(target.min(axis=0)).astype(int), 0)
        last = np.minimum(np.ceil(target.max(axis=0)).astype(int), self._image.shape[1::-1])
        if (first >= last).any():
            return
        target -= first
        height, width = front.shape[:2]
        source = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
        matrix = cv2.getPerspectiveTransform(source, target.astype(np.float32))
        place = self._image[first[1] : last[1], first[0] : last[0]]
        warped = cv2.warpPerspective(front, matrix, (place.shape[1], place.shape[0]), flags=cv2.INTER_LINEAR)
        mask = np.zeros(place.shape[:2], np.uint8)
        cv2.fillConvexPoly(mask, fixed_point(target), 255, cv2.LINE_8, SUBPIXEL_BITS)
        cv2.copyTo(warped, mask, place)


def _shuffled_names(random: Random) -> Iterator[str]:
    while True:
        yield from random.sample(NAMES, len(NAMES))


def draw_front(house: House, scale: float) -> UInt8Array:
    """Front of a house without perspective, uint8 (H, W, 3), at ``scale`` pixels per metre."""
    width, height = max(1, round(house.width * scale)), max(1, round(house.height * scale))
    # Filled with the wall's colour: the edge of the wall is blended with the pixels under it.
    image = np.full((height, width, 3), house.shapes[0].color, np.uint8)
    for shape in house.shapes:
        points = fixed_point(shape.outline * (scale, -scale) + (0, height))
        cv2.fillPoly(image, [points], shape.color, cv2.LINE_AA, SUBPIXEL_BITS)
    size = cv2.getFontScaleFromHeight(FONT, max(1, round(0.3 * scale)), 1)
    thick = max(1, round(0.035 * scale))
    (text_width, _), _ = cv2.getTextSize(house.name, FONT, size, thick)
    at = round((width - text_width) / 2), height - round(2.85 * scale)
    cv2.putText(image, house.name, at, FONT, size, house.name_color, thick, cv2.LINE_AA)
    return image
