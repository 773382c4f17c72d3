"""Lines and zones drawn on a picture, with what they have counted."""

from __future__ import annotations

import math

import cv2
import numpy as np

from edge_fairmot.counting import Counter, Line, Zone
from edge_fairmot.sinks.annotation import SUBPIXEL_BITS, Color, Pen, draw_label, subpixel
from edge_fairmot.types import UInt8Array

LINE_COLOR: Color = (0, 200, 255)
ZONE_COLOR: Color = (220, 160, 40)

ZONE_OPACITY = 0.18

ARROW_LENGTH = 0.035
"""Of the shorter side of the picture."""


class CountingOverlay:
    """Draws the lines and zones of a counter; to be given to :class:`edge_fairmot.sinks.VideoSink`.

    An arrow shows the way that counts as in.

    Parameters
    ----------
    counter : Counter
        Its totals at the time of drawing are shown.
    """

    def __init__(self, counter: Counter) -> None:
        self._counter = counter

    def __call__(self, canvas: UInt8Array) -> None:
        """Draw on a picture, uint8 (H, W, 3), BGR."""
        height, width = canvas.shape[:2]
        pen = Pen.for_picture(width, height)
        zones, lines = self._counter.zones, self._counter.lines
        # Who draws in another thread may find a shape before its totals, or the other way round.
        for zone in self._counter.config.zones:
            stays = zones.get(zone.name)
            if stays is not None:
                _draw_zone(canvas, zone, f"{zone.name}: {stays.occupancy}", pen)
        for line in self._counter.config.lines:
            totals = lines.get(line.name)
            if totals is not None:
                _draw_line(canvas, line, f"{line.name}: in {totals.inwards}, out {totals.outwards}", pen)


def _draw_zone(canvas: UInt8Array, zone: Zone, text: str, pen: Pen) -> None:
    height, width = canvas.shape[:2]
    corners = np.array(zone.polygon) * (width, height)
    points = np.rint(corners * (1 << SUBPIXEL_BITS)).astype(np.int32)
    left, top = np.floor(corners.min(axis=0)).astype(int).tolist()
    right, bottom = np.ceil(corners.max(axis=0)).astype(int).tolist()
    place = canvas[top : bottom + 1, left : right + 1]
    filled = place.copy()
    offset = (-left, -top)
    cv2.fillPoly(filled, [np.rint(corners).astype(np.int32)], ZONE_COLOR, cv2.LINE_AA, 0, offset)
    place[:] = cv2.addWeighted(filled, ZONE_OPACITY, place, 1 - ZONE_OPACITY, 0)
    cv2.polylines(canvas, [points], True, ZONE_COLOR, pen.line, cv2.LINE_AA, SUBPIXEL_BITS)
    draw_label(canvas, text, (left, top), ZONE_COLOR, pen)


def _draw_line(canvas: UInt8Array, line: Line, text: str, pen: Pen) -> None:
    height, width = canvas.shape[:2]
    start, end = np.array(line.start) * (width, height), np.array(line.end) * (width, height)
    thick = 2 * pen.line
    cv2.line(canvas, subpixel(*start), subpixel(*end), LINE_COLOR, thick, cv2.LINE_AA, SUBPIXEL_BITS)
    middle, along = (start + end) / 2, end - start
    # In is to the right of the way from start to end; in a picture y goes down.
    right = np.array((-along[1], along[0])) / math.hypot(*along)
    tip = middle + right * max(8.0, ARROW_LENGTH * min(width, height))
    cv2.arrowedLine(
        canvas, subpixel(*middle), subpixel(*tip), LINE_COLOR, thick, cv2.LINE_AA, SUBPIXEL_BITS, 0.45
    )
    draw_label(canvas, text, (float(start[0]), float(start[1])), LINE_COLOR, pen)
