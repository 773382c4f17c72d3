"""Random crops of images, unlabelled and labelled: every augmentation is here.

A seed draws the same crops again: the step's number in it is all that a resumed run must know.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from edge_fairmot.convert.training.labels import LabelledImage
from edge_fairmot.letterbox import LETTERBOX_BORDER, Letterbox
from edge_fairmot.types import BoolArray, Float32Array, Float64Array, Int64Array, UInt8Array

SCALES = (0.7, 1.5)
"""Range of scales of unlabelled images, relative to the scale at which the network sees them in use."""

LABELLED_SCALES = (0.5, 1.5)

PERSON_HEIGHTS_PX = (20.0, 400.0)
"""Heights of people that cameras show. Half of the labelled crops draw their scale from it, by a person."""

MAX_ENLARGEMENT = 2.0
"""Of an image's pixels: a person of few pixels is not shown as a large one."""

MIN_FILL = 0.6
"""Least height of an image, as a share of the crop's: much border teaches little."""

ON_PERSON = 0.7
"""Share of the labelled crops that are cut around a person. Half of a camera's image may be empty."""

REACH_MARGIN = 0.1
"""Least distance of that person's centre from the sides, as a share of the crop."""

MOSAIC_SPLITS = (0.3, 0.7)
"""Where a mosaic of four images is split, in shares of the crop."""

MIN_VISIBLE = 0.4
"""Least share of a box that a mosaic leaves; others are ignored."""

ASPECTS = (4 / 3, 16 / 9)
"""Aspect ratios of cameras. Images squeezed into a square are widened to a ratio between them."""

SATURATION_AND_VALUE = 0.5
"""Largest relative change of each, as in the original's training."""

MIN_SIDE_PX = 4.0
"""One cell of the heatmap; smaller boxes are ignored."""

PARTNER_REACH_S = 2.0
"""Largest time between two images of a pair: by default, a lost track is kept for one second."""


@dataclass(frozen=True, slots=True)
class Crop:
    """An image as the network sees it in training, with the boxes whose centres are in it."""

    image: UInt8Array  # uint8 (H, W, 3), BGR
    xyxy: Float32Array  # float32 (N, 4), pixels of the crop; not clipped
    identity: Int64Array  # int64 (N,)
    ignore: BoolArray  # bool (N,): neither a target nor background
    embedding: Float32Array | None = None  # a teacher's, float32 (N, D); zeros where it has none


def draw_crops(
    images: Sequence[UInt8Array],
    input_size: tuple[int, int],
    crop_size: int,
    count: int,
    seed: tuple[int, int],
) -> UInt8Array:
    """Draw crops of unlabelled images, uint8 (count, crop_size, crop_size, 3), mirrored or not."""
    generator = np.random.default_rng(seed)
    crops = np.full((count, crop_size, crop_size, 3), LETTERBOX_BORDER, np.uint8)
    for crop in crops:
        image = images[int(generator.integers(len(images)))]
        height, width = image.shape[:2]
        size = _draw_size(generator, Letterbox((width, height), input_size), SCALES)
        image = resize(image, size)
        if generator.random() < 0.5:
            image = image[:, ::-1]
        top, left = (_draw_start(generator, length, crop_size) for length in reversed(size))
        _paste(image, crop, left, top)
    return crops


