"""Head, face, hair and hat."""

from __future__ import annotations

import math

import numpy as np

from edge_fairmot.benchmarks.street.look import Look
from edge_fairmot.benchmarks.street.shape import Capsule, Polygon, Shape, ellipse, rectangle, shaded
from edge_fairmot.benchmarks.street.skeleton import Skeleton

PROFILE_SHOWN = 0.4
"""A face is seen until the heading's sine is above this."""


def draw_head(look: Look, body: Skeleton) -> list[Shape]:
    """Draw it; a child's is larger beside its body."""
    x, y = body.head
    size = 0.067 * look.height_m * (1.0 + 0.35 * max(0.0, 1.5 - look.height_m))
    half_width, half_height = size * (0.8 + 0.12 * abs(body.across)), size * 1.06
    hair = look.skin if look.hair_style == "bald" else look.hair
    shapes: list[Shape] = []
    if look.hair_style == "long":
        back = x - 0.35 * size * body.across
        shapes.append(
            Capsule(
                (back, y), (back, y - 1.35 * size), 0.95 * half_width, 0.75 * half_width, shaded(hair, 0.9)
            )
        )
    if look.hair_style == "bun":
        bun = x - 0.8 * size * body.across, y + 0.65 * size
        shapes.append(ellipse(bun, 0.42 * size, 0.42 * size, shaded(hair, 0.9)))
    shapes.append(ellipse((x, y), half_width, half_height, hair))
    if body.along < PROFILE_SHOWN:
        shapes += _draw_face(look, body, half_width, half_height)
    elif look.hair_style in ("short", "cap", "beanie"):
        nape = x, y - 0.75 * half_height
        shapes.append(ellipse(nape, 0.62 * half_width, 0.34 * half_height, shaded(look.skin, 0.88)))
    elif look.hair_style == "long":
        fall = Capsule((x, y), (x, y - 1.3 * size), half_width, 0.8 * half_width, hair)
        lit_x = x - 0.3 * half_width
        shine = Capsule(
            (lit_x, y + 0.2 * size),
            (lit_x, y - size),
            0.3 * half_width,
            0.24 * half_width,
            shaded(hair, 1.13),
        )
        shapes += [fall, shine]
    if look.hair_style in ("cap", "beanie"):
        shapes += _draw_hat(look, body, half_width, half_height)
    return shapes


def _draw_face(look: Look, body: Skeleton, half_width: float, half_height: float) -> list[Shape]:
    x, y = body.head
    turned_away = max(0.0, body.along)
    x += body.across * (0.28 + 0.3 * max(0.0, body.along + PROFILE_SHOWN)) * half_width
    y -= 0.17 * half_height
    narrowed = 0.86 - 0.25 * abs(body.across) - 0.4 * turned_away
    shapes: list[Shape] = [ellipse((x, y), narrowed * half_width, 0.8 * half_height, look.skin)]
    for side in (-0.5, 0.5):
        # On the front of a cylinder: an eye that is turned out of sight is not drawn.
        angle = math.atan2(-body.along, body.across) + side
        if math.sin(angle) > -0.05:
            eye = x + 0.55 * half_width * math.cos(angle), y + 0.16 * half_height
            shapes.append(ellipse(eye, 0.1 * half_width, 0.1 * half_height, shaded(look.skin, 0.38)))
    mouth = x + 0.3 * half_width * body.across, y - 0.42 * half_height
    shapes.append(ellipse(mouth, 0.2 * half_width, 0.045 * half_height, shaded(look.skin, 0.62)))
    return shapes


def _draw_hat(look: Look, body: Skeleton, half_width: float, half_height: float) -> list[Shape]:
    x, y = body.head
    turn = np.linspace(0, math.pi, 13)
    dome = np.stack([1.08 * half_width * np.cos(turn), (0.22 + 0.92 * np.sin(turn)) * half_height], axis=1)
    shapes: list[Shape] = [Polygon(dome + body.head, look.hat)]
    if look.hair_style == "beanie":
        left, right = x - 1.1 * half_width, x + 1.1 * half_width
        band = rectangle(left, y + 0.15 * half_height, right, y + 0.45 * half_height, shaded(look.hat, 0.82))
        shapes.append(band)
    elif body.along < 0.5:
        brow = x + 0.3 * half_width * body.across, y + 0.28 * half_height
        peak = x + 1.5 * half_width * body.across, y + 0.2 * half_height
        shapes.append(Capsule(brow, peak, 0.13 * half_height, 0.09 * half_height, shaded(look.hat, 0.75)))
    return shapes
