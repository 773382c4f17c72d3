"""The paving, drawn stone by stone."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import cv2
import numpy as np

from edge_fairmot.benchmarks.street.camera import HEIGHT_M, Camera
from edge_fairmot.benchmarks.street.houses import fixed_point
from edge_fairmot.benchmarks.street.look import Color
from edge_fairmot.benchmarks.street.plan import END_M, KERB_M, WALL_M
from edge_fairmot.benchmarks.street.shape import SUBPIXEL_BITS, shaded
from edge_fairmot.types import UInt8Array

FROM_M, CROSSING_M = 5.0, 30.4
"""Depths between which the street is paved; beyond is a road across it."""

STONE: Color = (170, 178, 186)
PAVEMENT: Color = (152, 158, 162)
KERB: Color = (196, 202, 206)
GUTTER: Color = (112, 116, 120)
JOINT: Color = (138, 144, 150)
DRAIN: Color = (126, 134, 140)
ASPHALT: Color = (128, 132, 136)

GAP_M = 0.02


MERGED_BELOW = 1.2
"""Rows of stones that would be lower than so many pixels are laid as one."""


def pave(picture: UInt8Array, camera: Camera, fineness: int, random: Random) -> None:
    """Draw the ground from the camera to beyond the last houses.

    Parameters
    ----------
    picture : uint8 (H, W, 3)
        Drawn on.
    camera : Camera
    fineness : int
        Pixels of the picture to one of the camera's canvas.
    random : Random
    """
    painter = GroundPainter(picture, camera, fineness, random)
    painter.fill(-200.0, 200.0, FROM_M / 2, 4000.0, JOINT)
    painter.lay((-KERB_M, KERB_M), Paving(STONE, 1.1, 0.75, 0.07))
    for side in (-1, 1):
        painter.lay(_ordered(side, KERB_M + 0.25, WALL_M), Paving(PAVEMENT, 0.55, 0.55, 0.05))
        painter.lay(_ordered(side, KERB_M, KERB_M + 0.25), Paving(KERB, 0.25, 1.0, 0.03))
        painter.fill(*_ordered(side, KERB_M - 0.12, KERB_M), FROM_M, CROSSING_M, GUTTER)
    painter.lay((-0.14, 0.14), Paving(DRAIN, 0.28, 0.28, 0.1))
    painter.fill(-200.0, 200.0, CROSSING_M, END_M, ASPHALT)


@dataclass(frozen=True, slots=True)
class Paving:
    """Stones in running bond: colour, width and depth in metres, how much one differs from another."""

    color: Color
    width: float
    depth: float
    variety: float


class GroundPainter:
    """Fills pieces of the ground, metres, on a picture; see :func:`pave`."""

    def __init__(self, picture: UInt8Array, camera: Camera, fineness: int, random: Random) -> None:
        self._picture, self._camera, self._fineness, self._random = picture, camera, fineness, random

    def fill(self, left: float, right: float, near: float, far: float, color: Color) -> None:
        """Fill a rectangle."""
        corners = [(left, near), (right, near), (right, far), (left, far)]
        points = fixed_point(np.array([self._camera.project(x, z) for x, z in corners]) * self._fineness)
        cv2.fillConvexPoly(self._picture, points, color, cv2.LINE_8, SUBPIXEL_BITS)

    def lay(self, across: tuple[float, float], paving: Paving) -> None:
        """Pave a strip along the street."""
        z, row = FROM_M, 0
        while z < CROSSING_M:
            row_px = paving.depth * self._camera.scale(z) * HEIGHT_M / z
            merged = max(1, round(MERGED_BELOW / row_px))
            end = min(z + paving.depth * merged, CROSSING_M)
            x = across[0] - (row % 2) * paving.width / 2
            seen_to = self._camera.half_width(end) + 0.1
            while x < across[1]:
                left, right = max(x + GAP_M / 2, across[0]), min(x + paving.width - GAP_M / 2, across[1])
                light = 1 + self._random.uniform(-paving.variety, paving.variety) / merged**0.5
                if right > left and left < seen_to and right > -seen_to:
                    self.fill(left, right, z + GAP_M / 2, end - GAP_M / 2, shaded(paving.color, light))
                x += paving.width
            z, row = end, row + 1


def _ordered(side: int, near: float, far: float) -> tuple[float, float]:
    """Left and right edge of a strip that is ``near`` to ``far`` from the middle."""
    return (near, far) if side > 0 else (-far, -near)