def draw_labelled_crops(
    images: Sequence[LabelledImage],
    input_size: tuple[int, int],
    crop_size: int,
    count: int,
    seed: tuple[int, int],
    *,
    pairs: bool = False,
    mosaics: float = 0.0,
) -> list[Crop]:
    """Draw crops of labelled images, a share of them mosaics of four images.

    In pairs, the second half shows the same places as the first up to two seconds apart: partly the same
    people, at another scale, mirrored or not, in other light. A single image of a teacher needs no pair: with
    it goes any other image.
    """
    generator = np.random.default_rng(seed)
    chosen = generator.integers(len(images), size=count // 2 if pairs else count).tolist()
    places = generator.random((len(chosen), 2))
    people = [_draw_person(images[index], generator) for index in chosen]
    if pairs:
        partners = [draw_partner(images, index, generator) for index in chosen]
        for n, index in enumerate(chosen):
            if partners[n] == index and images[index].embedding is not None:
                partners[n] = int(generator.integers(len(images)))
        people += [
            _find_again(images[index], person, images[partner])
            for index, person, partner in zip(chosen, people, partners, strict=True)
        ]
        chosen, places = chosen + partners, np.concatenate((places, places))
    size = crop_size, crop_size
    return [
        _mosaic(images, index, input_size, crop_size, generator)
        if mosaics and math.isnan(images[index].time_s) and generator.random() < mosaics
        else _crop(images[index], input_size, size, place, generator, person=person)
        for index, place, person in zip(chosen, places, people, strict=True)
    ]


def _draw_person(image: LabelledImage, generator: np.random.Generator) -> int | None:
    """Draw the row of a person to cut a crop around; None: cut it anywhere."""
    rows = np.flatnonzero(~image.ignore)
    return int(generator.choice(rows)) if len(rows) and generator.random() < ON_PERSON else None


def _find_again(image: LabelledImage, person: int | None, partner: LabelledImage) -> int | None:
    if person is None or image.identity[person] < 0:
        return None
    rows = np.flatnonzero(partner.identity == image.identity[person])
    return int(rows[0]) if len(rows) else None


def draw_partner(images: Sequence[LabelledImage], index: int, generator: np.random.Generator) -> int:
    """Draw an image near in time that shares an identity; the image itself if there is none."""
    image = images[index]
    sharing = []
    for others in (range(index - 1, -1, -1), range(index + 1, len(images))):
        for n in others:
            # Images of a sequence are in order. Other images have the time NaN, which is near no other.
            if not abs(images[n].time_s - image.time_s) <= PARTNER_REACH_S:
                break
            if np.isin(image.identity[image.identity >= 0], images[n].identity).any():
                sharing.append(n)
    return int(generator.choice(sharing)) if sharing else index


def letterbox_labelled(image: LabelledImage, input_size: tuple[int, int]) -> Crop:
    """Letterbox a whole labelled image, as in use."""
    pixels = image.decode()
    height, width = pixels.shape[:2]
    if image.stretched:
        width = round(height * sum(ASPECTS) / len(ASPECTS))
        pixels = np.asarray(cv2.resize(pixels, (width, height)), np.uint8)
    letterbox = Letterbox((width, height), input_size)
    xyxy = letterbox.to_input(image.xyxy * np.array([width, height, width, height], np.float32))
    return _keep_inside(letterbox.apply(pixels), xyxy, image)


def _mosaic(
    images: Sequence[LabelledImage],
    index: int,
    input_size: tuple[int, int],
    crop_size: int,
    generator: np.random.Generator,
) -> Crop:
    """Put crops of four images side by side (YOLOv4, Bochkovskiy et al., 2020); boxes end at their image."""
    x, y = (round(crop_size * generator.uniform(*MOSAIC_SPLITS)) for _ in range(2))
    indices = [index, *generator.integers(len(images), size=3)]
    pixels = np.full((crop_size, crop_size, 3), LETTERBOX_BORDER, np.uint8)
    parts = []
    for n, (left, right, top, bottom) in enumerate(
        ((0, x, 0, y), (x, crop_size, 0, y), (0, x, y, crop_size), (x, crop_size, y, crop_size))
    ):
        size = right - left, bottom - top
        image, place = images[indices[n]], generator.random(2)
        person = _draw_person(image, generator)
        part = _crop(image, input_size, size, place, generator, person=person)
        pixels[top:bottom, left:right] = part.image
        clipped = np.clip(part.xyxy, 0, np.array(size * 2, np.float32))
        hidden = _areas(clipped) < MIN_VISIBLE * _areas(part.xyxy)
        shifted = clipped + np.array([left, top] * 2, np.float32)
        parts.append(replace(part, xyxy=shifted, ignore=part.ignore | hidden))
    return Crop(
        pixels,
        np.concatenate([part.xyxy for part in parts]),
        np.concatenate([part.identity for part in parts]),
        np.concatenate([part.ignore for part in parts]),
        _concat_embeddings(parts),
    )


def _areas(xyxy: Float32Array) -> Float32Array:
    return (xyxy[:, 2] - xyxy[:, 0]) * (xyxy[:, 3] - xyxy[:, 1])


def _concat_embeddings(parts: Sequence[Crop]) -> Float32Array | None:
    """Join the embeddings of crops, zeros for those without."""
    dims = [part.embedding.shape[1] for part in parts if part.embedding is not None]
    if not dims:
        return None
    empty = [np.zeros((len(part.xyxy), max(dims)), np.float32) for part in parts]
    return np.concatenate(
        [
            zeros if part.embedding is None or not part.embedding.shape[1] else part.embedding
            for part, zeros in zip(parts, empty, strict=True)
        ]
    )


def _crop(
    image: LabelledImage,
    input_size: tuple[int, int],
    crop_size: tuple[int, int],
    place: Float64Array,
    generator: np.random.Generator,
    *,
    person: int | None = None,
) -> Crop:
    """Scale, mirror and light an image, and cut it at a place: shares of the range across and down.

    The place moves as little as is needed to have the centre of a person in the crop.
    """
    pixels = image.decode()
    height, width = pixels.shape[:2]
    aspect = generator.uniform(*ASPECTS)
    seen = (round(height * aspect), height) if image.stretched else (width, height)
    new_w, new_h = _draw_labelled_size(generator, image, seen, input_size, crop_size[1])
    pixels = resize(pixels, (new_w, new_h))
    xyxy = image.xyxy.astype(np.float32).copy()
    across, down = place
    if generator.random() < 0.5:
        pixels, across = pixels[:, ::-1], 1 - across
        xyxy[:, [0, 2]] = 1 - xyxy[:, [2, 0]]
    pixels = _change_light(pixels, generator)
    crop_w, crop_h = crop_size
    left, top = round(across * (crop_w - new_w)), round(down * (crop_h - new_h))
    if person is not None:
        x, y = xyxy[person].reshape(2, 2).mean(axis=0) * (new_w, new_h)
        left, top = _reach(left, x, crop_w, new_w), _reach(top, y, crop_h, new_h)
    crop = np.full((crop_h, crop_w, 3), LETTERBOX_BORDER, np.uint8)
    _paste(pixels, crop, left, top)
    size, start = np.array([new_w, new_h] * 2, np.float32), np.array([left, top] * 2, np.float32)
    return _keep_inside(crop, xyxy * size + start, image)


def _keep_inside(pixels: UInt8Array, xyxy: Float32Array, image: LabelledImage) -> Crop:
    height, width = pixels.shape[:2]
    centre = (xyxy[:, :2] + xyxy[:, 2:]) / 2
    inside = ((centre >= 0) & (centre < (width, height))).all(axis=1)
    small = (xyxy[:, 2:] - xyxy[:, :2]).min(axis=1, initial=np.inf) < MIN_SIDE_PX
    embedding = None if image.embedding is None else image.embedding[inside]
    return Crop(pixels, xyxy[inside], image.identity[inside], (image.ignore | small)[inside], embedding)


def _change_light(image: UInt8Array, generator: np.random.Generator) -> UInt8Array:
    """Change saturation and value."""
    gains = 1 + SATURATION_AND_VALUE * generator.uniform(-1, 1, 2)
    hsv = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_BGR2HSV).astype(np.float32)
    hsv[..., 1:] = np.minimum(hsv[..., 1:] * gains.astype(np.float32), 255)
    return np.asarray(cv2.cvtColor(np.rint(hsv).astype(np.uint8), cv2.COLOR_HSV2BGR), np.uint8)


