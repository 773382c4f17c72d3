"""What stands on the street, as flat shapes: metres from the foot of each, the farthest first."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from random import Random
from types import MappingProxyType

from edge_fairmot.benchmarks.street.look import Color
from edge_fairmot.benchmarks.street.shape import Capsule, Shape, ellipse, mixed, polygon, rectangle, shaded

IRON: Color = (62, 66, 62)
STONE: Color = (148, 156, 162)
WOOD: Color = (72, 112, 156)
LEAVES: tuple[Color, ...] = ((62, 108, 78), (54, 124, 92), (70, 134, 106), (48, 94, 66), (84, 150, 128))
PETALS: tuple[Color, ...] = ((80, 70, 220), (110, 190, 245), (200, 120, 210), (235, 235, 240), (70, 120, 235))

POSTERS: tuple[Color, ...] = (
    (70, 80, 190),
    (180, 120, 60),
    (90, 170, 220),
    (210, 220, 225),
    (80, 60, 70),
    (120, 150, 90),
)


def draw_furniture(kind: str, random: Random) -> list[Shape]:
    """Shapes of one piece of a kind that the ground plan names."""
    return _KINDS[kind](random)


def _lamp(_: Random) -> list[Shape]:
    glass = (190, 232, 250)
    shapes: list[Shape] = [
        rectangle(-0.15, 0.0, 0.15, 0.12, shaded(IRON, 0.8)),
        Capsule((0.0, 0.1), (0.0, 0.9), 0.085, 0.06, IRON),
        Capsule((0.0, 0.8), (0.0, 4.1), 0.05, 0.04, IRON),
        Capsule((-0.018, 0.2), (-0.015, 4.0), 0.018, 0.012, shaded(IRON, 1.5)),
        rectangle(-0.09, 0.9, 0.09, 0.98, shaded(IRON, 0.8)),
        Capsule((-0.62, 4.05), (0.62, 4.05), 0.03, 0.03, IRON),
    ]
    for x in (-0.6, 0.6):
        shapes += [
            polygon([(x - 0.09, 4.12), (x + 0.09, 4.12), (x + 0.17, 4.5), (x - 0.17, 4.5)], glass),
            polygon(
                [(x - 0.09, 4.12), (x - 0.02, 4.12), (x - 0.04, 4.5), (x - 0.17, 4.5)], shaded(glass, 1.08)
            ),
            polygon([(x - 0.22, 4.5), (x + 0.22, 4.5), (x, 4.72)], IRON),
            rectangle(x - 0.1, 4.06, x + 0.1, 4.13, shaded(IRON, 0.8)),
        ]
    # A flower basket.
    shapes += _flowers(Random(3), 0.0, 3.0, 0.42, 26)
    return shapes


def _flowers(random: Random, x: float, y: float, size: float, count: int) -> list[Shape]:
    shapes: list[Shape] = []
    for number in range(count):
        angle, away = random.uniform(0, math.tau), size * math.sqrt(random.random())
        place = (x + away * math.cos(angle), y + 0.7 * away * math.sin(angle))
        color = random.choice(LEAVES) if number < count // 2 else random.choice(PETALS)
        shapes.append(ellipse(place, 0.18 * size, 0.15 * size, color))
    return shapes


def _tree(random: Random) -> list[Shape]:
    bark = (62, 78, 92)
    grate = shaded(IRON, 0.7)
    shapes: list[Shape] = [
        ellipse((0.0, 0.02), 0.65, 0.1, grate),
        polygon([(-0.17, 0.0), (0.19, 0.0), (0.11, 2.6), (0.05, 3.4), (-0.09, 3.4), (-0.1, 2.4)], bark),
        polygon([(-0.17, 0.0), (-0.06, 0.0), (-0.04, 3.4), (-0.09, 3.4), (-0.1, 2.4)], shaded(bark, 1.3)),
        Capsule((0.02, 2.4), (0.8, 3.5), 0.06, 0.04, bark),
        Capsule((-0.02, 2.6), (-0.8, 3.6), 0.06, 0.04, bark),
    ]
    middle = (0.0, 4.3)
    leaves = []
    for _ in range(420):
        angle, away = random.uniform(0, math.tau), math.sqrt(random.random())
        x, y = middle[0] + 1.95 * away * math.cos(angle), middle[1] + 1.65 * away * math.sin(angle)
        # Light falls from above and the left.
        light = 0.86 + 0.13 * (y - middle[1]) - 0.06 * x + random.uniform(-0.1, 0.1)
        leaves.append(
            (
                away,
                ellipse(
                    (x, y),
                    random.uniform(0.1, 0.24),
                    random.uniform(0.08, 0.18),
                    shaded(random.choice(LEAVES), light),
                ),
            )
        )
    leaves.sort(key=lambda leaf: -leaf[0])
    return shapes + [shape for _, shape in leaves]


def _bench(_: Random) -> list[Shape]:
    shapes: list[Shape] = [rectangle(x - 0.04, 0.0, x + 0.04, 0.84, IRON) for x in (-0.72, 0.72)]
    shapes += [
        rectangle(-0.9, y, 0.9, y + 0.09, shaded(WOOD, light))
        for y, light in ((0.52, 0.9), (0.64, 0.98), (0.76, 1.06))
    ]
    shapes += [polygon([(-0.92, 0.42), (0.92, 0.42), (0.96, 0.36), (-0.96, 0.36)], shaded(WOOD, 1.15))]
    shapes += [rectangle(-0.96, 0.31, 0.96, 0.36, shaded(WOOD, 0.78))]
    shapes += [rectangle(x - 0.05, 0.0, x + 0.05, 0.33, shaded(IRON, 0.9)) for x in (-0.78, 0.78)]
    return shapes


def _column(random: Random) -> list[Shape]:
    """Draw an advertising column with posters."""
    shapes: list[Shape] = [
        rectangle(-0.66, 0.0, 0.66, 0.25, shaded(STONE, 0.75)),
        rectangle(-0.6, 0.25, 0.6, 2.55, (120, 138, 128)),
        rectangle(-0.7, 2.55, 0.7, 2.68, (72, 92, 66)),
    ]
    for left, bottom, width, height in (
        (-0.6, 0.3, 0.3, 1.1), (-0.26, 0.32, 0.5, 0.75), (0.28, 0.3, 0.3, 1.0),
        (-0.6, 1.45, 0.36, 1.05), (-0.2, 1.12, 0.44, 1.36), (0.28, 1.38, 0.3, 1.1),
    ):  # fmt: skip
        paper = mixed(random.choice(POSTERS), (150, 160, 165), random.uniform(0.0, 0.3))
        ink = shaded(paper, 0.45) if sum(paper) > 380 else mixed(paper, (255, 255, 255), 0.7)
        shapes.append(rectangle(left, bottom, left + width, bottom + height, paper))
        middle = (left + width / 2, bottom + 0.62 * height)
        shapes.append(ellipse(middle, 0.3 * width, 0.18 * height, ink))
        for line in range(3):
            y = bottom + (0.1 + 0.09 * line) * height
            shapes.append(
                rectangle(
                    left + 0.15 * width, y, left + (0.85 - 0.15 * line) * width, y + 0.045 * height, ink
                )
            )
    dome = [
        (0.62 * math.cos(a), 2.68 + 0.42 * math.sin(a)) for a in (math.pi * step / 12 for step in range(13))
    ]
    shapes += [polygon(dome, (86, 110, 78)), ellipse((-0.2, 2.88), 0.22, 0.1, (112, 138, 104))]
    shapes += [Capsule((0.0, 3.08), (0.0, 3.25), 0.05, 0.03, (72, 92, 66))]
    return shapes


def _planter(random: Random) -> list[Shape]:
    shapes = []
    for _ in range(46):
        x = random.uniform(-0.68, 0.68)
        y = random.uniform(0.5, 0.98 - 0.3 * abs(x))
        shapes.append(
            ellipse(
                (x, y),
                random.uniform(0.07, 0.15),
                random.uniform(0.06, 0.13),
                shaded(random.choice(LEAVES), random.uniform(0.8, 1.15)),
            )
        )
    for _ in range(22):
        x = random.uniform(-0.66, 0.66)
        shapes.append(
            ellipse((x, random.uniform(0.55, 1.0 - 0.3 * abs(x))), 0.055, 0.05, random.choice(PETALS))
        )
    return [
        *shapes,
        polygon([(-0.72, 0.0), (0.72, 0.0), (0.8, 0.55), (-0.8, 0.55)], STONE),
        polygon([(-0.72, 0.0), (-0.3, 0.0), (-0.34, 0.55), (-0.8, 0.55)], shaded(STONE, 1.12)),
        rectangle(-0.85, 0.5, 0.85, 0.6, shaded(STONE, 1.05)),
        rectangle(-0.85, 0.49, 0.85, 0.51, shaded(STONE, 0.7)),
    ]


def _bin(_: Random) -> list[Shape]:
    green = (70, 96, 62)
    return [
        Capsule((0.0, 0.2), (0.0, 0.9), 0.03, 0.03, IRON),
        rectangle(-0.24, 0.25, 0.24, 0.92, green),
        *(rectangle(x, 0.27, x + 0.03, 0.9, shaded(green, 0.75)) for x in (-0.2, -0.1, 0.0, 0.1, 0.19)),
        rectangle(-0.24, 0.0, -0.18, 0.25, IRON),
        rectangle(0.18, 0.0, 0.24, 0.25, IRON),
        ellipse((0.0, 0.95), 0.28, 0.09, shaded(IRON, 1.2)),
    ]


def _table(random: Random) -> list[Shape]:
    """Draw a café table with two chairs under a parasol."""
    cloth: Color = random.choice(((70, 90, 200), (222, 226, 228), (120, 150, 90)))
    cream: Color = (214, 226, 232)
    shapes: list[Shape] = []
    for x, turn in ((-0.62, -1), (0.62, 1)):
        seat = [rectangle(x - 0.22, 0.42, x + 0.22, 0.48, shaded(WOOD, 0.9))]
        seat += [rectangle(x + turn * 0.2 - 0.025, 0.42, x + turn * 0.2 + 0.025, 0.95, IRON)]
        seat += [rectangle(x + leg - 0.02, 0.0, x + leg + 0.02, 0.42, IRON) for leg in (-0.19, 0.19)]
        seat += [
            rectangle(
                min(x + turn * 0.16, x + turn * 0.24), 0.62, max(x + turn * 0.16, x + turn * 0.24), 0.95, WOOD
            )
        ]
        shapes += seat
    shapes += [
        Capsule((0.0, 0.0), (0.0, 2.9), 0.03, 0.025, (190, 196, 200)),
        ellipse((0.0, 0.04), 0.3, 0.06, IRON),
        ellipse((0.0, 0.74), 0.42, 0.07, (235, 238, 240)),
        rectangle(-0.42, 0.68, 0.42, 0.74, (205, 210, 214)),
        ellipse((0.12, 0.8), 0.05, 0.06, (60, 80, 180)),
    ]
    panels = 6
    for panel in range(panels):
        left, right = -1.35 + 2.7 * panel / panels, -1.35 + 2.7 * (panel + 1) / panels
        color = cloth if panel % 2 == 0 else cream
        light = 1.1 - 0.05 * panel
        shapes.append(
            polygon(
                [(left, 2.3), (right, 2.3), (0.12 * right, 2.95), (0.12 * left, 2.95)], shaded(color, light)
            )
        )
        shapes.append(
            polygon(
                [
                    (left, 2.3),
                    (right, 2.3),
                    (right - 0.03, 2.14),
                    ((left + right) / 2, 2.1),
                    (left + 0.03, 2.14),
                ],
                shaded(color, 0.86 * light),
            )
        )
    return shapes


def _bollard(_: Random) -> list[Shape]:
    return [
        rectangle(-0.09, 0.0, 0.09, 0.85, IRON),
        rectangle(-0.09, 0.6, 0.09, 0.7, (230, 232, 235)),
        ellipse((0.0, 0.86), 0.11, 0.08, shaded(IRON, 1.25)),
    ]


_KINDS: Mapping[str, Callable[[Random], list[Shape]]] = MappingProxyType(
    {
        "lamp": _lamp,
        "tree": _tree,
        "bench": _bench,
        "column": _column,
        "planter": _planter,
        "bin": _bin,
        "table": _table,
        "bollard": _bollard,
    }
)
