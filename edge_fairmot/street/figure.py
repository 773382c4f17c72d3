"""A person as flat shapes, the farthest first."""

from __future__ import annotations

import math

import numpy as np

from edge_fairmot.street.look import Color, Look
from edge_fairmot.street.shape import Shape, capsule, ellipse, mixed, polygon, shaded
from edge_fairmot.street.skeleton import Limb, Point, Pose, Skeleton, pose_skeleton

FAR_SIDE = 0.78
"""Brightness of the leg and the arm on the far side."""


def draw_figure(look: Look, pose: Pose) -> list[Shape]:
    """Shapes of somebody in a pose, metres from the place between the feet, the farthest first."""
    body = pose_skeleton(look.height_m, look.build, pose)
    far, near = (0, 1) if body.across > 0 else (1, 0)
    sideways = abs(body.across) > 0.35
    facing_away = body.along > 0
    unit = look.height_m
    shapes: list[Shape] = []
    if sideways:
        shapes += _arm(look, body, far, FAR_SIDE)
    if look.bag == "backpack" and not facing_away:
        shapes += _backpack(look, body, unit)
    for side, light in ((far, FAR_SIDE), (near, 1.0)):
        shapes += _leg(look, body.legs[side], body, unit, light)
    shapes += _below_waist(look, body, unit)
    shapes += _torso(look, body, unit)
    shapes += _head(look, body, unit)
    if not sideways:
        shapes += _arm(look, body, far, 0.92)
    shapes += _arm(look, body, near, 1.0)
    if look.bag == "backpack" and facing_away:
        shapes += _backpack(look, body, unit)
    if look.bag == "shoulder":
        shapes += _shoulder_bag(look, body, unit)
    return shapes


def _leg(look: Look, leg: Limb, body: Skeleton, unit: float, light: float) -> list[Shape]:
    bare = look.lower in ("shorts", "skirt", "dress")
    cloth = shaded(look.skin if bare else look.bottom, light)
    thick = unit * look.build
    foot_x, foot_y = leg.end
    toe = (foot_x + 0.085 * unit * body.across, foot_y - 0.018 * unit + min(0.0, body.along) * 0.012 * unit)
    heel = (foot_x - 0.02 * unit * body.across, foot_y - 0.012 * unit)
    shapes = [
        capsule(heel, toe, 0.026 * unit, 0.02 * unit, shaded(look.shoes, light)),
        capsule(leg.middle, leg.end, 0.036 * thick, (0.021 if bare else 0.027) * thick, cloth),
        capsule(leg.root, leg.middle, 0.056 * thick, 0.037 * thick, cloth),
    ]
    if not bare:
        shapes.append(_highlight(leg.root, leg.middle, 0.02 * thick, cloth))
        shapes.append(_highlight(leg.middle, leg.end, 0.012 * thick, cloth))
    if look.lower == "shorts":
        hem = _between(leg.root, leg.middle, 0.85)
        shapes.append(capsule(leg.root, hem, 0.058 * thick, 0.052 * thick, shaded(look.bottom, light)))
    return shapes


def _highlight(start: Point, end: Point, radius: float, color: Color) -> Shape:
    """Light from the left along a limb."""
    shift = -radius * 0.9
    return capsule((start[0] + shift, start[1]), (end[0] + shift, end[1]), radius, radius * 0.8, shaded(color, 1.13))


def _below_waist(look: Look, body: Skeleton, unit: float) -> list[Shape]:
    """Skirt, dress or the lower part of a coat: from the hips to about the knees, as wide as the stride."""
    if look.lower not in ("skirt", "dress") and look.upper != "coat":
        return []
    color = look.top if look.upper == "coat" else look.bottom
    knees = [leg.middle for leg in body.legs]
    reach = 1.05 if look.upper == "coat" else 0.95
    hem_y = body.pelvis[1] + reach * (min(knee[1] for knee in knees) - body.pelvis[1])
    half = _half_width(body, 0.098, 0.075) * unit * look.build
    low = min(min(knee[0] for knee in knees) - 0.035 * unit, body.pelvis[0] - half * 0.95)
    high = max(max(knee[0] for knee in knees) + 0.035 * unit, body.pelvis[0] + half * 0.95)
    waist_y = body.pelvis[1] + 0.06 * unit
    left, right = body.pelvis[0] - half, body.pelvis[0] + half
    middle = (low + high) / 2
    shapes = [
        polygon(
            [(left, waist_y), (right, waist_y), (high, hem_y), (middle, hem_y - 0.012 * unit), (low, hem_y)], color
        ),
        polygon(
            [
                (left, waist_y),
                (left + 0.35 * (right - left), waist_y),
                (low + 0.3 * (high - low), hem_y),
                (low, hem_y),
            ],
            shaded(color, 1.1),
        ),
    ]
    if look.upper == "coat" and body.along < 0.2:
        front = body.pelvis[0] + 0.6 * half * body.across
        shapes.append(
            polygon(
                [(front - 0.004, waist_y), (front + 0.004, waist_y), (middle + 0.008, hem_y), (middle - 0.008, hem_y)],
                shaded(color, 0.7),
            )
        )
    return shapes


