"""The still part of the street, drawn once: sky, paving, houses and furniture, and the people they hide."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from types import MappingProxyType

import cv2
import numpy as np

from edge_fairmot.benchmarks.street.houses import LEAVES, PETALS, HousePainter
from edge_fairmot.benchmarks.street.plan import BLOCKS, END_M, KERB_M, WALL_M, Block, Spot
from edge_fairmot.benchmarks.street.shapes import (
    LENS_HEIGHT_M,
    SUBPIXEL_BITS,
    Camera,
    Capsule,
    Color,
    ShadowMap,
    Shape,
    Sprite,
    darken,
    ellipse,
    fixed_point,
    mixed,
    polygon,
    rasterise,
    rectangle,
    shaded,
)
from edge_fairmot.types import UInt8Array

FINENESS = 2  # houses and ground are drawn that much larger, then reduced

PAVED_FROM_M, CROSSING_M = 5.0, 30.4  # depths of the paving; a road crosses the street beyond it
GAP_M = 0.02  # between stones
LEAST_ROW_PX = 1.2  # rows of stones are merged until they are about that high

STONE: Color = (170, 178, 186)
PAVEMENT: Color = (152, 158, 162)
KERB: Color = (196, 202, 206)
GUTTER: Color = (112, 116, 120)
JOINT: Color = (138, 144, 150)
DRAIN: Color = (126, 134, 140)
ASPHALT: Color = (128, 132, 136)

IRON: Color = (62, 66, 62)
CONCRETE: Color = (148, 156, 162)
WOOD: Color = (72, 112, 156)

POSTERS: tuple[Color, ...] = (
    (70, 80, 190), (180, 120, 60), (90, 170, 220), (210, 220, 225), (80, 60, 70), (120, 150, 90),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cover:
    """Part of the canvas that hides people farther away than ``depth`` metres."""

    depth: float
    left: int
    top: int
    right: int  # exclusive, as bottom
    bottom: int
    alpha: UInt8Array  # (H, W), hidden share of each pixel


@dataclass(frozen=True, slots=True)
class Backdrop:
    """The empty street: image uint8 (H, W, 3) of the canvas, covers from the nearest on, and the ground.

    ``ground`` is uint8 (H, W), 255 where shadows can fall.
    """

    image: UInt8Array
    covers: tuple[Cover, ...]
    ground: UInt8Array


def draw_backdrop(camera: Camera, seed: int, furniture: Sequence[Spot]) -> Backdrop:
    """Draw the street of a seed without people."""
    random = Random(f"street {seed}, houses")
    image = _draw_town(camera, random)
    covers = [_cover_of_block(block, camera) for block in BLOCKS]
    ground = np.full(image.shape[:2], 255, np.uint8)
    ground[: max(0, round(camera.project(0, END_M)[1]))] = 0
    _clear_ground(ground, covers)
    pieces = [(spot, rasterise(_KINDS[spot.kind](random), camera.scale(spot.z))) for spot in furniture]
    shadows = ShadowMap(camera, ground)
    for spot, sprite in pieces:
        shadows.cast(sprite, spot.x, spot.z)
    darken(image, shadows.finish())
    standing = _place_furniture(image, camera, pieces)
    _clear_ground(ground, standing)
    return Backdrop(image, tuple(sorted(covers + standing, key=lambda cover: cover.depth)), ground)


def _draw_town(camera: Camera, random: Random) -> UInt8Array:
    width, height = camera.canvas_size
    fine = np.empty((height * FINENESS, width * FINENESS, 3), np.uint8)
    _draw_sky(fine, max(1, round(camera.horizon * FINENESS)), random)
    GroundPainter(fine, camera, random).draw()
    HousePainter(fine, camera, FINENESS, random).draw()
    image = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)
    return _grained(np.asarray(image, np.uint8), random.getrandbits(32))


def _draw_sky(fine: UInt8Array, horizon: int, random: Random) -> None:
    width = fine.shape[1]
    down = np.linspace(0, 1, horizon)[:, None, None]
    sky = (1 - down) * (232, 196, 148) + down * (240, 232, 214)
    clouds = np.zeros((horizon, width), np.float32)
    for _ in range(7):
        x, y = random.uniform(0, width), random.uniform(0, 0.7 * horizon)
        for _ in range(9):
            at = round(x + random.gauss(0, 0.05) * width), round(y + random.gauss(0, 0.05) * horizon)
            size = round(0.035 * width), round(0.06 * horizon)
            cv2.ellipse(clouds, at, size, 0, 0, 360, 0.5, cv2.FILLED)
    white = cv2.GaussianBlur(clouds, (0, 0), 0.006 * width)[:, :, None]
    fine[:horizon] = sky * (1 - white) + 250 * white
    fine[horizon:] = 150


def _grained(image: UInt8Array, seed: int) -> UInt8Array:
    """Add fine and coarse grain to flat colours."""
    generator = np.random.default_rng(seed)
    height, width = image.shape[:2]
    grain = generator.normal(0, 2.2, (height, width)).astype(np.float32)
    for cell, strength in ((4, 2.0), (24, 3.0)):
        coarse = generator.normal(0, strength, (height // cell + 2, width // cell + 2)).astype(np.float32)
        grain += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    grained: UInt8Array = np.clip(image + np.clip(grain, -8, 8)[:, :, None], 0, 255).astype(np.uint8)
    return grained


def _cover_of_block(block: Block, camera: Camera) -> Cover:
    """Area on the outer side of a block's far corner: it hides people beyond the block."""
    width, height = camera.canvas_size
    x = block.side * WALL_M
    edge = -1.0 if block.side < 0 else width + 1.0
    outline = [camera.project(x, block.far), camera.project(x, block.far, 100.0)]
    outline += [(edge, -1.0), (edge, height + 1.0), camera.project(x, block.near)]
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [fixed_point(np.array(outline))], 255, cv2.LINE_AA, SUBPIXEL_BITS)
    left, top, wide, high = cv2.boundingRect(mask)
    alpha = mask[top : top + high, left : left + wide].copy()
    return Cover(block.far, left, top, left + wide, top + high, alpha)


