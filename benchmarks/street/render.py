"""Images and ground truth of the street: sprites of people, occlusion, shadows, wind and clouds."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from threading import Lock

import cv2
import numpy as np

from edge_fairmot.benchmarks.street.figure import Pose, draw_figure
from edge_fairmot.benchmarks.street.options import StreetOptions
from edge_fairmot.benchmarks.street.plan import WALL_M, Crowd, Person, furnish
from edge_fairmot.benchmarks.street.scenery import draw_backdrop
from edge_fairmot.benchmarks.street.shapes import NEAREST_M, Camera, ShadowMap, Sprite, darken, rasterise
from edge_fairmot.benchmarks.street.view import View
from edge_fairmot.types import Float64Array, GroundTruth, UInt8Array

# Poses are rounded, so that sprites are used again: turns of 15 degrees, and at 25 frames per second about
# every phase of a step.
HEADINGS, PHASES, STRIDES = 24, 20, 3
SPRITE_CACHE_BYTES = 64 << 20

HALF_COVERED = 128  # a pixel belongs to a person whose alpha is at least this

CLOUD_HZ = (0.021, 0.047, 0.11)
DIMMEST = 0.45  # share of the light under the thickest clouds


class SpriteCache:
    """Sprites of people in rounded poses; the least recently used go beyond ``SPRITE_CACHE_BYTES``."""

    def __init__(self, camera: Camera) -> None:
        self._largest_scale = camera.scale(NEAREST_M)
        self._sprites: OrderedDict[tuple[int, ...], Sprite] = OrderedDict()
        self._bytes = 0

    def get(self, person: Person, heading: float, gait: tuple[float, float], scale: float) -> Sprite:
        """Sprite of a person; it has ``scale`` pixels per metre or up to twice as many."""
        phase, stride = gait
        turn = round(heading / math.tau * HEADINGS) % HEADINGS
        length = round(stride * (STRIDES - 1))
        step = math.floor(phase / math.tau * PHASES) % PHASES if length else 0
        halvings = max(0, math.floor(math.log2(self._largest_scale / scale)))
        key = (person.identity, turn, step, length, halvings)
        sprite = self._sprites.pop(key, None)
        if sprite is None:
            pose = Pose(turn * math.tau / HEADINGS, step * math.tau / PHASES, length / (STRIDES - 1))
            sprite = rasterise(draw_figure(person.look, pose), self._largest_scale / 2**halvings)
            self._bytes += sprite.image.nbytes
        self._sprites[key] = sprite
        while self._bytes > SPRITE_CACHE_BYTES:
            _, removed = self._sprites.popitem(last=False)
            self._bytes -= removed.image.nbytes
        return sprite


@dataclass(frozen=True, slots=True)
class Layer:
    """Part of the canvas with uint8 (H, W, 4): BGR premultiplied by alpha, and alpha."""

    rows: slice
    columns: slice
    image: UInt8Array


@dataclass(frozen=True, slots=True)
class Figure:
    """A person on the canvas."""

    person: Person
    x: float  # metres, as z
    z: float
    xyxy: tuple[float, float, float, float]  # of the whole body, canvas pixels
    sprite: Sprite
    left: int  # of image, canvas pixels, as top; perhaps outside
    top: int
    image: UInt8Array  # as in a sprite, at its size on the canvas
    layer: Layer | None  # the part on the canvas and not behind a cover


class Street:
    """A street with people, drawn without a camera.

    Frames may be asked for in any order, and from several threads; each depends on the options and its index
    alone. A step back of more than a minute of the street's time takes a moment longer.

    Parameters
    ----------
    options : StreetOptions, optional

    Examples
    --------
    >>> street = Street(StreetOptions(seed=3, size=(576, 320)))
    >>> street.image(10).shape
    (320, 576, 3)
    >>> len(street.truth(10)) > 20
    True
    """

    def __init__(self, options: StreetOptions | None = None) -> None:
        self.options = options = options or StreetOptions()
        self._view = View(options)
        self._camera = Camera(self._view.street_size, margin=self._view.margin)
        furniture = furnish(options.seed)
        self._backdrop = draw_backdrop(self._camera, options.seed, furniture)
        self._crowd = Crowd(options.seed, options.people, self._camera, furniture)
        self._sprites = SpriteCache(self._camera)
        self._lock = Lock()

    def image(self, index: int) -> UInt8Array:
        """Draw a frame.

        Parameters
        ----------
        index : int
            From 0. Frames after the last one of the options are drawn too.

        Returns
        -------
        uint8 (H, W, 3)
            BGR.
        """
        time_s = index / self.options.fps
        return self._draw(self.figures(time_s), time_s)

    def truth(self, index: int) -> GroundTruth:
        """Ground truth of a frame: all people in view or hidden by others and furniture.

        People behind houses are not listed: they have not entered the street yet, or have left it.

        Parameters
        ----------
        index : int

        Returns
        -------
        GroundTruth
        """
        time_s = index / self.options.fps
        return self._observe(self.figures(time_s), time_s)

    def frame(self, index: int) -> tuple[UInt8Array, GroundTruth]:
        """Image and ground truth of a frame, in little more time than the image alone.

        Parameters
        ----------
        index : int

        Returns
        -------
        uint8 (H, W, 3), GroundTruth
        """
        time_s = index / self.options.fps
        figures = self.figures(time_s)
        return self._draw(figures, time_s), self._observe(figures, time_s)

    def view(self, index: int) -> Float64Array:
        """Return where the camera looks in a frame, float64 (2, 3): maps street pixels to the image."""
        return self._view.matrix(index / self.options.fps)

    def figures(self, time_s: float) -> list[Figure]:
        """All people who may be on the canvas, the farthest first."""
        with self._lock:
            places = [(person, *person.place(time_s)) for person in self._crowd.at(time_s)]
            places.sort(key=lambda place: -place[2])
            figures = [self._figure(person, place, time_s) for person, *place in places]
        return [figure for figure in figures if figure is not None]

    def _figure(self, person: Person, place: Sequence[float], time_s: float) -> Figure | None:
        x, z, heading = place
        camera = self._camera
        column, row = camera.project(x, z)
        scale = camera.scale(z)
        # People at the sides of the image are seen turned a little more.
        sprite = self._sprites.get(person, heading + math.atan2(x, z), person.gait(time_s), scale)
        left, bottom, right, top = sprite.bounds
        xyxy = column + left * scale, row - top * scale, column + right * scale, row - bottom * scale
        width, height = camera.canvas_size
        if xyxy[2] <= 0 or xyxy[0] >= width or xyxy[1] >= height:
            return None
        ratio = scale / sprite.scale
        corner_x, corner_y = column - ratio * sprite.anchor[0], row - ratio * sprite.anchor[1]
        first_column, first_row = math.floor(corner_x), math.floor(corner_y)
        high, wide = (math.ceil(ratio * side) + 1 for side in sprite.image.shape[:2])
        # OpenCV's coordinates are those of pixel centres; these are of pixel corners.
        shift_x = corner_x - first_column + (ratio - 1) / 2
        shift_y = corner_y - first_row + (ratio - 1) / 2
        matrix = np.array([[ratio, 0.0, shift_x], [0.0, ratio, shift_y]])
        warped = cv2.warpAffine(sprite.image, matrix, (wide, high), flags=cv2.INTER_LINEAR)
        image = np.asarray(warped, np.uint8)
        layer = self._uncovered(image, first_column, first_row, z)
        return Figure(person, x, z, xyxy, sprite, first_column, first_row, image, layer)

    def _uncovered(self, image: UInt8Array, left: int, top: int, z: float) -> Layer | None:
        """Part of an image on the canvas and not behind nearer covers; None where all is off the canvas."""
        width, height = self._camera.canvas_size
        high, wide = image.shape[:2]
        rows, columns = (
            slice(max(top, 0), min(top + high, height)),
            slice(max(left, 0), min(left + wide, width)),
        )
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return None
        image = image[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
        for cover in self._backdrop.covers:
            if cover.depth >= z:
                break
            first_row, last_row = max(rows.start, cover.top), min(rows.stop, cover.bottom)
            first_column, last_column = max(columns.start, cover.left), min(columns.stop, cover.right)
            if first_row >= last_row or first_column >= last_column:
                continue
            shared = slice(first_row, last_row), slice(first_column, last_column)
            image = image.copy()
            place = image[_moved(shared[0], rows.start), _moved(shared[1], columns.start)]
            seen = cv2.bitwise_not(cover.alpha[_moved(shared[0], cover.top), _moved(shared[1], cover.left)])
            place[:] = cv2.multiply(place, cv2.merge([seen, seen, seen, seen]), scale=1 / 255)
        return Layer(rows, columns, image)

    def _draw(self, figures: Sequence[Figure], time_s: float) -> UInt8Array:
        canvas = self._backdrop.image.copy()
        shadows = ShadowMap(self._camera, self._backdrop.ground)
        for figure in figures:
            shadows.cast(figure.sprite, figure.x, figure.z)
        sun = self._sun(time_s)
        darken(canvas, shadows.finish(), sun)
        for figure in figures:
            if figure.layer is not None:
                _blend(canvas, figure.layer)
        if self._view.moves:
            matrix = self._view.matrix(time_s)
            matrix[:, 2] += (matrix[0, 0] - 1) / 2  # OpenCV's coordinates are those of pixel centres
            moved = cv2.warpAffine(canvas, matrix, self.options.size, flags=cv2.INTER_LINEAR)
            canvas = np.asarray(moved, np.uint8)
        return _dimmed(canvas, sun)

    def _observe(self, figures: Sequence[Figure], time_s: float) -> GroundTruth:
        width, height = self.options.size
        matrix = self._view.matrix(time_s)
        scale, shift = matrix[0, 0], matrix[:, 2]
        left, top = (round(part) for part in (-shift / scale).tolist())
        taken = np.full(self._camera.canvas_size[::-1], 255, np.uint8)  # 0 where a person would be in view
        taken[top : top + round(height / scale), left : left + round(width / scale)] = 0
        rows = []
        for figure in reversed(figures):
            visibility = _visibility(figure, taken)
            box = scale * np.array(figure.xyxy) + np.tile(shift, 2)
            inside = box[0] < width and box[1] < height and box[2] > 0 and box[3] > 0
            if inside and (visibility > 0 or abs(figure.x) < WALL_M):
                foot = scale * np.array(self._camera.project(figure.x, figure.z)) + shift
                rows.append((figure.person.identity, box, visibility, foot))
        rows.sort(key=lambda row: row[0])
        ids, boxes, visibilities, feet = zip(*rows, strict=True) if rows else ((), (), (), ())
        return GroundTruth(
            np.array(ids, np.int64),
            np.array(boxes, np.float32).reshape(-1, 4),
            np.array(visibilities, np.float32),
            np.array(feet, np.float32).reshape(-1, 2),
        )

    def _sun(self, time_s: float) -> float:
        """Sunlight from 0, behind a cloud, to 1."""
        if self.options.light == 0:
            return 1.0
        random = Random(f"street {self.options.seed}, clouds")
        swing = sum(math.sin(math.tau * (hz * time_s + random.random())) for hz in CLOUD_HZ)
        return 1.0 - self.options.light / (1.0 + math.exp(4.0 * swing - 1.0))


def _moved(place: slice, origin: int) -> slice:
    return slice(place.start - origin, place.stop - origin)


def _blend(canvas: UInt8Array, layer: Layer) -> None:
    place = canvas[layer.rows, layer.columns]
    blue, green, red, alpha = cv2.split(layer.image)
    behind = cv2.bitwise_not(alpha)
    cv2.multiply(place, cv2.merge([behind, behind, behind]), dst=place, scale=1 / 255)
    cv2.add(place, cv2.merge([blue, green, red]), dst=place)


def _dimmed(image: UInt8Array, sun: float) -> UInt8Array:
    """Image in the light of a moment: dimmer and bluer without sun."""
    if sun == 1.0:
        return image
    dim = DIMMEST + (1 - DIMMEST) * sun
    gains = np.array((dim**0.8, dim**0.95, dim))
    table = np.clip(np.arange(256)[:, None] * gains, 0, 255)
    return np.asarray(cv2.LUT(image, np.rint(table).astype(np.uint8)[None]), np.uint8)


def _visibility(figure: Figure, taken: UInt8Array) -> float:
    """Share of a figure in view; its pixels are then taken. The nearest figure must come first."""
    whole = cv2.countNonZero(_solid(figure.image))
    if figure.layer is None or not whole:
        return 0.0
    place = taken[figure.layer.rows, figure.layer.columns]
    body = _solid(figure.layer.image)
    seen = cv2.countNonZero(cv2.subtract(body, place))
    cv2.bitwise_or(body, place, dst=place)
    return seen / whole


def _solid(image: UInt8Array) -> UInt8Array:
    """255 where alpha of uint8 (H, W, 4) is at least ``HALF_COVERED``."""
    _, solid = cv2.threshold(image[:, :, 3], HALF_COVERED - 1, 255, cv2.THRESH_BINARY)
    return np.asarray(solid, np.uint8)
