"""Fronts of houses, as flat shapes: metres from their lower left corner, the farthest first."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from edge_fairmot.benchmarks.street.furniture import LEAVES, PETALS
from edge_fairmot.benchmarks.street.look import Color
from edge_fairmot.benchmarks.street.shape import Polygon, ellipse, mixed, polygon, rectangle, shaded

SHOP_M, FLOOR_M = 3.6, 2.9

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
ROOF: Color = (74, 84, 116)


@dataclass(frozen=True, slots=True)
class House:
    """One front.

    Attributes
    ----------
    shapes : list of Polygon
    width, height : float
        Metres, to the eaves.
    name : str
        On the sign over the shop.
    name_color : Color
    """

    shapes: list[Polygon]
    width: float
    height: float
    name: str
    name_color: Color


def invent_house(random: Random, name: str, *, floors: int, width: float) -> House:
    """Build a house with a shop at its foot."""
    bricks = random.random() < 0.3
    wall = random.choice(BRICK if bricks else PLASTER)
    trim = mixed(wall, (238, 242, 244), 0.75)
    height = SHOP_M + floors * FLOOR_M + 0.5
    shapes = [rectangle(0.0, 0.0, width, height, wall)]
    if bricks:
        shapes += _courses(random, width, height, wall)
    else:
        shapes += _stains(random, width, height, wall)
    for floor in range(floors):
        shapes += _windows(random, SHOP_M + floor * FLOOR_M, width, trim)
        shapes.append(
            rectangle(0.0, SHOP_M + floor * FLOOR_M - 0.02, width, SHOP_M + floor * FLOOR_M + 0.1, trim)
        )
    shapes += [
        rectangle(0.0, height - 0.42, width, height, trim),
        rectangle(0.0, height - 0.46, width, height - 0.4, shaded(trim, 0.75)),
    ]
    sign = random.choice(SIGNS)
    shapes += _shop(random, width, sign)
    # A drain pipe marks where one house ends.
    shapes += [rectangle(width - 0.14, 0.0, width - 0.04, height - 0.4, shaded(wall, 0.62))]
    return House(shapes, width, height, name, mixed(sign, (240, 248, 250), 0.85))


def _courses(random: Random, width: float, height: float, wall: Color) -> list[Polygon]:
    shapes = []
    for row in range(int(height / 0.16)):
        shapes.append(rectangle(0.0, row * 0.16, width, row * 0.16 + 0.025, shaded(wall, 1.16)))
        for _ in range(4):
            x = random.uniform(0.0, width - 0.3)
            shapes.append(
                rectangle(
                    x, row * 0.16 + 0.025, x + 0.28, row * 0.16 + 0.16, shaded(wall, random.uniform(0.8, 1.1))
                )
            )
    return shapes


def _stains(random: Random, width: float, height: float, wall: Color) -> list[Polygon]:
    shapes = []
    for _ in range(14):
        x, y = random.uniform(0, width - 0.6), random.uniform(0, height - 0.8)
        shapes.append(
            rectangle(
                x,
                y,
                x + random.uniform(0.3, 1.2),
                y + random.uniform(0.2, 0.9),
                shaded(wall, random.uniform(0.965, 1.025)),
            )
        )
    return [shape for shape in shapes if shape.outline[:, 0].max() < width]


def _windows(random: Random, floor_y: float, width: float, trim: Color) -> list[Polygon]:
    shapes: list[Polygon] = []
    count = max(2, round(width / 1.9))
    shutters = random.random() < 0.4
    shutter: Color = random.choice(((92, 110, 70), (110, 90, 60), (70, 80, 120), (120, 128, 132)))
    boxes = random.random() < 0.45
    for window in range(count):
        middle = width * (window + 0.5) / count
        left, right, bottom, top = middle - 0.48, middle + 0.48, floor_y + 0.75, floor_y + 2.35
        shapes += [
            rectangle(left - 0.11, bottom - 0.05, right + 0.11, top + 0.14, trim),
            rectangle(left, bottom, right, top, GLASS),
            polygon([(left, bottom + 0.2), (left + 0.5, top), (left, top)], shaded(GLASS, 1.5)),
            polygon(
                [(left + 0.35, bottom), (right, top - 0.35), (right, top - 0.75), (left + 0.6, bottom)],
                shaded(GLASS, 1.3),
            ),
            rectangle(middle - 0.035, bottom, middle + 0.035, top, trim),
            rectangle(left, bottom + 0.95, right, bottom + 1.01, trim),
            rectangle(left - 0.16, bottom - 0.13, right + 0.16, bottom - 0.03, shaded(trim, 0.92)),
        ]
        if random.random() < 0.35:
            shapes.append(rectangle(left, bottom, left + 0.3, top, mixed(GLASS, (225, 232, 238), 0.65)))
        if shutters:
            for x in (left - 0.55, right + 0.1):
                shapes.append(rectangle(x, bottom - 0.02, x + 0.45, top + 0.02, shutter))
                shapes += [
                    rectangle(
                        x + 0.05,
                        bottom + 0.1 + step * 0.2,
                        x + 0.4,
                        bottom + 0.2 + step * 0.2,
                        shaded(shutter, 0.84),
                    )
                    for step in range(7)
                ]
        if boxes:
            shapes.append(rectangle(left - 0.05, bottom - 0.08, right + 0.05, bottom + 0.1, (70, 92, 130)))
            for _ in range(16):
                place = (random.uniform(left, right), bottom + random.uniform(0.08, 0.34))
                shapes.append(
                    ellipse(place, 0.08, 0.07, random.choice(LEAVES if random.random() < 0.5 else PETALS))
                )
    return shapes


def _shop(random: Random, width: float, sign: Color) -> list[Polygon]:
    frame = shaded(sign, 0.85)
    door_right = random.random() < 0.5
    door = (width - 1.75, width - 0.65) if door_right else (0.65, 1.75)
    window = (0.55, width - 2.1) if door_right else (2.1, width - 0.55)
    shapes = [
        rectangle(0.3, 0.0, width - 0.3, 3.35, frame),
        rectangle(0.3, 2.68, width - 0.3, 3.3, sign),
        rectangle(0.3, 2.64, width - 0.3, 2.7, shaded(sign, 1.5)),
        rectangle(window[0] - 0.08, 0.5, window[1] + 0.08, 2.6, shaded(sign, 1.25)),
        rectangle(window[0], 0.58, window[1], 2.52, (78, 84, 88)),
        rectangle(door[0], 0.04, door[1], 2.52, shaded(sign, 1.25)),
        rectangle(door[0] + 0.12, 0.35, door[1] - 0.12, 2.4, (92, 92, 88)),
    ]
    shapes += _display(random, *window)
    left, right = window
    for at in (0.12, 0.58):  # the sky in the pane
        x = left + at * (right - left)
        shapes.append(
            polygon([(x, 0.58), (x + 0.18, 0.58), (x + 0.75, 2.52), (x + 0.5, 2.52)], (150, 148, 140))
        )
    count = round((right - left) / 1.3)
    for bar in range(1, count):
        x = left + (right - left) * bar / count
        shapes.append(rectangle(x - 0.03, 0.58, x + 0.03, 2.52, shaded(sign, 1.25)))
    shapes.append(
        rectangle(
            door[0] + 0.9 if not door_right else door[0] + 0.12,
            1.0,
            door[0] + 0.98 if not door_right else door[0] + 0.2,
            1.35,
            (120, 190, 220),
        )
    )
    if random.random() < 0.55:
        shapes += _awning(random, left - 0.15, right + 0.15, sign)
    return shapes


def _display(random: Random, left: float, right: float) -> list[Polygon]:
    """Goods in the window, and the lamps that light them."""
    shapes = [rectangle(left, 0.58, right, 0.82, (64, 70, 78))]
    warm = (150, 196, 226)
    for lamp in range(max(1, round((right - left) / 0.9))):
        x = left + (lamp + 0.5) * (right - left) / max(1, round((right - left) / 0.9))
        shapes.append(
            polygon(
                [(x - 0.05, 2.4), (x + 0.05, 2.4), (x + 0.4, 1.5), (x - 0.4, 1.5)],
                mixed((78, 84, 88), warm, 0.35),
            )
        )
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
    colors = (
        (mixed(sign, (90, 90, 220), 0.5), (228, 234, 238))
        if random.random() < 0.6
        else (shaded(sign, 1.4), shaded(sign, 1.2))
    )
    count = max(4, round((right - left) / 0.35))
    wide = (right - left) / count
    shapes = []
    for stripe in range(count):
        x, color = left + stripe * wide, colors[stripe % 2]
        shapes.append(rectangle(x, 2.1, x + wide, 2.72, color))
        shapes.append(ellipse((x + wide / 2, 2.1), wide / 2, 0.14, shaded(color, 0.84)))
    return [*shapes, rectangle(left, 2.02, right, 2.04, (70, 74, 78))][:-1]
