"""Tracks and counts drawn on an image: box, id, the trail of the foot point; lines, zones and totals."""

from __future__ import annotations

import colorsys
import itertools
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_fairmot.classes import class_name
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.types import Counts, Float32Array, Int64Array, LineCounts, Tracks, UInt8Array, ZoneCounts

Color: TypeAlias = tuple[int, int, int]
Int32Array: TypeAlias = NDArray[np.int32]

HUE_STEP = 0.6180339887498949
"""Golden ratio: neighbouring ids get distant hues, however many ids there are."""

VALUE_STEP = 0.7548776662466927
"""Inverse plastic number: ids whose hues come close differ in brightness."""

SUBPIXEL_BITS = 4
"""OpenCV takes coordinates in sixteenths of a pixel: trails and boxes glide instead of jumping."""

DARK_TEXT_ABOVE = 140.0
"""Luma of a colour, 0 to 255, above which black text on it is easier to read than white."""

FOOT_SMOOTHING = 0.35
"""Weight of the newest foot point in the trail; without it the trail shows the jitter of the box's edge."""

MAX_FRAME_GAP = 10
"""Images without an id that its trail bridges. A longer gap is not drawn."""

FONT = cv2.FONT_HERSHEY_DUPLEX

LINE_COLOR: Color = (0, 200, 255)
ZONE_COLOR: Color = (220, 160, 40)

ZONE_OPACITY = 0.18

ARROW_LENGTH = 0.035
"""Share of the image's shorter side."""


@dataclass(frozen=True, slots=True)
class Pen:
    """Sizes in pixels that follow the image size."""

    line: int
    dash: int
    trail_step: float
    text_scale: float
    padding: int

    @staticmethod
    def for_image(width: int, height: int) -> Pen:
        """Return the pen for an image of this size, pixels."""
        short = min(width, height)
        text_height = max(9, round(short / 40))
        return Pen(
            line=1 + short // 400,
            dash=max(4, round(short / 70)),
            trail_step=max(2.0, short / 120),
            text_scale=cv2.getFontScaleFromHeight(FONT, text_height, 1),
            padding=max(2, round(text_height / 4)),
        )


@dataclass(slots=True)
class _Trail:
    """Smoothed foot points (x, y, number of the drawn image) of one id, oldest first."""

    x: float
    y: float
    seen: int
    points: deque[tuple[float, float, int]] = field(default_factory=deque)

    def extend(self, x: float, y: float, draw: int, step: float) -> None:
        if draw - self.seen > MAX_FRAME_GAP:
            self.points.clear()
            self.x, self.y = x, y
        self.x += (x - self.x) * FOOT_SMOOTHING
        self.y += (y - self.y) * FOOT_SMOOTHING
        self.seen = draw
        # A point every few pixels: a standing person leaves no blot, and long trails stay cheap.
        if not self.points or math.hypot(self.x - self.points[-1][0], self.y - self.points[-1][1]) >= step:
            self.points.append((self.x, self.y, draw))

    def forget(self, oldest: int) -> bool:
        """Drop points up to image ``oldest``; True if the id itself was last seen then."""
        while self.points and self.points[0][2] <= oldest:
            self.points.popleft()
        return self.seen <= oldest


def id_color(track_id: int) -> Color:
    """Return the BGR colour of an id, the same in every image and run."""
    value = 0.75 + 0.25 * (track_id * VALUE_STEP % 1.0)
    red, green, blue = colorsys.hsv_to_rgb(track_id * HUE_STEP % 1.0, 0.75, value)
    return round(blue * 255), round(green * 255), round(red * 255)


