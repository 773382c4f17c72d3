"""The view of the street's camera at any moment: wind, a hand, a pan to and fro, a zoom in and out."""

from __future__ import annotations

import math
from random import Random

import numpy as np

from edge_fairmot.benchmarks.street.options import StreetOptions
from edge_fairmot.types import Float64Array

SWAY_HZ = (0.31, 0.73, 1.9, 4.3)  # a mast sways slowly and trembles a little
SWAY_SHARE = (0.45, 0.3, 0.17, 0.08)
HAND_HZ = (3.6, 5.2)  # sideways and upward: the image jumps by nearly its full swing from frame to frame
ZOOM_PERIOD_S = 8.0


class View:
    """Where the camera looks. A panning camera sees a street of twice its own width, one half at a time."""

    def __init__(self, options: StreetOptions) -> None:
        self._options = options
        self._wind_px = options.shake / 100 * options.size[1]
        self._hand_px = options.handheld / 100 * options.size[1]
        self.margin = math.ceil(self._wind_px + self._hand_px)
        """Pixels of the canvas around the street that shaking needs."""

    @property
    def street_size(self) -> tuple[int, int]:
        """Width and height of the street at magnification 1, pixels."""
        width, height = self._options.size
        return (2 * width if self._options.pan else width), height

    @property
    def moves(self) -> bool:
        """Whether the camera moves at all."""
        return self.margin > 0 or self._options.pan > 0 or self._options.zoom > 1

    def matrix(self, time_s: float) -> Float64Array:
        """Return the map from the canvas to the image, float64 (2, 3): one scale, and a shift."""
        (width, height), options = self._options.size, self._options
        scale = 1.0
        if options.zoom > 1:
            scale = options.zoom ** ((1 - math.cos(math.tau * time_s / ZOOM_PERIOD_S)) / 2)
        (wind_x, wind_y), (hand_x, hand_y) = self._wind(time_s), self._hand(time_s)
        shift_x = wind_x + hand_x - self.margin - self._panned(time_s)
        shift_y = wind_y + hand_y - self.margin
        return np.array(
            (
                (scale, 0.0, scale * shift_x + (1 - scale) * width / 2),
                (0.0, scale, scale * shift_y + (1 - scale) * height / 2),
            )
        )

    def _panned(self, time_s: float) -> float:
        """Pixels from the left end of the street to the image: to and fro at constant speed."""
        if not self._options.pan:
            return 0.0
        width = self._options.size[0]
        at = (width / 2 + self._options.pan / 100 * width * time_s) % (2 * width)
        return min(at, 2 * width - at)

    def _hand(self, time_s: float) -> tuple[float, float]:
        sideways, upward = (self._hand_px * math.sin(math.tau * hz * time_s) for hz in HAND_HZ)
        return sideways, upward

    def _wind(self, time_s: float) -> tuple[float, float]:
        """Pixels that wind moves the image to the right and down."""
        if self._wind_px == 0:
            return 0.0, 0.0
        random = Random(f"street {self._options.seed}, wind")
        sideways, upward = (
            sum(
                share * math.sin(math.tau * (hz * time_s + random.random()))
                for hz, share in zip(SWAY_HZ, SWAY_SHARE, strict=True)
            )
            for _ in range(2)
        )
        return self._wind_px * sideways, self._wind_px * upward