def _half_width(body: Skeleton, breadth: float, thickness: float) -> float:
    """Half width of an upright ellipse as it is seen."""
    return math.hypot(breadth * body.along, thickness * body.across)


def _torso_edges(look: Look, body: Skeleton, unit: float) -> tuple[np.ndarray, np.ndarray]:
    """Left and right edge, from the neck down to the hem."""
    hem = -0.045 if look.upper != "shirt" else -0.02
    levels = (
        (1.06, 0.034, 0.034),
        (1.04, 0.066, 0.046),
        (0.99, 0.105, 0.066),
        (0.9, 0.118, 0.078),
        (0.7, 0.113, 0.08),
        (0.4, 0.098, 0.07),
        (0.1, 0.104, 0.076),
        (hem / 0.295, 0.106, 0.078),
    )
    (pelvis_x, pelvis_y), (chest_x, chest_y) = body.pelvis, body.chest
    bulk = look.build * unit * (1.0 if look.upper == "shirt" else 1.07)
    middle = np.array([pelvis_x + level * (chest_x - pelvis_x) for level, _, _ in levels])
    up = np.array([pelvis_y + level * (chest_y - pelvis_y) for level, _, _ in levels])
    half = np.array([_half_width(body, breadth, thickness) for _, breadth, thickness in levels]) * bulk
    return np.stack([middle - half, up], axis=1), np.stack([middle + half, up], axis=1)


def _torso(look: Look, body: Skeleton, unit: float) -> list[Shape]:
    left, right = _torso_edges(look, body, unit)
    shapes = [capsule(body.chest, body.head, 0.034 * unit, 0.032 * unit, shaded(look.skin, 0.85))]
    shapes.append(Shape(np.concatenate([left, right[::-1]]), look.top))
    shapes += _pattern(look, body, left, right)
    if look.upper != "shirt" and body.along < 0.2:
        # The zip, and the shirt that shows at the neck.
        at = 0.5 + 0.42 * body.across
        zip_line = left + (right - left) * at
        shapes.append(_ribbon(zip_line, 0.0035 * unit, shaded(look.top, 0.6)))
    if look.scarf is not None:
        x, y = body.chest
        half = _half_width(body, 0.062, 0.055) * unit
        shapes.append(ellipse((x, y + 0.025 * unit), half, 0.026 * unit, look.scarf))
    return shapes


def _ribbon(line: np.ndarray, half: float, color: Color) -> Shape:
    offset = np.array([half, 0.0])
    return Shape(np.concatenate([line - offset, (line + offset)[::-1]]), color)


def _at(edge: np.ndarray, fraction: float) -> np.ndarray:
    """Point of an edge, by its share of the way down from the shoulder."""
    place = 1 + fraction * (len(edge) - 2)
    index = min(int(place), len(edge) - 2)
    return np.asarray(edge[index] + (place - index) * (edge[index + 1] - edge[index]))


def _pattern(look: Look, body: Skeleton, left: np.ndarray, right: np.ndarray) -> list[Shape]:
    color = look.pattern_color
    shapes = []
    if look.pattern in ("rings", "checks"):
        count = 5 if look.pattern == "rings" else 4
        for ring in range(count):
            top, bottom = (ring + 0.3) / count, (ring + (0.8 if look.pattern == "rings" else 0.5)) / count
            corners = [_at(left, top), _at(right, top), _at(right, bottom), _at(left, bottom)]
            shapes.append(Shape(np.array(corners), color if look.pattern == "rings" else mixed(look.top, color, 0.6)))
    if look.pattern in ("stripes", "checks"):
        for stripe in range(1, 6):
            # Stripes turn with the body as on a cylinder.
            angle = (stripe - 3) * 0.5
            at = 0.5 + 0.5 * math.sin(angle)
            half = 0.05 * math.cos(angle)
            edges = [left[1:] + (right - left)[1:] * share for share in (at - half, at + half)]
            shapes.append(Shape(np.concatenate([edges[0], edges[1][::-1]]), color if look.pattern == "stripes" else mixed(look.top, color, 0.6)))
    if look.pattern == "print" and body.along < -0.3:
        middle = (_at(left, 0.3) + _at(right, 0.3)) / 2
        x = float(middle[0] + 0.3 * body.across * (right[2, 0] - left[2, 0]))
        radius = 0.045 * look.height_m
        shapes.append(ellipse((x, float(middle[1])), radius * abs(body.along), radius, color))
    return shapes