class Annotator:
    """Draws tracks and counts on successive images; it keeps the trails.

    Parameters
    ----------
    trail_length : int
        Images after which a point of a trail has faded and is dropped. 0 draws no trails.

    Raises
    ------
    InvalidInputError
        If it is negative.
    """

    def __init__(self, trail_length: int = 40) -> None:
        if trail_length < 0:
            raise InvalidInputError(f"trail_length must be 0 or more, not {trail_length}")
        self._trail_length = trail_length
        self._trails: dict[int, _Trail] = {}
        self._draws = 0

    def draw(
        self,
        image: UInt8Array,
        tracks: Tracks,
        counts: Counts | None = None,
        class_names: Sequence[str] = (),
    ) -> UInt8Array:
        """Draw on a copy of an image. A predicted box is dashed.

        Parameters
        ----------
        image : uint8 (H, W, 3)
            BGR. Not changed.
        tracks : Tracks
            Source pixels. Rows outside the image or with NaN are not drawn.
        counts : Counts, optional
            Lines and zones with their totals.
        class_names : sequence of str
            Name of each class id; of several classes, labels begin with the name.

        Returns
        -------
        uint8 (H, W, 3)
            BGR, a new array.
        """
        canvas = np.ascontiguousarray(image).copy()
        height, width = image.shape[:2]
        pen = Pen.for_image(width, height)
        order = _visible_rows(tracks.xyxy, width, height)
        # Far outside, coordinates would overflow OpenCV's fixed point.
        boxes = np.clip(tracks.xyxy[order], -max(width, height), 2 * max(width, height))
        ids = tracks.track_id[order].tolist()
        self._remember(ids, boxes, pen.trail_step)
        self._draw_trails(canvas, image, pen)
        for track_id, box, predicted in zip(ids, boxes, tracks.predicted[order], strict=True):
            _draw_box(canvas, box, id_color(track_id), pen, dashed=bool(predicted))
        for track_id, box, class_id in zip(ids, boxes, tracks.class_id[order].tolist(), strict=True):
            name = f"{class_name(class_id, class_names)} " if len(class_names) > 1 else ""
            _draw_label(canvas, f"{name}{track_id}", (box[0], box[1]), id_color(track_id), pen)
        if counts is not None:
            _draw_counts(canvas, counts, pen)
        return canvas

    def _remember(self, ids: list[int], boxes: Float32Array, step: float) -> None:
        self._draws += 1
        feet = np.stack([(boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 3]], axis=1).tolist()
        for track_id, (x, y) in zip(ids, feet, strict=True):
            trail = self._trails.setdefault(track_id, _Trail(x, y, self._draws))
            trail.extend(x, y, self._draws, step)
        oldest = self._draws - self._trail_length
        for track_id in [key for key, trail in self._trails.items() if trail.forget(oldest)]:
            del self._trails[track_id]

    def _draw_trails(self, canvas: UInt8Array, image: UInt8Array, pen: Pen) -> None:
        height, width = image.shape[:2]
        for track_id, trail in self._trails.items():
            color = id_color(track_id)
            ends = [*trail.points, (trail.x, trail.y, trail.seen)]
            for (x, y, draw), (next_x, next_y, _) in itertools.pairwise(ends):
                # A segment mixed with a single pixel under it looks blended, at a fraction of the cost.
                strength = 1 - (self._draws - draw) / self._trail_length
                under = image[min(max(int(y), 0), height - 1), min(max(int(x), 0), width - 1)].tolist()
                mixed = [
                    below + (above - below) * strength for above, below in zip(color, under, strict=True)
                ]
                weight = max(1, round((pen.line + 1) * strength))
                cv2.line(
                    canvas,
                    _subpixel(x, y),
                    _subpixel(next_x, next_y),
                    mixed,
                    weight,
                    cv2.LINE_AA,
                    SUBPIXEL_BITS,
                )


def _visible_rows(xyxy: Float32Array, width: int, height: int) -> Int64Array:
    """Return the rows to draw, by their lower edge: a label in front covers one behind."""
    inside = (xyxy[:, :2] < (width, height)).all(axis=1) & (xyxy[:, 2:] > 0).all(axis=1)
    rows = np.flatnonzero(inside)
    return rows[np.argsort(xyxy[rows, 3], kind="stable")].astype(np.int64)


def _subpixel(x: float, y: float) -> tuple[int, int]:
    """Return coordinates as OpenCV takes them, with ``SUBPIXEL_BITS``."""
    return round(x * (1 << SUBPIXEL_BITS)), round(y * (1 << SUBPIXEL_BITS))


def _draw_box(canvas: UInt8Array, box: Float32Array, color: Color, pen: Pen, *, dashed: bool) -> None:
    left, top, right, bottom = box.tolist()
    if not dashed:
        cv2.rectangle(
            canvas,
            _subpixel(left, top),
            _subpixel(right, bottom),
            color,
            pen.line,
            cv2.LINE_AA,
            SUBPIXEL_BITS,
        )
        return
    corners = ((left, top), (right, top), (right, bottom), (left, bottom), (left, top))
    dashes = [dash for a, b in itertools.pairwise(corners) for dash in _dashes(a, b, pen.dash)]
    cv2.polylines(canvas, dashes, False, color, pen.line, cv2.LINE_AA, SUBPIXEL_BITS)


