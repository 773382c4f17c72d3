"""The street: pictures and the truth about them."""

from __future__ import annotations

import math
from threading import Lock

import cv2
import numpy as np

from edge_fairmot.benchmarks.street.backdrop import draw_backdrop
from edge_fairmot.benchmarks.street.camera import Camera
from edge_fairmot.benchmarks.street.crowd import Crowd
from edge_fairmot.benchmarks.street.options import StreetOptions
from edge_fairmot.benchmarks.street.plan import WALL_M, furnish
from edge_fairmot.benchmarks.street.scene import HALF_COVERED, Figure, blend, place_figures, uncovered
from edge_fairmot.benchmarks.street.shadow import ShadowMap, darken
from edge_fairmot.benchmarks.street.sprites import Portraits
from edge_fairmot.benchmarks.street.weather import Weather
from edge_fairmot.types import Truth, UInt8Array


class Street:
    """A street with people, without a camera.

    Frames may be asked for in any order, and from several threads; each depends on the options and its index
    alone. Going back by more than a minute of the street's time takes a moment longer.

    Parameters
    ----------
    options : StreetOptions, optional

    Examples
    --------
    >>> street = Street(StreetOptions(seed=3, size=(576, 320)))
    >>> street.picture(10).shape
    (320, 576, 3)
    >>> len(street.truth(10)) > 20
    True
    """

    def __init__(self, options: StreetOptions | None = None) -> None:
        self.options = options = options or StreetOptions()
        shake_px = options.shake / 100 * options.size[1]
        self._camera = Camera(options.size, margin=math.ceil(shake_px))
        self._weather = Weather(options.seed, shake_px, options.light)
        furniture = furnish(options.seed)
        self._backdrop = draw_backdrop(self._camera, options.seed, furniture)
        self._crowd = Crowd(options.seed, options.people, self._camera, furniture)
        self._portraits = Portraits(self._camera)
        self._drawing = Lock()

    def picture(self, index: int) -> UInt8Array:
        """Draw a frame.

        Parameters
        ----------
        index : int
            From 0. Frames after the last are as good as others.

        Returns
        -------
        uint8 (H, W, 3)
            BGR.
        """
        time_s = index / self.options.fps
        figures = self._figures(time_s)
        canvas = self._backdrop.image.copy()
        shadows = ShadowMap(self._camera, self._backdrop.ground)
        for figure in figures:
            shadows.cast(figure.sprite, figure.x, figure.z)
        darken(canvas, shadows.finish(), self._weather.sun(time_s))
        for figure in figures:
            layer = uncovered(figure, self._backdrop.covers, self._camera)
            if layer is not None:
                blend(canvas, layer)
        return self._weather.shine(self._framed(canvas, time_s), time_s)

    def truth(self, index: int) -> Truth:
        """Tell who is where in a frame.

        Those whom houses hide, because they have not entered the street yet or have left it, are not listed.
        """
        time_s = index / self.options.fps
        width, height = self.options.size
        sway = np.array(self._weather.sway(time_s)) - self._camera.margin
        rows = []
        taken = self._frame_edge(time_s)
        for figure in reversed(self._figures(time_s)):
            visibility = self._visibility(figure, taken)
            box = np.array(figure.xyxy) + np.tile(sway, 2)
            inside = box[0] < width and box[1] < height and box[2] > 0 and box[3] > 0
            if inside and (visibility > 0 or abs(figure.x) < WALL_M):
                feet = self._camera.project(figure.x, figure.z) + sway
                rows.append((figure.walker.identity, box, visibility, feet))
        rows.sort(key=lambda row: row[0])
        ids, boxes, visibilities, feet_of_all = zip(*rows, strict=True) if rows else ((), (), (), ())
        return Truth(
            np.array(ids, np.int64),
            np.array(boxes, np.float32).reshape(-1, 4),
            np.array(visibilities, np.float32),
            np.array(feet_of_all, np.float32).reshape(-1, 2),
        )

    def _figures(self, time_s: float) -> list[Figure]:
        with self._drawing:
            return place_figures(self._crowd.at(time_s), time_s, self._camera, self._portraits)

    def _framed(self, canvas: UInt8Array, time_s: float) -> UInt8Array:
        """Cut the picture out of the canvas."""
        margin = self._camera.margin
        if not margin:
            return canvas
        sway_x, sway_y = self._weather.sway(time_s)
        matrix = np.array([[1.0, 0.0, sway_x - margin], [0.0, 1.0, sway_y - margin]])
        return np.asarray(cv2.warpAffine(canvas, matrix, self.options.size, flags=cv2.INTER_LINEAR), np.uint8)

    def _frame_edge(self, time_s: float) -> UInt8Array:
        """Canvas with 255 where the picture is not."""
        width, height = self._camera.canvas_size
        edge = np.full((height, width), 255, np.uint8)
        sway_x, sway_y = self._weather.sway(time_s)
        left, top = round(self._camera.margin - sway_x), round(self._camera.margin - sway_y)
        edge[top : top + self.options.size[1], left : left + self.options.size[0]] = 0
        return edge

    def _visibility(self, figure: Figure, taken: UInt8Array) -> float:
        """Share of a figure that is seen, which is marked as taken: to be asked from the nearest on."""
        layer = uncovered(figure, self._backdrop.covers, self._camera)
        whole = cv2.countNonZero(_solid(figure.image))
        if layer is None or not whole:
            return 0.0
        place = taken[layer.rows, layer.columns]
        body = _solid(layer.image)
        seen = cv2.countNonZero(cv2.subtract(body, place))
        cv2.bitwise_or(body, place, dst=place)
        return seen / whole


def _solid(image: UInt8Array) -> UInt8Array:
    """255 where a sprite, uint8 (H, W, 4), covers half of a pixel or more."""
    _, solid = cv2.threshold(image[:, :, 3], HALF_COVERED - 1, 255, cv2.THRESH_BINARY)
    return np.asarray(solid, np.uint8)