def _arm(look: Look, body: Skeleton, side: int, light: float) -> list[Shape]:
    arm = body.arms[side]
    unit = look.height_m
    thick = unit * look.build * (1.0 if look.upper == "shirt" else 1.15)
    sleeve, skin = shaded(look.top, light), shaded(look.skin, light)
    edge = shaded(look.top, 0.74 * light)
    lower = skin if look.upper == "shirt" else sleeve
    hand = _beyond(arm.middle, arm.end, 0.03 * unit)
    shapes = [capsule(arm.end, hand, 0.019 * unit, 0.017 * unit, skin)]
    if look.upper != "shirt":
        shapes.append(capsule(arm.root, arm.middle, 0.034 * thick, 0.031 * thick, edge))
        shapes.append(capsule(arm.middle, arm.end, 0.031 * thick, 0.026 * thick, edge))
    shapes.append(capsule(arm.middle, arm.end, 0.026 * thick, 0.02 * thick, lower))
    sleeve_end = _between(arm.root, arm.middle, 0.75) if look.upper == "shirt" else arm.middle
    if look.upper == "shirt":
        shapes.append(capsule(arm.root, arm.middle, 0.026 * thick, 0.024 * thick, skin))
        shapes.append(capsule(arm.root, sleeve_end, 0.036 * thick, 0.035 * thick, edge))
    shapes.append(capsule(arm.root, sleeve_end, 0.03 * thick, 0.027 * thick, sleeve))
    shapes.append(_highlight(arm.root, sleeve_end, 0.012 * thick, sleeve))
    if look.bag == "shopping" and side == 1:
        shapes += _shopping_bag(look, hand, light)
    return shapes


def _shopping_bag(look: Look, hand: Point, light: float) -> list[Shape]:
    x, y = hand
    top, bottom, half = y - 0.07, y - 0.36, 0.13
    body = [(x - half, top), (x + half, top), (x + half * 0.9, bottom), (x - half * 0.9, bottom)]
    return [
        polygon([(x - 0.05, top), (x - 0.01, y), (x + 0.01, y), (x + 0.05, top)], shaded(look.bag_color, 0.6 * light)),
        polygon(body, shaded(look.bag_color, 1.15 * light)),
        polygon([(x - half * 0.6, top - 0.1), (x + half * 0.6, top - 0.1), (x + half * 0.6, top - 0.17), (x - half * 0.6, top - 0.17)], shaded(look.pattern_color, light)),
    ]  # fmt: skip


def _backpack(look: Look, body: Skeleton, unit: float) -> list[Shape]:
    chest_x, chest_y = body.chest
    x = chest_x - 0.09 * unit * body.across
    half = _half_width(body, 0.085, 0.055) * unit
    top, bottom = chest_y + 0.01 * unit, chest_y - 0.25 * unit
    color = look.bag_color
    shapes = [
        capsule((x, top - half * 0.7), (x, bottom + half * 0.7), half, half, color),
        capsule((x - half * 0.3, top - half * 0.7), (x - half * 0.3, bottom + half), half * 0.6, half * 0.5, shaded(color, 1.12)),
    ]  # fmt: skip
    if body.along > 0.2:
        pocket = [(x - half * 0.7, bottom + 0.11 * unit), (x + half * 0.7, bottom + 0.11 * unit), (x + half * 0.6, bottom + 0.02 * unit), (x - half * 0.6, bottom + 0.02 * unit)]  # fmt: skip
        shapes.append(polygon(pocket, shaded(color, 0.75)))
    return shapes


def _shoulder_bag(look: Look, body: Skeleton, unit: float) -> list[Shape]:
    """On the left hip, its strap over the right shoulder."""
    hip_x = body.pelvis[0] - 0.125 * unit * look.build * body.along
    hip_y = body.pelvis[1] + 0.01 * unit
    over = (body.chest[0] + 0.06 * unit * body.along, body.chest[1] + 0.02 * unit)
    strap = capsule(over, (hip_x, hip_y + 0.04 * unit), 0.007 * unit, 0.007 * unit, shaded(look.bag_color, 0.7))
    if body.across > 0.2:  # the left side is the far one
        return [strap]
    half = _half_width(body, 0.035, 0.085) * unit
    bag = [(hip_x - half, hip_y + 0.04 * unit), (hip_x + half, hip_y + 0.04 * unit), (hip_x + half, hip_y - 0.09 * unit), (hip_x - half, hip_y - 0.09 * unit)]  # fmt: skip
    flap = [(hip_x - half, hip_y + 0.045 * unit), (hip_x + half, hip_y + 0.045 * unit), (hip_x + half * 0.8, hip_y - 0.02 * unit), (hip_x - half * 0.8, hip_y - 0.02 * unit)]  # fmt: skip
    return [strap, polygon(bag, look.bag_color), polygon(flap, shaded(look.bag_color, 0.82))]


