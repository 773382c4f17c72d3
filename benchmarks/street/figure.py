"""A walking person as flat shapes: joints of a pose, then legs, clothes, head, arms and bags."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from edge_fairmot.benchmarks.street.look import Look
from edge_fairmot.benchmarks.street.shapes import (
    Capsule,
    Color,
    Point,
    Polygon,
    Shape,
    ellipse,
    mixed,
    polygon,
    rectangle,
    shaded,
    trapezoid,
)
from edge_fairmot.types import Float64Array

# Shares of the body's height; half widths are from the middle to the joint.
THIGH, SHIN, ANKLE = 0.245, 0.235, 0.04
UPPER_ARM, FOREARM = 0.165, 0.15
HIP, SHOULDER, HEAD = 0.52, 0.808, 0.925
HIP_HALF, SHOULDER_HALF = 0.05, 0.108

# Radians to each side of upright in a full stride. The thigh's swing moves the foot as far as the body moves
# in half a cycle, so that feet do not slide.
THIGH_SWING, ARM_SWING = 0.43, 0.42

STRIDE = 0.8  # ground covered in a cycle of two steps, body heights: four times the reach of a thigh's swing
TILT = 0.1  # metres up in the image for a metre of depth within a body: the camera looks down a little

FAR_SIDE = 0.78  # brightness of the leg and the arm on the far side
SIDEWAYS = 0.35  # share of the body's length in view above which one arm is behind the body and one before it
PROFILE_SHOWN = 0.4  # a face is in view until the sine of the heading is above this
RIGHT = 1

# The torso from the neck down: level from 0, pelvis, to 1, chest; half breadth and half thickness in heights.
TORSO = (
    (1.06, 0.034, 0.034), (1.04, 0.066, 0.046), (0.99, 0.105, 0.066), (0.9, 0.118, 0.078), (0.7, 0.113, 0.08),
    (0.4, 0.098, 0.07), (0.1, 0.104, 0.076),
)  # fmt: skip

STRIPES = 5


@dataclass(frozen=True, slots=True)
class Pose:
    """Heading and phase of the walking cycle, radians; stride from 0, standing, to 1, walking.

    A heading of 0 is to the right of the image, pi / 2 away from the camera.
    """

    heading: float
    phase: float
    stride: float


@dataclass(frozen=True, slots=True)
class Limb:
    """Three joints of an arm or a leg."""

    root: Point
    middle: Point
    end: Point


@dataclass(frozen=True, slots=True)
class Skeleton:
    """Joints of one pose as the camera sees them, metres; legs and arms are left, then right.

    ``across`` and ``along``, cosine and sine of the heading, are the shares of length and breadth in view.
    """

    across: float
    along: float
    pelvis: Point
    chest: Point
    head: Point
    legs: tuple[Limb, Limb]
    arms: tuple[Limb, Limb]

    def half_width(self, breadth: float, thickness: float) -> float:
        """Half width in view of an upright elliptic cylinder, from its half axes."""
        return math.hypot(breadth * self.along, thickness * self.across)


def pose_skeleton(height_m: float, build: float, pose: Pose) -> Skeleton:
    """Joints of a body of some height and build in a pose."""
    across, along = math.cos(pose.heading), math.sin(pose.heading)

    def seen(forward: float, left: float, up: float) -> Point:
        depth = forward * along + left * across
        return height_m * (forward * across - left * along), height_m * (up + TILT * depth)

    def limb(forward: float, left: float, up: float, parts: tuple[tuple[float, float], ...]) -> Limb:
        joints = [seen(forward, left, up)]
        for length, angle in parts:
            forward, up = forward + length * math.sin(angle), up - length * math.cos(angle)
            joints.append(seen(forward, left, up))
        return Limb(*joints)

    bends = [(_thigh(pose, side), _knee(pose, side)) for side in (0.0, math.pi)]
    # The lower foot is on the ground: the body rises and falls with it.
    hip = ANKLE + max(THIGH * math.cos(thigh) + SHIN * math.cos(thigh - knee) for thigh, knee in bends)
    rise = hip - HIP
    lean = 0.018 * pose.stride
    shoulder = SHOULDER - 0.014 + rise
    legs, arms = [], []
    for side, (thigh, knee) in zip((1.0, -1.0), bends, strict=True):
        legs.append(limb(0.0, side * HIP_HALF * build, hip, ((THIGH, thigh), (SHIN, thigh - knee))))
        swing = -thigh * ARM_SWING / THIGH_SWING
        elbow = swing + 0.16 + 0.5 * pose.stride * (0.5 + swing)
        parts = ((UPPER_ARM, swing), (FOREARM, elbow))
        arms.append(limb(lean, side * SHOULDER_HALF * build, shoulder, parts))
    return Skeleton(
        across,
        along,
        pelvis=seen(0.0, 0.0, hip),
        chest=seen(lean, 0.0, SHOULDER + rise),
        head=seen(lean + 0.012, 0.0, HEAD + rise),
        legs=(legs[0], legs[1]),
        arms=(arms[0], arms[1]),
    )


def _thigh(pose: Pose, side: float) -> float:
    return pose.stride * (THIGH_SWING * math.sin(pose.phase + side) + 0.04)


def _knee(pose: Pose, side: float) -> float:
    """Angle of a knee: bent most while the leg swings forward, nearly straight while it bears."""
    swing = max(0.0, math.cos(pose.phase + side + 0.45))
    return 0.04 + pose.stride * (0.06 + 0.9 * swing**2)


def draw_figure(look: Look, pose: Pose) -> list[Shape]:
    """Shapes of a person, metres from the place between the feet, the farthest first."""
    body = pose_skeleton(look.height_m, look.build, pose)
    far, near = (0, 1) if body.across > 0 else (1, 0)
    sideways = abs(body.across) > SIDEWAYS
    backpack = _draw_backpack(look, body) if look.bag == "backpack" else []
    shapes: list[Shape] = []
    if sideways:
        shapes += _draw_arm(look, body, far, FAR_SIDE)
    if body.along <= 0:
        shapes += backpack
    shapes += _draw_leg(look, body, far, FAR_SIDE)
    shapes += _draw_leg(look, body, near, 1.0)
    shapes += _draw_below_waist(look, body)
    shapes += _draw_torso(look, body)
    shapes += _draw_head(look, body)
    if not sideways:
        shapes += _draw_arm(look, body, far, 0.92)
    shapes += _draw_arm(look, body, near, 1.0)
    if body.along > 0:
        shapes += backpack
    if look.bag == "shoulder":
        shapes += _draw_shoulder_bag(look, body)
    return shapes


def _draw_leg(look: Look, body: Skeleton, side: int, light: float) -> list[Shape]:
    leg = body.legs[side]
    unit, thick = look.height_m, look.height_m * look.build
    bare = look.lower != "trousers"
    cloth = shaded(look.skin if bare else look.bottom, light)
    foot_x, foot_y = leg.end
    # A foot that points to the camera is seen from above.
    toe = foot_x + 0.085 * unit * body.across, foot_y + (0.012 * min(0.0, body.along) - 0.018) * unit
    heel = foot_x - 0.02 * unit * body.across, foot_y - 0.012 * unit
    shapes: list[Shape] = [
        Capsule(heel, toe, 0.026 * unit, 0.02 * unit, shaded(look.shoes, light)),
        Capsule(leg.middle, leg.end, 0.036 * thick, (0.021 if bare else 0.027) * thick, cloth),
        Capsule(leg.root, leg.middle, 0.056 * thick, 0.037 * thick, cloth),
    ]
    if not bare:
        shapes.append(_lit_edge(leg.root, leg.middle, 0.02 * thick, cloth))
        shapes.append(_lit_edge(leg.middle, leg.end, 0.012 * thick, cloth))
    if look.lower == "shorts":
        hem = _between(leg.root, leg.middle, 0.85)
        shapes.append(Capsule(leg.root, hem, 0.058 * thick, 0.052 * thick, shaded(look.bottom, light)))
    return shapes


def _draw_arm(look: Look, body: Skeleton, side: int, light: float) -> list[Shape]:
    arm = body.arms[side]
    short = look.upper == "shirt"
    unit, thick = look.height_m, look.height_m * look.build * (0.96 if short else 1.06)
    sleeve, skin = shaded(look.top, light), shaded(look.skin, light)
    seam = shaded(look.top, 0.74 * light)  # sets the arm off from a body of the same colour
    hand = _between(arm.middle, arm.end, 1.2)
    shapes: list[Shape] = [Capsule(arm.end, hand, 0.019 * unit, 0.017 * unit, skin)]
    if short:
        sleeve_end = _between(arm.root, arm.middle, 0.75)
        shapes += [
            Capsule(arm.middle, arm.end, 0.026 * thick, 0.02 * thick, skin),
            Capsule(arm.root, arm.middle, 0.026 * thick, 0.024 * thick, skin),
            Capsule(arm.root, sleeve_end, 0.036 * thick, 0.035 * thick, seam),
        ]
    else:
        sleeve_end = arm.middle
        shapes += [
            Capsule(arm.root, arm.middle, 0.034 * thick, 0.031 * thick, seam),
            Capsule(arm.middle, arm.end, 0.031 * thick, 0.026 * thick, seam),
            Capsule(arm.middle, arm.end, 0.026 * thick, 0.02 * thick, sleeve),
        ]
    shapes.append(Capsule(arm.root, sleeve_end, 0.03 * thick, 0.027 * thick, sleeve))
    shapes.append(_lit_edge(arm.root, sleeve_end, 0.012 * thick, sleeve))
    if look.bag == "shopping" and side == RIGHT:
        shapes += _draw_shopping_bag(look, hand, light)
    return shapes


def _draw_below_waist(look: Look, body: Skeleton) -> list[Shape]:
    """Skirt, dress or lower part of a coat, from the hips to about the knees, as wide as the stride."""
    coat = look.upper == "coat"
    if not coat and look.lower not in ("skirt", "dress"):
        return []
    unit, (middle, hip) = look.height_m, body.pelvis
    color = look.top if coat else look.bottom
    knees_x, knees_y = zip(*(leg.middle for leg in body.legs), strict=True)
    half = body.half_width(0.098, 0.075) * unit * look.build
    low = min(min(knees_x) - 0.035 * unit, middle - 0.95 * half)
    high = max(max(knees_x) + 0.035 * unit, middle + 0.95 * half)
    hem = hip + (1.05 if coat else 0.95) * (min(knees_y) - hip)
    waist = hip + 0.06 * unit
    left, lit = middle - half, low + 0.3 * (high - low)
    bottom = [((low + high) / 2, hem - 0.012 * unit), (low, hem)]
    shapes: list[Shape] = [
        polygon([(left, waist), (middle + half, waist), (high, hem), *bottom], color),
        polygon([(left, waist), (left + 0.7 * half, waist), (lit, hem), (low, hem)], shaded(color, 1.1)),
    ]
    if coat and body.along < 0.2:
        front = middle + 0.6 * half * body.across
        lean = (low + high) / 2 - front
        shapes.append(trapezoid(front, (waist, 0.004), (hem, 0.008), shaded(color, 0.7), lean=lean))
    return shapes


def _lit_edge(start: Point, end: Point, radius: float, color: Color) -> Capsule:
    """Light from the left along a limb."""
    shift = -0.9 * radius
    lit_start, lit_end = (start[0] + shift, start[1]), (end[0] + shift, end[1])
    return Capsule(lit_start, lit_end, radius, 0.8 * radius, shaded(color, 1.13))


def _between(start: Point, end: Point, share: float) -> Point:
    """Point on a line; beyond its end where the share is above 1."""
    return start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])


def _draw_torso(look: Look, body: Skeleton) -> list[Shape]:
    """Neck, top with its pattern, and scarf."""
    unit = look.height_m
    left, right = _torso_edges(look, body)
    shapes: list[Shape] = [
        Capsule(body.chest, body.head, 0.034 * unit, 0.032 * unit, shaded(look.skin, 0.85)),
        _strip(left, right, look.top),
        *_draw_pattern(look, body, left, right),
    ]
    if look.upper != "shirt" and body.along < 0.2:
        zipper = left + (right - left) * (0.5 + 0.42 * body.across)
        half = np.array([0.0035 * unit, 0.0])
        shapes.append(_strip(zipper - half, zipper + half, shaded(look.top, 0.6)))
    if look.scarf is not None:
        x, y = body.chest
        half_width = body.half_width(0.062, 0.055) * unit
        shapes.append(ellipse((x, y + 0.025 * unit), half_width, 0.026 * unit, look.scarf))
    return shapes


def _torso_edges(look: Look, body: Skeleton) -> tuple[Float64Array, Float64Array]:
    """Left and right edge from the neck down to the hem, float64 (L, 2) each."""
    shirt = look.upper == "shirt"
    hem = (-0.07 if shirt else -0.15, 0.106, 0.078)
    level, breadth, thickness = np.array((*TORSO, hem)).T
    spine = body.pelvis + level[:, None] * np.subtract(body.chest, body.pelvis)
    bulk = look.build * look.height_m * (1.0 if shirt else 1.07)
    half = np.hypot(breadth * body.along, thickness * body.across) * bulk
    aside = np.stack([half, np.zeros_like(half)], axis=1)
    return spine - aside, spine + aside


def _strip(left: Float64Array, right: Float64Array, color: Color) -> Polygon:
    return Polygon(np.concatenate([left, right[::-1]]), color)


def _draw_pattern(look: Look, body: Skeleton, left: Float64Array, right: Float64Array) -> list[Shape]:
    shapes: list[Shape] = []
    checked = look.pattern == "checks"
    color = mixed(look.top, look.pattern_color, 0.6) if checked else look.pattern_color
    if checked or look.pattern == "rings":
        count, thick = (4, 0.2) if checked else (5, 0.5)
        for ring in range(count):
            rows = [(ring + 0.3) / count, (ring + 0.3 + thick) / count]
            shapes.append(_strip(_along(left, rows), _along(right, rows), color))
    if checked or look.pattern == "stripes":
        # Stripes narrow towards the sides, as on a cylinder.
        edges = 0.5 + 0.5 * np.sin((np.arange(2 * STRIPES) - STRIPES + 0.5) * 0.27)
        across = (right - left)[1:]
        for low, high in list(pairwise(edges))[::2]:
            shapes.append(_strip(left[1:] + low * across, left[1:] + high * across, color))
    if look.pattern == "print" and body.along < -0.3:
        middle = (_along(left, [0.3]) + _along(right, [0.3]))[0] / 2
        x = float(middle[0] + 0.3 * body.across * (right[2, 0] - left[2, 0]))
        radius = 0.045 * look.height_m
        shapes.append(ellipse((x, float(middle[1])), radius * math.fabs(body.along), radius, color))
    return shapes


def _along(edge: Float64Array, shares: list[float]) -> Float64Array:
    """Points of an edge by their share of the way from the shoulder to the hem, float64 (N, 2)."""
    place = 1 + np.array(shares) * (len(edge) - 2)
    rows = np.arange(len(edge))
    return np.stack([np.interp(place, rows, edge[:, axis]) for axis in range(2)], axis=1)


def _draw_head(look: Look, body: Skeleton) -> list[Shape]:
    """Head, face, hair and hat; a child's head is larger compared with its body."""
    x, y = body.head
    size = 0.067 * look.height_m * (1.0 + 0.35 * max(0.0, 1.5 - look.height_m))
    half_width, half_height = size * (0.8 + 0.12 * abs(body.across)), size * 1.06
    hair = look.skin if look.hair_style == "bald" else look.hair
    shapes: list[Shape] = []
    if look.hair_style == "long":
        back, ends = x - 0.35 * size * body.across, y - 1.35 * size
        radii = 0.95 * half_width, 0.75 * half_width
        shapes.append(Capsule((back, y), (back, ends), *radii, shaded(hair, 0.9)))
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
        lit_x, radii = x - 0.3 * half_width, (0.3 * half_width, 0.24 * half_width)
        shapes.append(Capsule((x, y), (x, y - 1.3 * size), half_width, 0.8 * half_width, hair))
        shapes.append(Capsule((lit_x, y + 0.2 * size), (lit_x, y - size), *radii, shaded(hair, 1.13)))
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
        # Eyes are on the front of a cylinder: an eye that is turned out of view is not drawn.
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


