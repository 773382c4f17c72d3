"""Where a place on the street is in the picture.

The camera hangs at a first floor and looks along the street. Its picture plane is upright, as with an
architect's shifted lens: a metre is the same number of pixels up and sideways, and depends on depth alone.
Places are in metres: ``x`` to the right of the camera, ``z`` away from it along the ground, heights above the
ground.
"""

from __future__ import annotations

from dataclasses import dataclass

HEIGHT_M = 3.0
"""Of the lens above the ground."""

FOCAL_LENGTH = 1.6
"""In picture heights."""

HORIZON = 0.25
"""Of the picture's height that is above the horizon."""

NEAREST_M = 6.5
"""Depth at which feet are at the picture's lower edge, about."""


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole.

    Attributes
    ----------
    size : (int, int)
        Width and height of the picture, pixels.
    margin : int
        Pixels that the canvas goes on beyond the picture on each side. Coordinates are the canvas's.
    """

    size: tuple[int, int]
    margin: int = 0

    @property
    def canvas_size(self) -> tuple[int, int]:
        """Width and height of picture and margins, pixels."""
        return self.size[0] + 2 * self.margin, self.size[1] + 2 * self.margin

    @property
    def horizon(self) -> float:
        """Row of the canvas in which everything infinitely far is."""
        return self.margin + HORIZON * self.size[1]

    def scale(self, z: float) -> float:
        """Pixels to a metre at a depth."""
        return FOCAL_LENGTH * self.size[1] / z

    def project(self, x: float, z: float, height: float = 0.0) -> tuple[float, float]:
        """Column and row, canvas pixels, of a place."""
        scale = self.scale(z)
        return self.margin + self.size[0] / 2 + x * scale, self.horizon + (HEIGHT_M - height) * scale

    def half_width(self, z: float) -> float:
        """Metres that can be seen to each side at a depth."""
        return self.size[0] / 2 / self.scale(z)
