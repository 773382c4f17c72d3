"""Everything that does not move, drawn once: sky, houses, ground, furniture and its shadows."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import cv2
import numpy as np

from edge_fairmot.street.camera import HEIGHT_M, Camera
from edge_fairmot.street.facade import NAMES, ROOF, House, invent_house
from edge_fairmot.street.furniture import LEAVES, draw_furniture
from edge_fairmot.street.ground import pave
from edge_fairmot.street.look import Color
from edge_fairmot.street.plan import BLOCKS, END_M, FURNITURE, WALL_M, Block
from edge_fairmot.street.shadow import ShadowMap, darken
from edge_fairmot.street.shape import SUBPIXEL_BITS, Shape, Sprite, rasterise, shaded
from edge_fairmot.types import Float64Array, UInt8Array

FINENESS = 2
"""The houses and the ground are drawn so much larger, and reduced."""

FONT = cv2.FONT_HERSHEY_DUPLEX


@dataclass(frozen=True, slots=True)
class Cover:
    """What hides those who are farther away.

    Attributes
    ----------
    depth : float
        Metres.
    left, top : int
        Of the piece of the canvas that it is about, pixels.
    alpha : uint8 (H, W)
        How much of each pixel is covered.
    """

    depth: float
    left: int
    top: int
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


def draw_backdrop(camera: Camera, seed: int) -> Backdrop:
    """Draw the street of a seed."""
    random = Random(f"street {seed}, houses")
    width, height = camera.canvas_size
    fine = np.empty((height * FINENESS, width * FINENESS, 3), np.uint8)
    _draw_sky(fine, camera, random)
    pave(fine, camera, FINENESS, random)
    names = random.sample(NAMES, len(NAMES))
    _draw_end(fine, camera, random, names)
    covers = [_draw_block(fine, camera, random, block, names) for block in sorted(BLOCKS, key=lambda block: -block.far)]
    image = np.asarray(cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    image = _grained(image, random)
    ground = np.full((height, width), 255, np.uint8)
    ground[: round(camera.project(0, END_M)[1])] = 0
    for cover in covers:
        _hide(ground, cover)
    pieces = [(spot, rasterise(draw_furniture(spot.kind, random), camera.scale(spot.z))) for spot in FURNITURE]
    shadows = ShadowMap(camera, ground)
    for spot, sprite in pieces:
        shadows.cast(sprite, spot.x, spot.z)
    darken(image, shadows.finish())
    for spot, sprite in sorted(pieces, key=lambda piece: -piece[0].z):
        cover = _stand(image, camera, sprite, spot.x, spot.z)
        if cover is not None:
            covers.append(cover)
            _hide(ground, cover)
    return Backdrop(image, tuple(sorted(covers, key=lambda cover: cover.depth)), ground)


def _draw_sky(fine: UInt8Array, camera: Camera, random: Random) -> None:
    height, width = fine.shape[:2]
    horizon = max(1, round(camera.horizon * FINENESS))
    share = np.linspace(0, 1, horizon)[:, None, None]
    fine[:horizon] = (1 - share) * np.array((232, 196, 148)) + share * np.array((240, 232, 214))
    fine[horizon:] = 150
    clouds = np.zeros((horizon, width), np.float32)
    for _ in range(7):
        x, y = random.uniform(0, width), random.uniform(0, 0.7 * horizon)
        for _ in range(9):
            at = (round(x + random.gauss(0, 0.05) * width), round(y + random.gauss(0, 0.05) * horizon))
            cv2.ellipse(clouds, at, (round(0.035 * width), round(0.06 * horizon)), 0, 0, 360, 0.5, cv2.FILLED)
    clouds = cv2.GaussianBlur(clouds, (0, 0), 0.006 * width)[:, :, None]
    fine[:horizon] = fine[:horizon] * (1 - clouds) + clouds * np.array((250, 250, 250), np.float32)


def _draw_end(fine: UInt8Array, camera: Camera, random: Random, names: list[str]) -> None:
    """Draw the row of houses that closes the street, trees and a tower behind it."""
    scale = camera.scale(END_M)
    foot = camera.project(0, END_M)[1]
    half = camera.half_width(END_M)
    _draw_tower(fine, camera)
    for _ in range(60):
        x, high = random.uniform(-half, half), random.uniform(5.0, 8.2)
        place = camera.project(x, END_M, high)
        radius = random.uniform(0.5, 1.3) * scale * FINENESS
        color = shaded(random.choice(LEAVES), random.uniform(0.8, 1.2))
        # Haze takes the colour out of what is far.
        faded = tuple(round(0.65 * value + 0.35 * 225) for value in color)
        cv2.circle(fine, (round(place[0] * FINENESS), round(place[1] * FINENESS)), round(radius), faded, cv2.FILLED, cv2.LINE_AA)
    x = -half - random.uniform(1, 4)
    while x < half:
        house = invent_house(random, names[int(abs(x)) % len(names)], floors=random.choice((0, 1, 1)), width=random.uniform(4.6, 6.5))
        picture = _front(house, scale * FINENESS, haze=0.16)
        left = round(camera.project(x, END_M)[0] * FINENESS)
        _paste(fine, picture, left, round(foot * FINENESS) - len(picture))
        _draw_roof(fine, camera, x, house)
        x += house.width


def _draw_roof(fine: UInt8Array, camera: Camera, x: float, house: House) -> None:
    eaves, ridge = house.height, house.height + 1.5
    corners = [(x - 0.15, eaves), (x + house.width + 0.15, eaves), (x + house.width - 0.7, ridge), (x + 0.7, ridge)]
    points = np.array([camera.project(at, END_M, high) for at, high in corners])
    cv2.fillPoly(fine, [_fixed(points)], tuple(round(0.8 * value + 0.2 * 220) for value in ROOF), cv2.LINE_AA, SUBPIXEL_BITS)


def _draw_tower(fine: UInt8Array, camera: Camera) -> None:
    far = 90.0
    for outline, color in (
        ([(-9, 0), (-3, 0), (-3, 15), (-9, 15)], (196, 198, 200)),
        ([(-5, 0), (-3, 0), (-3, 15), (-5, 15)], (184, 186, 190)),
        ([(-9.5, 15), (-2.5, 15), (-6, 22)], (176, 172, 160)),
        ([(-6.6, 11), (-5.4, 11), (-5.4, 13.4), (-6.6, 13.4)], (150, 150, 152)),
    ):
        points = np.array([camera.project(x, far, high) for x, high in outline])
        cv2.fillPoly(fine, [_fixed(points)], color, cv2.LINE_AA, SUBPIXEL_BITS)


def _front(house: House, scale: float, haze: float = 0.0) -> UInt8Array:
    """Draw a house as seen from before it, ``scale`` pixels to a metre."""
    width, height = max(1, round(house.width * scale)), max(1, round(house.height * scale))
    picture = np.empty((height, width, 3), np.uint8)
    for shape in house.shapes:
        points = shape.outline * (scale, -scale) + (0, height)
        cv2.fillPoly(picture, [np.rint(points * (1 << SUBPIXEL_BITS)).astype(np.int32)], shape.color, cv2.LINE_AA, SUBPIXEL_BITS)
    size = cv2.getFontScaleFromHeight(FONT, max(1, round(0.3 * scale)), 1)
    thick = max(1, round(0.035 * scale))
    (text_w, _), _ = cv2.getTextSize(house.name, FONT, size, thick)
    at = (round((width - text_w) / 2), height - round(2.85 * scale))
    cv2.putText(picture, house.name, at, FONT, size, house.name_color, thick, cv2.LINE_AA)
    if haze:
        picture = np.asarray(cv2.addWeighted(picture, 1 - haze, np.full_like(picture, 222), haze, 0), np.uint8)
    return picture


def _draw_block(fine: UInt8Array, camera: Camera, random: Random, block: Block, names: list[str]) -> Cover:
    """Draw the fronts along one side, and the end wall that faces the camera."""
    x = block.side * WALL_M
    scale = min(1.2 * camera.scale(max(block.near, 8.0)) * FINENESS, 160.0)
    shade = 0.94 if block.side < 0 else 1.04
    if block.near > 5:
        _draw_end_wall(fine, camera, block, random)
    z = block.near
    outline = [camera.project(x, block.far), camera.project(x, block.far, 30.0)]
    while z < block.far - 0.1:
        width = random.uniform(5.0, 6.6)
        if block.far - z - width < 4.0:
            width = block.far - z
        name = names.pop()
        names.insert(0, name)
        house = invent_house(random, name, floors=random.choice((2, 3)), width=width)
        picture = _front(house, scale)
        picture = np.asarray(cv2.convertScaleAbs(picture, alpha=shade), np.uint8)
        near_z, far_z = z, z + width
        # Seen from the street, the left side's fronts run away from the camera to the right.
        order = (near_z, far_z) if block.side < 0 else (far_z, near_z)
        corners = [
            camera.project(x, order[0], house.height), camera.project(x, order[1], house.height),
            camera.project(x, order[1]), camera.project(x, order[0]),
        ]  # fmt: skip
        _warp(fine, picture, np.array(corners) * FINENESS)
        z += width
    edge = -1.0 if block.side < 0 else camera.canvas_size[0] + 1.0
    outline += [(edge, -1.0), (edge, camera.canvas_size[1] + 1.0), camera.project(x, block.near)]
    return _cover_of(np.array(outline), camera, block.far)


def _draw_end_wall(fine: UInt8Array, camera: Camera, block: Block, random: Random) -> None:
    house = invent_house(random, "", floors=3, width=4.0)
    color = shaded(house.shapes[0].color, 0.8)
    x = block.side * WALL_M
    points = np.array(
        [camera.project(place, block.near, high) for place, high in ((x, 0), (x, 30), (x * 3, 30), (x * 3, 0))]
    )
    cv2.fillPoly(fine, [_fixed(points)], color, cv2.LINE_AA, SUBPIXEL_BITS)


def _warp(fine: UInt8Array, picture: UInt8Array, corners: Float64Array) -> None:
    height, width = picture.shape[:2]
    source = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    matrix = cv2.getPerspectiveTransform(source, corners.astype(np.float32))
    size = fine.shape[1::-1]
    warped = cv2.warpPerspective(picture, matrix, size, flags=cv2.INTER_AREA)
    mask = np.zeros(fine.shape[:2], np.uint8)
    points = np.clip(np.rint(corners * (1 << SUBPIXEL_BITS)), -(2**24), 2**24).astype(np.int32)
    cv2.fillConvexPoly(mask, points, 255, cv2.LINE_8, SUBPIXEL_BITS)
    cv2.copyTo(warped, mask, fine)


def _cover_of(outline: Float64Array, camera: Camera, depth: float) -> Cover:
    width, height = camera.canvas_size
    mask = np.zeros((height, width), np.uint8)
    points = np.clip(np.rint(outline * (1 << SUBPIXEL_BITS)), -(2**24), 2**24).astype(np.int32)
    cv2.fillPoly(mask, [points], 255, cv2.LINE_AA, SUBPIXEL_BITS)
    return _cropped(mask, depth)


def _cropped(mask: UInt8Array, depth: float) -> Cover:
    left, top, width, height = cv2.boundingRect(mask)
    return Cover(depth, left, top, mask[top : top + height, left : left + width].copy())


def _stand(image: UInt8Array, camera: Camera, sprite: Sprite, x: float, z: float) -> Cover | None:
    """Draw a piece of furniture where it stands."""
    column, row = camera.project(x, z)
    left, top = round(column - sprite.anchor[0]), round(row - sprite.anchor[1])
    height, width = sprite.image.shape[:2]
    first_row, last_row = max(top, 0), min(top + height, image.shape[0])
    first_column, last_column = max(left, 0), min(left + width, image.shape[1])
    if first_row >= last_row or first_column >= last_column:
        return None
    piece = sprite.image[first_row - top : last_row - top, first_column - left : last_column - left]
    place = image[first_row:last_row, first_column:last_column]
    alpha = piece[:, :, 3]
    place[:] = place * (1 - alpha[:, :, None] / 255.0) + piece[:, :, :3]
    return Cover(z, first_column, first_row, alpha.copy())


def _hide(ground: UInt8Array, cover: Cover) -> None:
    height, width = cover.alpha.shape
    place = ground[cover.top : cover.top + height, cover.left : cover.left + width]
    np.minimum(place, 255 - cover.alpha, out=place)


def _paste(fine: UInt8Array, picture: UInt8Array, left: int, top: int) -> None:
    height, width = picture.shape[:2]
    first_row, first_column = max(top, 0), max(left, 0)
    place = fine[first_row : top + height, first_column : max(left + width, 0)]
    place[:] = picture[first_row - top :, first_column - left :][: place.shape[0], : place.shape[1]]


def _grained(image: UInt8Array, random: Random) -> UInt8Array:
    """Give flat colours a grain, coarse and fine."""
    generator = np.random.default_rng(random.getrandbits(32))
    height, width = image.shape[:2]
    grain = generator.normal(0, 2.2, (height, width)).astype(np.float32)
    for cell, strength in ((4, 2.0), (24, 3.0)):
        coarse = generator.normal(0, strength, (height // cell + 2, width // cell + 2)).astype(np.float32)
        grain += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    sky = np.clip(grain[:, :, None], -8, 8)
    return np.clip(image + sky, 0, 255).astype(np.uint8)


def _fixed(points: Float64Array) -> np.ndarray:
    return np.clip(np.rint(points * FINENESS * (1 << SUBPIXEL_BITS)), -(2**24), 2**24).astype(np.int32)