def _place_furniture(image: UInt8Array, camera: Camera, pieces: Sequence[tuple[Spot, Sprite]]) -> list[Cover]:
    """Draw furniture on the image, the farthest first."""
    covers = []
    for spot, sprite in sorted(pieces, key=lambda piece: -piece[0].z):
        column, row = camera.project(spot.x, spot.z)
        left, top = round(column - sprite.anchor[0]), round(row - sprite.anchor[1])
        first_row, first_column = max(top, 0), max(left, 0)
        piece = sprite.image[first_row - top :, first_column - left :]
        place = image[first_row:, first_column:][: len(piece), : piece.shape[1]]
        if not place.size or not piece.size:
            continue
        high, wide = place.shape[:2]
        piece = piece[:high, :wide]
        alpha = piece[:, :, 3]
        place[:] = np.rint(place * (1 - alpha[:, :, None] / 255.0)) + piece[:, :, :3]
        box = (first_column, first_row, first_column + wide, first_row + high)
        covers.append(Cover(spot.z, *box, alpha.copy()))
    return covers


def _clear_ground(ground: UInt8Array, covers: Sequence[Cover]) -> None:
    for cover in covers:
        place = ground[cover.top : cover.bottom, cover.left : cover.right]
        np.minimum(place, 255 - cover.alpha, out=place)


@dataclass(frozen=True, slots=True)
class Paving:
    """Stones in running bond: width and depth in metres, and how much their brightness varies."""

    color: Color
    width: float
    depth: float
    variety: float


