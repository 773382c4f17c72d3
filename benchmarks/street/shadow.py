"""Soft shadows on the ground."""

from __future__ import annotations

import cv2
import numpy as np

from edge_fairmot.benchmarks.street.camera import HEIGHT_M, Camera
from edge_fairmot.benchmarks.street.shape import Sprite
from edge_fairmot.types import UInt8Array

REDUCTION = 4
"""Shadows are drawn so much smaller than the canvas: they are soft anyway."""

RIGHT, AWAY = 0.55, 0.5
"""Metres that the shadow of a point one metre up falls to the right of it, and away from the camera."""

STRENGTH = (0.36, 0.42, 0.46)
"""What shadow takes from blue, green and red; the blue sky lights it."""


class ShadowMap:
    """The shadows of one moment.

    Parameters
    ----------
    camera : Camera
    ground : uint8 (H, W)
        255 where shadows can fall.
    """

    def __init__(self, camera: Camera, ground: UInt8Array) -> None:
        self._camera = camera
        width, height = camera.canvas_size
        size = -(-width // REDUCTION), -(-height // REDUCTION)
        self._map = np.zeros((size[1], size[0]), np.uint8)
        self._ground = ground

    def cast(self, sprite: Sprite, x: float, z: float) -> None:
        """Add the shadow of what stands at a place."""
        column, row = self._camera.project(x, z)
        scale = self._camera.scale(z)
        ratio = scale / sprite.scale / REDUCTION
        up = -AWAY * HEIGHT_M / z
        anchor_x, anchor_y = sprite.anchor
        matrix = np.array(
            [
                [ratio, -RIGHT * ratio, column / REDUCTION - ratio * (anchor_x - RIGHT * anchor_y)],
                [0.0, -up * ratio, row / REDUCTION + up * ratio * anchor_y],
            ]
        )
        height, width = sprite.image.shape[:2]
        corners = matrix[:, :2] @ np.array([(0, width, 0, width), (0, 0, height, height)]) + matrix[:, 2:]
        left, top = np.floor(corners.min(axis=1)).astype(int).tolist()
        right, bottom = np.ceil(corners.max(axis=1)).astype(int).tolist()
        left, top = max(left, 0), max(top, 0)
        right, bottom = min(right, self._map.shape[1]), min(bottom, self._map.shape[0])
        if left >= right or top >= bottom:
            return
        matrix[:, 2] -= (left, top)
        alpha = cv2.warpAffine(
            sprite.image[:, :, 3], matrix, (right - left, bottom - top), flags=cv2.INTER_LINEAR
        )
        place = self._map[top:bottom, left:right]
        cv2.max(place, alpha, dst=place)

    def finish(self) -> UInt8Array:
        """Give uint8 (H, W) of the canvas's size: 0 is full light, 255 full shadow."""
        width, height = self._camera.canvas_size
        soft = cv2.blur(self._map, (3, 3))
        full = cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(cv2.multiply(full, self._ground, scale=1 / 255), np.uint8)


def darken(image: UInt8Array, shadow: UInt8Array, sun: float = 1.0) -> None:
    """Take light from a picture where there is shadow; ``sun`` from 0, overcast, to 1."""
    light = [cv2.convertScaleAbs(shadow, alpha=-share * sun, beta=255) for share in STRENGTH]
    cv2.multiply(image, cv2.merge(light), dst=image, scale=1 / 255)
