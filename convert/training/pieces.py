"""What a step learns from: pieces of pictures, at other scales, mirrored, in other light, and boxes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from edge_fairmot.convert.footage import put, resize
from edge_fairmot.convert.training.labelled import LabelledPicture
from edge_fairmot.letterbox import LETTERBOX_BORDER, Letterbox
from edge_fairmot.types import BoolArray, Float32Array, Float64Array, Int64Array, UInt8Array

SCALES = (0.5, 1.5)
"""Of pictures, by the scale at which the network sees them in use."""

ASPECTS = (4 / 3, 16 / 9)
"""Of cameras, between which pictures lie that were squeezed into a square."""

SATURATION_AND_VALUE = 0.5
"""By how much each is changed at most, as in the original's training."""

LEAST_SIDE_PX = 4.0
"""One cell of the heatmap; smaller boxes are not counted."""

PARTNER_REACH_S = 2.0
"""Before and after a picture, where its partner is drawn: a lost track is kept for one second by default."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A picture as the network sees it in training.

    Attributes
    ----------
    image : uint8 (H, W, 3)
        BGR.
    xyxy : float32 (N, 4)
        Pixels of the piece. Whole boxes, whose centres are in the piece.
    identity : int64 (N,)
    counted : bool (N,)
    """

    image: UInt8Array
    xyxy: Float32Array
    identity: Int64Array
    counted: BoolArray


def draw_pieces(
    pictures: Sequence[LabelledPicture],
    input_size: tuple[int, int],
    side: int,
    count: int,
    seed: tuple[int, int],
    *,
    pairs: bool = False,
) -> list[Piece]:
    """Cut random pieces out of random pictures.

    Parameters
    ----------
    pictures : sequence of LabelledPicture
    input_size : (int, int)
        Width and height of the network's input, pixels: says at which scale pictures will be seen.
    side : int
        Of a piece, pixels.
    count : int
        Even for pairs.
    seed : (int, int)
        The same seed draws the same pieces, so the step's number in it is all that a resumed run must know.
    pairs : bool
        Whether the second half of the pieces shows the same places as the first, shortly before or after:
        some of the same people, at another scale, mirrored or not, in other light. A picture that shares
        nobody with those around it is its own partner.
    """
    generator = np.random.default_rng(seed)
    chosen = generator.integers(len(pictures), size=count // 2 if pairs else count)
    places = generator.random((len(chosen), 2))
    if pairs:
        partners = [_draw_partner(pictures, index, generator) for index in chosen]
        chosen, places = np.append(chosen, partners), np.concatenate((places, places))
    return [
        _cut(pictures[index], input_size, side, place, generator)
        for index, place in zip(chosen, places, strict=True)
    ]


def _draw_partner(pictures: Sequence[LabelledPicture], index: int, generator: np.random.Generator) -> int:
    ours = pictures[index]
    sharing = []
    for others in (range(index - 1, -1, -1), range(index + 1, len(pictures))):
        for n in others:
            # Pictures of a sequence are in order; in the one after it there is nobody of this one. Those of
            # no sequence, whose time is no number, are near to none.
            if not abs(pictures[n].time_s - ours.time_s) <= PARTNER_REACH_S:
                break
            if np.isin(ours.identity, pictures[n].identity).any():
                sharing.append(n)
    return int(generator.choice(sharing)) if sharing else index


def fit_piece(picture: LabelledPicture, input_size: tuple[int, int]) -> Piece:
    """Give a whole picture as it is seen in use: letterboxed."""
    image = picture.decode()
    height, width = image.shape[:2]
    if picture.stretched:
        width = round(height * sum(ASPECTS) / len(ASPECTS))
        image = np.asarray(cv2.resize(image, (width, height)), np.uint8)
    letterbox = Letterbox((width, height), input_size)
    xyxy = letterbox.to_input(picture.xyxy * np.array([width, height, width, height], np.float32))
    return _keep(letterbox.apply(image), xyxy, picture)


def _cut(
    picture: LabelledPicture,
    input_size: tuple[int, int],
    side: int,
    place: Float64Array,
    generator: np.random.Generator,
) -> Piece:
    image = picture.decode()
    height, width = image.shape[:2]
    aspect = generator.uniform(*ASPECTS)
    inner_w, inner_h = Letterbox(
        (round(height * aspect), height) if picture.stretched else (width, height), input_size
    ).inner_size
    factor = math.exp(generator.uniform(*np.log(SCALES)))
    new_w, new_h = max(1, round(inner_w * factor)), max(1, round(inner_h * factor))
    image = resize(image, (new_w, new_h))
    xyxy = picture.xyxy.astype(np.float32).copy()
    across, down = place
    if generator.random() < 0.5:
        image, across = image[:, ::-1], 1 - across
        xyxy[:, [0, 2]] = 1 - xyxy[:, [2, 0]]
    image = _change_light(image, generator)
    left, top = round(across * (side - new_w)), round(down * (side - new_h))
    piece = np.full((side, side, 3), LETTERBOX_BORDER, np.uint8)
    put(image, piece, left, top)
    xyxy = xyxy * np.array([new_w, new_h, new_w, new_h], np.float32) + np.array(
        [left, top, left, top], np.float32
    )
    return _keep(piece, xyxy, picture)


def _keep(image: UInt8Array, xyxy: Float32Array, picture: LabelledPicture) -> Piece:
    height, width = image.shape[:2]
    centre = (xyxy[:, :2] + xyxy[:, 2:]) / 2
    inside = ((centre >= 0) & (centre < (width, height))).all(axis=1)
    large = (xyxy[:, 2:] - xyxy[:, :2]).min(axis=1, initial=np.inf) >= LEAST_SIDE_PX
    return Piece(image, xyxy[inside], picture.identity[inside], (picture.counted & large)[inside])


def _change_light(image: UInt8Array, generator: np.random.Generator) -> UInt8Array:
    """Change saturation and value."""
    gains = 1 + SATURATION_AND_VALUE * generator.uniform(-1, 1, 2)
    hsv = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_BGR2HSV).astype(np.float32)
    hsv[..., 1:] = np.minimum(hsv[..., 1:] * gains.astype(np.float32), 255)
    return np.asarray(cv2.cvtColor(np.rint(hsv).astype(np.uint8), cv2.COLOR_HSV2BGR), np.uint8)
