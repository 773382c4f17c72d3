"""Pictures of walkers, drawn when first needed and kept while there is room."""

from __future__ import annotations

import math
from collections import OrderedDict

from edge_fairmot.benchmarks.street.camera import NEAREST_M, Camera
from edge_fairmot.benchmarks.street.crowd import Walker
from edge_fairmot.benchmarks.street.figure import draw_figure
from edge_fairmot.benchmarks.street.shape import Sprite, rasterise
from edge_fairmot.benchmarks.street.skeleton import Pose

HEADINGS, PHASES, STRIDES = 24, 20, 3
"""Poses are rounded to these, so that they come again: turns of 15 degrees, and at 25 frames a second about
every phase of a step."""

ROOM_BYTES = 64 << 20


class Portraits:
    """Draws walkers; the least recently wanted go when there are too many.

    Parameters
    ----------
    camera : Camera
    """

    def __init__(self, camera: Camera) -> None:
        self._largest_scale = camera.scale(NEAREST_M)
        self._kept: OrderedDict[tuple[int, ...], Sprite] = OrderedDict()
        self._bytes = 0

    def of(self, walker: Walker, heading: float, gait: tuple[float, float], scale: float) -> Sprite:
        """Draw a walker, or find the drawing.

        Parameters
        ----------
        walker : Walker
        heading : float
            Radians from the picture's right towards away from the camera.
        gait : (float, float)
            Phase and stride.
        scale : float
            Pixels to a metre in the picture. The sprite has this or up to twice as much.

        Returns
        -------
        Sprite
        """
        phase, stride = gait
        turn = round(heading / math.tau * HEADINGS) % HEADINGS
        length = round(stride * (STRIDES - 1))
        step = math.floor(phase / math.tau * PHASES) % PHASES if length else 0
        halvings = max(0, math.floor(math.log2(self._largest_scale / scale)))
        key = (walker.identity, turn, step, length, halvings)
        sprite = self._kept.pop(key, None)
        if sprite is None:
            pose = Pose(turn * math.tau / HEADINGS, step * math.tau / PHASES, length / (STRIDES - 1))
            sprite = rasterise(draw_figure(walker.look, pose), self._largest_scale / 2**halvings)
            self._bytes += sprite.image.nbytes
        self._kept[key] = sprite
        while self._bytes > ROOM_BYTES:
            _, gone = self._kept.popitem(last=False)
            self._bytes -= gone.image.nbytes
        return sprite