def _dashes(start: tuple[float, float], end: tuple[float, float], dash: int) -> Int32Array:
    """Return the dashes of a side, int32 (count, 2, 2); the side begins and ends with one."""
    parts = 2 * max(1, round((abs(end[0] - start[0]) + abs(end[1] - start[1])) / (2 * dash))) - 1
    at = np.linspace(start, end, parts + 1) * (1 << SUBPIXEL_BITS)
    return np.stack([at[:-1:2], at[1::2]], axis=1).round().astype(np.int32)


def _draw_label(canvas: UInt8Array, text: str, corner: tuple[float, float], color: Color, pen: Pen) -> None:
    """Draw a filled label above an upper left corner, or below it at the image's edge."""
    height, width = canvas.shape[:2]
    (text_w, text_h), _ = cv2.getTextSize(text, FONT, pen.text_scale, 1)
    tag_w, tag_h = text_w + 2 * pen.padding, text_h + 2 * pen.padding
    left = min(max(int(corner[0]) - pen.line // 2, 0), max(width - tag_w, 0))
    top = int(corner[1]) - tag_h if corner[1] >= tag_h else int(corner[1])
    top = min(max(top, 0), max(height - tag_h, 0))
    blue, green, red = color
    luma = 0.114 * blue + 0.587 * green + 0.299 * red
    ink = (0, 0, 0) if luma > DARK_TEXT_ABOVE else (255, 255, 255)
    cv2.rectangle(canvas, (left, top), (left + tag_w - 1, top + tag_h - 1), color, cv2.FILLED)
    origin = (left + pen.padding, top + pen.padding + text_h)
    cv2.putText(canvas, text, origin, FONT, pen.text_scale, ink, 1, cv2.LINE_AA)


def _draw_counts(canvas: UInt8Array, counts: Counts, pen: Pen) -> None:
    """Draw lines and zones with their totals; an arrow shows the direction that counts as in."""
    for zone in counts.zones.values():
        classes = {name: one.shown for name, one in zone.by_class.items() if one.occupancy or one.unseen}
        _draw_zone(canvas, zone, f"{zone.name}: {zone.shown}{_in_brackets(classes)}", pen)
    for line in counts.lines.values():
        classes = {
            name: f"{one.inwards}/{one.outwards}"
            for name, one in line.by_class.items()
            if one.inwards or one.outwards
        }
        text = f"{line.name}: in {line.inwards}, out {line.outwards}{_in_brackets(classes)}"
        _draw_line(canvas, line, text, pen)


def _in_brackets(figures: Mapping[str, str]) -> str:
    """Return the figures of classes, as in `` (car 3, bus 1)``; empty without any."""
    return f" ({', '.join(f'{name} {figure}' for name, figure in figures.items())})" if figures else ""


def _draw_zone(canvas: UInt8Array, zone: ZoneCounts, text: str, pen: Pen) -> None:
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
    _draw_label(canvas, text, (left, top), ZONE_COLOR, pen)


def _draw_line(canvas: UInt8Array, line: LineCounts, text: str, pen: Pen) -> None:
    height, width = canvas.shape[:2]
    start, end = np.array(line.start) * (width, height), np.array(line.end) * (width, height)
    thick = 2 * pen.line
    cv2.line(canvas, _subpixel(*start), _subpixel(*end), LINE_COLOR, thick, cv2.LINE_AA, SUBPIXEL_BITS)
    middle, along = (start + end) / 2, end - start
    # In is to the right of the direction from start to end; y points down in an image.
    right = np.array((-along[1], along[0])) / math.hypot(*along)
    tip = middle + right * max(8.0, ARROW_LENGTH * min(width, height))
    cv2.arrowedLine(
        canvas, _subpixel(*middle), _subpixel(*tip), LINE_COLOR, thick, cv2.LINE_AA, SUBPIXEL_BITS, 0.45
    )
    _draw_label(canvas, text, (float(start[0]), float(start[1])), LINE_COLOR, pen)