def _head(look: Look, body: Skeleton, unit: float) -> list[Shape]:
    x, y = body.head
    # A child's head is larger beside its body.
    size = 0.067 * unit * (1.0 + 0.35 * max(0.0, 1.5 - look.height_m))
    wide, high = size * (0.8 + 0.12 * abs(body.across)), size * 1.06
    hair = look.skin if look.hair_style == "bald" else look.hair
    shapes = []
    if look.hair_style == "long":
        back = -0.35 * size * body.across
        shapes.append(capsule((x + back, y), (x + back, y - 1.35 * size), wide * 0.95, wide * 0.75, shaded(hair, 0.9)))
    if look.hair_style == "bun":
        shapes.append(ellipse((x - 0.8 * size * body.across, y + 0.65 * size), 0.42 * size, 0.42 * size, shaded(hair, 0.9)))
    shapes.append(ellipse((x, y), wide, high, hair))
    if body.along < 0.4:
        turned = body.across * (0.28 + 0.3 * max(0.0, body.along + 0.4))
        narrow = 0.86 - 0.25 * abs(body.across) - 0.4 * max(0.0, body.along)
        face = (x + turned * wide, y - 0.17 * high)
        shapes.append(ellipse(face, wide * narrow, high * 0.8, look.skin))
        shapes += _eyes(face, wide, high, body, look)
    elif look.hair_style in ("short", "bald", "cap", "beanie"):
        shapes.append(ellipse((x, y - 0.75 * high), wide * 0.62, high * 0.34, shaded(look.skin, 0.88)))
        if look.hair_style == "bald":
            shapes[-1] = shapes[-2]
    if look.hair_style == "long" and body.along > 0.2:
        shapes.append(capsule((x, y), (x, y - 1.3 * size), wide, wide * 0.8, hair))
        shapes.append(_highlight((x, y + 0.2 * size), (x, y - 1.0 * size), wide * 0.3, hair))
    if look.hair_style in ("cap", "beanie"):
        shapes += _hat(look, body, (x, y), wide, high)
    return shapes


def _eyes(face: Point, wide: float, high: float, body: Skeleton, look: Look) -> list[Shape]:
    dark = shaded(look.skin, 0.38)
    shapes = []
    for side in (-1.0, 1.0):
        # On the front of a cylinder: what is turned out of sight is not drawn.
        angle = math.atan2(-body.along, body.across) + side * 0.5
        if math.sin(angle) > -0.05:
            x = face[0] + 0.55 * wide * math.cos(angle)
            shapes.append(ellipse((x, face[1] + 0.16 * high), 0.085 * wide + 0.002, 0.1 * high, dark))
    mouth_x = face[0] + 0.3 * wide * body.across
    shapes.append(ellipse((mouth_x, face[1] - 0.42 * high), 0.2 * wide, 0.045 * high, shaded(look.skin, 0.62)))
    return shapes


def _hat(look: Look, body: Skeleton, head: Point, wide: float, high: float) -> list[Shape]:
    x, y = head
    angles = np.linspace(0, math.pi, 13)
    dome = np.stack([x + 1.08 * wide * np.cos(angles), y + 0.22 * high + 0.92 * high * np.sin(angles)], axis=1)
    shapes = [Shape(dome, look.hat)]
    if look.hair_style == "beanie":
        band = [(x - 1.1 * wide, y + 0.45 * high), (x + 1.1 * wide, y + 0.45 * high), (x + 1.1 * wide, y + 0.15 * high), (x - 1.1 * wide, y + 0.15 * high)]  # fmt: skip
        shapes.append(polygon(band, shaded(look.hat, 0.82)))
    elif body.along < 0.5:
        peak = (x + body.across * 1.5 * wide, y + 0.2 * high)
        shapes.append(capsule((x + body.across * 0.3 * wide, y + 0.28 * high), peak, 0.13 * high, 0.09 * high, shaded(look.hat, 0.75)))
    return shapes


def _between(start: Point, end: Point, share: float) -> Point:
    return start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])


def _beyond(start: Point, end: Point, by: float) -> Point:
    length = math.hypot(end[0] - start[0], end[1] - start[1])
    return _between(start, end, 1 + by / max(length, 1e-6))