class GroundPainter:
    """Draws the ground on an image with ``FINENESS`` pixels for each of the camera's canvas."""

    def __init__(self, image: UInt8Array, camera: Camera, random: Random) -> None:
        self._image, self._camera, self._random = image, camera, random

    def draw(self) -> None:
        """Draw the ground from the camera to beyond the last houses."""
        self._fill(-200.0, 200.0, PAVED_FROM_M / 2, 4000.0, JOINT)
        self._lay((-KERB_M, KERB_M), Paving(STONE, 1.1, 0.75, 0.07))
        for side in (-1, 1):
            self._lay(_strip(side, KERB_M + 0.25, WALL_M), Paving(PAVEMENT, 0.55, 0.55, 0.05))
            self._lay(_strip(side, KERB_M, KERB_M + 0.25), Paving(KERB, 0.25, 1.0, 0.03))
            self._fill(*_strip(side, KERB_M - 0.12, KERB_M), PAVED_FROM_M, CROSSING_M, GUTTER)
        self._lay((-0.14, 0.14), Paving(DRAIN, 0.28, 0.28, 0.1))
        self._fill(-200.0, 200.0, CROSSING_M, END_M, ASPHALT)

    def _fill(self, left: float, right: float, near: float, far: float, color: Color) -> None:
        """Fill a rectangle of the ground."""
        corners = [(left, near), (right, near), (right, far), (left, far)]
        points = fixed_point(np.array([self._camera.project(x, z) for x, z in corners]) * FINENESS)
        cv2.fillConvexPoly(self._image, points, color, cv2.LINE_8, SUBPIXEL_BITS)

    def _lay(self, across: tuple[float, float], paving: Paving) -> None:
        """Pave a strip along the street, from its left to its right edge."""
        z, row = PAVED_FROM_M, 0
        while z < CROSSING_M:
            row_px = paving.depth * self._camera.scale(z) * LENS_HEIGHT_M / z
            merged = max(1, round(LEAST_ROW_PX / row_px))
            end = min(z + paving.depth * merged, CROSSING_M)
            x = across[0] - (row % 2) * paving.width / 2
            edge = self._camera.half_width(end) + 0.1
            while x < across[1]:
                left, right = max(x + GAP_M / 2, across[0]), min(x + paving.width - GAP_M / 2, across[1])
                light = 1 + self._random.uniform(-paving.variety, paving.variety) / merged**0.5
                if right > left and left < edge and right > -edge:
                    self._fill(left, right, z + GAP_M / 2, end - GAP_M / 2, shaded(paving.color, light))
                x += paving.width
            z, row = end, row + 1


def _strip(side: int, near: float, far: float) -> tuple[float, float]:
    """Left and right edge of a strip between two distances from the middle of the street."""
    return (near, far) if side > 0 else (-far, -near)


# Furniture: shapes in metres from the foot of the piece, the farthest first.


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
        left, right = x - 0.09, x + 0.09
        shapes += [
            polygon([(left, 4.12), (right, 4.12), (x + 0.17, 4.5), (x - 0.17, 4.5)], glass),
            polygon([(left, 4.12), (x - 0.02, 4.12), (x - 0.04, 4.5), (x - 0.17, 4.5)], shaded(glass, 1.08)),
            polygon([(x - 0.22, 4.5), (x + 0.22, 4.5), (x, 4.72)], IRON),
            rectangle(x - 0.1, 4.06, x + 0.1, 4.13, shaded(IRON, 0.8)),
        ]
    return shapes + _flower_basket(Random(3), 0.0, 3.0, 0.42, 26)


def _flower_basket(random: Random, x: float, y: float, size: float, count: int) -> list[Shape]:
    shapes: list[Shape] = []
    for number in range(count):
        angle, away = random.uniform(0, math.tau), size * math.sqrt(random.random())
        place = (x + away * math.cos(angle), y + 0.7 * away * math.sin(angle))
        color = random.choice(LEAVES) if number < count // 2 else random.choice(PETALS)
        shapes.append(ellipse(place, 0.18 * size, 0.15 * size, color))
    return shapes