def _draw_size(
    generator: np.random.Generator, letterbox: Letterbox, scales: tuple[float, float]
) -> tuple[int, int]:
    """Draw the width and height of an image, by its size in use."""
    width, height = letterbox.inner_size
    scale = math.exp(generator.uniform(*np.log(scales)))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _draw_labelled_size(
    generator: np.random.Generator,
    image: LabelledImage,
    seen: tuple[int, int],
    input_size: tuple[int, int],
    crop_height: int,
) -> tuple[int, int]:
    """Draw the width and height of a labelled image: by its size in use, or by the height of a person."""
    letterbox = Letterbox(seen, input_size)
    in_use = letterbox.inner_size[1] / seen[1]
    scale = in_use * math.exp(generator.uniform(*np.log(LABELLED_SCALES)))
    heights = (image.xyxy[:, 3] - image.xyxy[:, 1])[~image.ignore]
    if len(heights) and generator.random() < 0.5:
        person = float(generator.choice(heights)) * seen[1]
        scale = math.exp(generator.uniform(*np.log(PERSON_HEIGHTS_PX))) / person
        scale = min(scale, MAX_ENLARGEMENT * max(1.0, in_use))
    scale = max(scale, MIN_FILL * crop_height / seen[1])
    return max(1, round(seen[0] * scale)), max(1, round(seen[1] * scale))


def _draw_start(generator: np.random.Generator, length: int, crop_size: int) -> int:
    """Draw where an image begins along one axis of a crop; below 0 where the image is longer."""
    start = int(generator.integers(abs(length - crop_size) + 1))
    return start if length < crop_size else -start


def _reach(start: int, centre: float, crop_size: int, length: int) -> int:
    """Move the start of an image along one axis until a centre is well inside the crop."""
    margin = REACH_MARGIN * crop_size
    low, high = margin - centre, crop_size - margin - centre
    wanted = min(max(start, low), high)
    # An image that is larger than the crop fills it, a smaller one is all in it.
    ends = sorted((0, crop_size - length))
    return round(min(max(wanted, ends[0]), ends[1]))


def _paste(image: UInt8Array, crop: UInt8Array, left: int, top: int) -> None:
    """Copy an image into a crop, as much as lies in it."""
    (to_y, from_y), (to_x, from_x) = (
        _overlap(start, image.shape[axis], crop.shape[axis]) for axis, start in enumerate((top, left))
    )
    crop[to_y, to_x] = image[from_y, from_x]


def _overlap(start: int, length: int, crop_size: int) -> tuple[slice, slice]:
    low, high = max(0, start), min(crop_size, start + length)
    return slice(low, high), slice(low - start, high - start)


def resize(image: UInt8Array, size: tuple[int, int]) -> UInt8Array:
    """Resize an image to a width and height, pixels."""
    interpolation = cv2.INTER_AREA if size[0] < image.shape[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=interpolation), np.uint8)


def shrink(image: UInt8Array, letterbox: Letterbox) -> UInt8Array:
    """Shrink an image to the size that the largest scale of its crops needs."""
    width, height = (round(length * SCALES[1]) for length in letterbox.inner_size)
    return image if width >= image.shape[1] else resize(image, (width, height))