def _draw_shopping_bag(look: Look, hand: Point, light: float) -> list[Shape]:
    """Bag that hangs from a hand; its size is the same for all people."""
    x, y = hand
    top, half = y - 0.07, 0.13
    color = look.bag_color
    return [
        trapezoid(x, (y, 0.01), (top, 0.05), shaded(color, 0.6 * light)),
        trapezoid(x, (top, half), (top - 0.29, 0.9 * half), shaded(color, 1.15 * light)),
        trapezoid(x, (top - 0.1, 0.6 * half), (top - 0.17, 0.6 * half), shaded(look.pattern_color, light)),
    ]


def _draw_backpack(look: Look, body: Skeleton) -> list[Shape]:
    unit, color = look.height_m, look.bag_color
    x = body.chest[0] - 0.09 * unit * body.across
    half = body.half_width(0.085, 0.055) * unit
    top, bottom = body.chest[1] + 0.01 * unit, body.chest[1] - 0.25 * unit
    lit_x, lit = x - 0.3 * half, shaded(color, 1.12)
    shapes: list[Shape] = [
        Capsule((x, top - 0.7 * half), (x, bottom + 0.7 * half), half, half, color),
        Capsule((lit_x, top - 0.7 * half), (lit_x, bottom + half), 0.6 * half, 0.5 * half, lit),
    ]
    if body.along > 0.2:
        pocket = bottom + 0.11 * unit, bottom + 0.02 * unit
        shapes.append(trapezoid(x, (pocket[0], 0.7 * half), (pocket[1], 0.6 * half), shaded(color, 0.75)))
    return shapes


def _draw_shoulder_bag(look: Look, body: Skeleton) -> list[Shape]:
    """Bag on the left hip, with its strap over the right shoulder."""
    unit, color = look.height_m, look.bag_color
    x, y = body.pelvis[0] - 0.125 * unit * look.build * body.along, body.pelvis[1] + 0.01 * unit
    over = body.chest[0] + 0.06 * unit * body.along, body.chest[1] + 0.02 * unit
    strap = Capsule(over, (x, y + 0.04 * unit), 0.007 * unit, 0.007 * unit, shaded(color, 0.7))
    if body.across > 0.2:  # the left side is the far one
        return [strap]
    half = body.half_width(0.035, 0.085) * unit
    return [
        strap,
        rectangle(x - half, y - 0.09 * unit, x + half, y + 0.04 * unit, color),
        trapezoid(x, (y + 0.045 * unit, half), (y - 0.02 * unit, 0.8 * half), shaded(color, 0.82)),
    ]