def _tree(random: Random) -> list[Shape]:
    bark = (62, 78, 92)
    shapes: list[Shape] = [
        ellipse((0.0, 0.02), 0.65, 0.1, shaded(IRON, 0.7)),
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
        # Light comes from above and from the left.
        light = 0.86 + 0.13 * (y - middle[1]) - 0.06 * x + random.uniform(-0.1, 0.1)
        half_width, half_height = random.uniform(0.1, 0.24), random.uniform(0.08, 0.18)
        leaves.append((away, ellipse((x, y), half_width, half_height, shaded(random.choice(LEAVES), light))))
    leaves.sort(key=lambda leaf: -leaf[0])
    return shapes + [shape for _, shape in leaves]


def _bench(_: Random) -> list[Shape]:
    return [
        *(rectangle(x - 0.04, 0.0, x + 0.04, 0.84, IRON) for x in (-0.72, 0.72)),
        rectangle(-0.9, 0.52, 0.9, 0.52 + 0.09, shaded(WOOD, 0.9)),
        rectangle(-0.9, 0.64, 0.9, 0.64 + 0.09, shaded(WOOD, 0.98)),
        rectangle(-0.9, 0.76, 0.9, 0.76 + 0.09, shaded(WOOD, 1.06)),
        polygon([(-0.92, 0.42), (0.92, 0.42), (0.96, 0.36), (-0.96, 0.36)], shaded(WOOD, 1.15)),
        rectangle(-0.96, 0.31, 0.96, 0.36, shaded(WOOD, 0.78)),
        *(rectangle(x - 0.05, 0.0, x + 0.05, 0.33, shaded(IRON, 0.9)) for x in (-0.78, 0.78)),
    ]


def _column(random: Random) -> list[Shape]:
    """Advertising column with posters."""
    shapes: list[Shape] = [
        rectangle(-0.66, 0.0, 0.66, 0.25, shaded(CONCRETE, 0.75)),
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
            y, end = bottom + (0.1 + 0.09 * line) * height, left + (0.85 - 0.15 * line) * width
            shapes.append(rectangle(left + 0.15 * width, y, end, y + 0.045 * height, ink))
    angles = [math.pi * step / 12 for step in range(13)]
    dome = [(0.62 * math.cos(angle), 2.68 + 0.42 * math.sin(angle)) for angle in angles]
    shapes += [polygon(dome, (86, 110, 78)), ellipse((-0.2, 2.88), 0.22, 0.1, (112, 138, 104))]
    shapes += [Capsule((0.0, 3.08), (0.0, 3.25), 0.05, 0.03, (72, 92, 66))]
    return shapes


def _planter(random: Random) -> list[Shape]:
    shapes: list[Shape] = []
    for _ in range(46):
        x = random.uniform(-0.68, 0.68)
        y = random.uniform(0.5, 0.98 - 0.3 * abs(x))
        half_width, half_height = random.uniform(0.07, 0.15), random.uniform(0.06, 0.13)
        leaf = shaded(random.choice(LEAVES), random.uniform(0.8, 1.15))
        shapes.append(ellipse((x, y), half_width, half_height, leaf))
    for _ in range(22):
        x = random.uniform(-0.66, 0.66)
        y = random.uniform(0.55, 1.0 - 0.3 * abs(x))
        shapes.append(ellipse((x, y), 0.055, 0.05, random.choice(PETALS)))
    return [
        *shapes,
        polygon([(-0.72, 0.0), (0.72, 0.0), (0.8, 0.55), (-0.8, 0.55)], CONCRETE),
        polygon([(-0.72, 0.0), (-0.3, 0.0), (-0.34, 0.55), (-0.8, 0.55)], shaded(CONCRETE, 1.12)),
        rectangle(-0.85, 0.5, 0.85, 0.6, shaded(CONCRETE, 1.05)),
        rectangle(-0.85, 0.49, 0.85, 0.51, shaded(CONCRETE, 0.7)),
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
    """Café table with two chairs under a parasol."""
    cloth: Color = random.choice(((70, 90, 200), (222, 226, 228), (120, 150, 90)))
    cream: Color = (214, 226, 232)
    shapes: list[Shape] = []
    for x, turn in ((-0.62, -1), (0.62, 1)):
        back, inner, outer = x + turn * 0.2, x + turn * 0.16, x + turn * 0.24
        shapes.append(rectangle(x - 0.22, 0.42, x + 0.22, 0.48, shaded(WOOD, 0.9)))
        shapes.append(rectangle(back - 0.025, 0.42, back + 0.025, 0.95, IRON))
        shapes += [rectangle(x + leg - 0.02, 0.0, x + leg + 0.02, 0.42, IRON) for leg in (-0.19, 0.19)]
        shapes.append(rectangle(min(inner, outer), 0.62, max(inner, outer), 0.95, WOOD))
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
        color, light = cloth if panel % 2 == 0 else cream, 1.1 - 0.05 * panel
        top = [(left, 2.3), (right, 2.3), (0.12 * right, 2.95), (0.12 * left, 2.95)]
        flap = [(right - 0.03, 2.14), ((left + right) / 2, 2.1), (left + 0.03, 2.14)]
        shapes.append(polygon(top, shaded(color, light)))
        shapes.append(polygon([(left, 2.3), (right, 2.3), *flap], shaded(color, 0.86 * light)))
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
