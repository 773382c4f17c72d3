"""Wind that moves the camera, and clouds that change the light: functions of time and seed alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

import cv2
import numpy as np

from edge_fairmot.types import UInt8Array

SWAY_HZ = (0.31, 0.73, 1.9, 4.3)
SWAY_SHARE = (0.45, 0.3, 0.17, 0.08)
"""A mast sways slowly and trembles a little."""

CLOUD_HZ = (0.021, 0.047, 0.11)

DIMMEST = 0.45
"""Of the light that is left at most."""


@dataclass(frozen=True, slots=True)
class Weather:
    """Wind and clouds over one street.

    Attributes
    ----------
    seed : int
    shake_px : float
        How far the camera moves from its place at most, each way.
    light : float
        As in the street's options.
    """

    seed: int
    shake_px: float
    light: float

    def sway(self, time_s: float) -> tuple[float, float]:
        """Pixels that the picture is moved to the right and down."""
        if self.shake_px == 0:
            return 0.0, 0.0
        random = Random(f"street {self.seed}, wind")
        sideways, upward = (
            sum(
                share * math.sin(math.tau * (hz * time_s + random.random()))
                for hz, share in zip(SWAY_HZ, SWAY_SHARE, strict=True)
            )
            for _ in range(2)
        )
        return self.shake_px * sideways, self.shake_px * upward

    def sun(self, time_s: float) -> float:
        """From 0, behind a cloud, to 1."""
        if self.light == 0:
            return 1.0
        random = Random(f"street {self.seed}, clouds")
        swing = sum(math.sin(math.tau * (hz * time_s + random.random())) for hz in CLOUD_HZ)
        return 1.0 - self.light / (1.0 + math.exp(4.0 * swing - 1.0))

    def shine(self, picture: UInt8Array, time_s: float) -> UInt8Array:
        """Give a picture the light of a moment: dimmer and bluer without sun."""
        sun = self.sun(time_s)
        if sun == 1.0:
            return picture
        dim = DIMMEST + (1 - DIMMEST) * sun
        gains = np.array((dim**0.8, dim**0.95, dim))
        table = np.clip(np.arange(256)[:, None] * gains, 0, 255)
        return np.asarray(cv2.LUT(picture, np.rint(table).astype(np.uint8)[None]), np.uint8)
