"""Everything that does not move, drawn once, and what of it hides people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import cv2
import numpy as np

from edge_fairmot.benchmarks.street.camera import Camera
from edge_fairmot.benchmarks.street.furniture import draw_furniture
from edge_fairmot.benchmarks.street.ground import pave
from edge_fairmot.benchmarks.street.houses import HousePainter, fixed_point
from edge_fairmot.benchmarks.street.plan import BLOCKS, END_M, WALL_M, Block, Spot
from edge_fairmot.benchmarks.street.shadow import ShadowMap, darken
from edge_fairmot.benchmarks.street.shape import SUBPIXEL_BITS, Sprite, rasterise
from edge_fairmot.types import UInt8Array

FINENESS = 2
"""Houses and ground are drawn so much larger, and reduced."""


@dataclass(frozen=True, slots=True)
class Cover:
    """What hides those who are farther away.

    Attributes
    ----------
    depth : float
        Metres.
    left, top, right, bottom : int
        Of the piece of the canvas that it is about, pixels; the last column and row are not in it.
    alpha : uint8 (H, W)
        How much of each pixel is covered.
    """

    depth: float
    left: int
    top: int
    right: int
    bottom: int
    alpha: UInt8Array


@dataclass(frozen=True, slots=True)
class Backdrop:
    """The empty street.

    Attributes
    ----------
    image : uint8 (H, W, 3)
        BGR, of the canvas's size.
    covers : tuple of Cover
        The nearest first.
    ground : uint8 (H, W)
        255 where shadows can fall.
    """

    image: UInt8Array
    covers: tuple[Cover, ...]
    ground: UInt8Array


def draw_backdrop(camera: Camera, seed: int, furniture: Sequence[Spot]) -> Backdrop:
    """Draw the street of a seed."""
    random = Random(f"street {seed}, houses")
    image = _draw_town(camera, random)
    covers = [_cover_of_block(block, camera) for block in BLOCKS]
    ground = np.full(image.shape[:2], 255, np.uint8)
    ground[: max(0, round(camera.project(0, END_M)[1]))] = 0
    _keep_off(ground, covers)
    pieces = [
        (spot, rasterise(draw_furniture(spot.kind, random), camera.scale(spot.z))) for spot in furniture
    ]
    shadows = ShadowMap(camera, ground)
    for spot, sprite in pieces:
        shadows.cast(sprite, spot.x, spot.z)
    darken(image, shadows.finish())
    standing = _put_up(image, camera, pieces)
    _keep_off(ground, standing)
    return Backdrop(image, tuple(sorted(covers + standing, key=lambda cover: cover.depth)), ground)


def _draw_town(camera: Camera, random: Random) -> UInt8Array:
    width, height = camera.canvas_size
    fine = np.empty((height * FINENESS, width * FINENESS, 3), np.uint8)
    _draw_sky(fine, max(1, round(camera.horizon * FINENESS)), random)
    pave(fine, camera, FINENESS, random)
    HousePainter(fine, camera, FINENESS, random).draw()
    image = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)
    return _grained(np.asarray(image, np.uint8), random.getrandbits(32))


def _draw_sky(fine: UInt8Array, horizon: int, random: Random) -> None:
    width = fine.shape[1]
    down = np.linspace(0, 1, horizon)[:, None, None]
    sky = (1 - down) * (232, 196, 148) + down * (240, 232, 214)
    clouds = np.zeros((horizon, width), np.float32)
    for _ in range(7):
        x, y = random.uniform(0, width), random.uniform(0, 0.7 * horizon)
        for _ in range(9):
            at = round(x + random.gauss(0, 0.05) * width), round(y + random.gauss(0, 0.05) * horizon)
            size = round(0.035 * width), round(0.06 * horizon)
            cv2.ellipse(clouds, at, size, 0, 0, 360, 0.5, cv2.FILLED)
    white = cv2.GaussianBlur(clouds, (0, 0), 0.006 * width)[:, :, None]
    fine[:horizon] = sky * (1 - white) + 250 * white
    fine[horizon:] = 150


def _grained(image: UInt8Array, seed: int) -> UInt8Array:
    """Give flat colours a grain, fine and coarse."""
    generator = np.random.default_rng(seed)
    height, width = image.shape[:2]
    grain = generator.normal(0, 2.2, (height, width)).astype(np.float32)
    for cell, strength in ((4, 2.0), (24, 3.0)):
        coarse = generator.normal(0, strength, (height // cell + 2, width // cell + 2)).astype(np.float32)
        grain += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    grained: UInt8Array = np.clip(image + np.clip(grain, -8, 8)[:, :, None], 0, 255).astype(np.uint8)
    return grained


def _cover_of_block(block: Block, camera: Camera) -> Cover:
    """Everything on the outer side of a block's far corner, for those beyond it."""
    width, height = camera.canvas_size
    x = block.side * WALL_M
    edge = -1.0 if block.side < 0 else width + 1.0
    outline = [camera.project(x, block.far), camera.project(x, block.far, 100.0)]
    outline += [(edge, -1.0), (edge, height + 1.0), camera.project(x, block.near)]
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [fixed_point(np.array(outline))], 255, cv2.LINE_AA, SUBPIXEL_BITS)
    left, top, wide, high = cv2.boundingRect(mask)
    alpha = mask[top : top + high, left : left + wide].copy()
    return Cover(block.far, left, top, left + wide, top + high, alpha)


def _put_up(image: UInt8Array, camera: Camera, pieces: Sequence[tuple[Spot, Sprite]]) -> list[Cover]:
    """Draw furniture where it stands, the farthest first."""
    covers = []
    for spot, sprite in sorted(pieces, key=lambda piece: -piece[0].z):
        column, row = camera.project(spot.x, spot.z)
        left, top = round(column - sprite.anchor[0]), round(row - sprite.anchor[1])
        first_row, first_column = max(top, 0), max(left, 0)
        piece = sprite.image[first_row - top :, first_column - left :]
        place = image[first_row:, first_column:][: len(piece), : piece.shape[1]]
        if not place.size or not piece.size:
            continue
        high, wide = place.shape[:2]
        piece = piece[:high, :wide]
        alpha = piece[:, :, 3]
        place[:] = np.rint(place * (1 - alpha[:, :, None] / 255.0)) + piece[:, :, :3]
        covers.append(
            Cover(spot.z, first_column, first_row, first_column + wide, first_row + high, alpha.copy())
        )
    return covers


def _keep_off(ground: UInt8Array, covers: Sequence[Cover]) -> None:
    for cover in covers:
        place = ground[cover.top : cover.bottom, cover.left : cover.right]
        np.minimum(place, 255 - cover.alpha, out=place)
