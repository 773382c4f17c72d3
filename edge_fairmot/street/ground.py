"""The paving, drawn stone by stone."""

from __future__ import annotations

from random import Random

import cv2
import numpy as np

from edge_fairmot.street.camera import HEIGHT_M, Camera
from edge_fairmot.street.houses import fixed_point
from edge_fairmot.street.look import Color
from edge_fairmot.street.plan import KERB_M, WALL_M
from edge_fairmot.street.shape import SUBPIXEL_BITS, shaded
from edge_fairmot.types import UInt8Array

FROM_M, TO_M = 5.0, 60.0

STONE: Color = (170, 178, 186)
PAVEMENT: Color = (152, 158, 162)
KERB: Color = (196, 202, 206)
GUTTER: Color = (112, 116, 120)
JOINT: Color = (138, 144, 150)


class GroundPainter:
    """Fills pieces of the ground on a picture.

    Parameters
    ----------
    picture : uint8 (H, W, 3)
        Drawn on.
    camera : Camera
    fineness : int
        Pixels of the picture to one of the camera's canvas.
    """

    def __init__(self, picture: UInt8Array, camera: Camera, fineness: int) -> None:
        self._picture, self._camera, self._fineness = picture, camera, fineness

    def fill(self, left: float, right: float, near: float, far: float, color: Color) -> None:
        """Fill a rectangle of the ground, metres."""
        corners = [(left, near), (right, near), (right, far), (left, far)]
        points = fixed_point(np.array([self._camera.project(x, z) for x, z in corners]) * self._fineness)
        cv2.fillConvexPoly(self._picture, points, color, cv2.LINE_8, SUBPIXEL_BITS)


def pave(picture: UInt8Array, camera: Camera, fineness: int, random: Random) -> None:
    """Draw the ground over everything below the horizon."""
    painter = GroundPainter(picture, camera, fineness)
    half = camera.half_width(TO_M) + 5.0
    painter.fill(-half, half, FROM_M / 2, 4000.0, JOINT)
    _lay(painter, camera, random, (-KERB_M, KERB_M), (1.1, 0.75), STONE, 0.07)
    for side in (-1, 1):
        low, high = sorted((side * (KERB_M + 0.25), side * WALL_M))
        _lay(painter, camera, random, (low, high), (0.55, 0.55), PAVEMENT, 0.05)
        low, high = sorted((side * KERB_M, side * (KERB_M + 0.25)))
        _lay(painter, camera, random, (low, high), (0.25, 1.0), KERB, 0.03)
        low, high = sorted((side * (KERB_M - 0.12), side * KERB_M))
        painter.fill(low, high, FROM_M, TO_M, GUTTER)
    # The cross street behind the last houses, and the drain along the middle.
    painter.fill(-60.0, 60.0, 30.4, 34.5, (128, 132, 136))
    _lay(painter, camera, random, (-0.14, 0.14), (0.28, 0.28), (126, 134, 140), 0.1)


def _lay(
    painter: GroundPainter,
    camera: Camera,
    random: Random,
    across: tuple[float, float],
    stone: tuple[float, float],
    color: Color,
    variety: float,
) -> None:
    """Lay stones in running bond; where they are smaller than a pixel or two, in larger pieces."""
    wide, deep = stone
    joint = 0.02
    z, row = FROM_M, 0
    while z < 30.4:
        merged = max(1, round(1.2 / max(deep * camera.scale(z) * 3.3 / z, 1e-3)))
        step = deep * merged
        x = across[0] - (row % 2) * wide / 2
        while x < across[1]:
            left, right = max(x + joint / 2, across[0]), min(x + wide - joint / 2, across[1])
            visible = abs(left) < camera.half_width(z) + 2 or abs(right) < camera.half_width(z) + 2
            if right > left and visible:
                light = 1 + random.uniform(-variety, variety) / merged**0.5
                painter.fill(left, right, z + joint / 2, z + step - joint / 2, shaded(color, light))
            x += wide
        z += step
        row += 1
