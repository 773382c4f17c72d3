"""A person as flat shapes, the farthest first."""

from __future__ import annotations

from edge_fairmot.benchmarks.street.bag import draw_backpack, draw_shopping_bag, draw_shoulder_bag
from edge_fairmot.benchmarks.street.head import draw_head
from edge_fairmot.benchmarks.street.look import Color, Look
from edge_fairmot.benchmarks.street.shape import Capsule, Shape, polygon, shaded, trapezoid
from edge_fairmot.benchmarks.street.skeleton import Point, Pose, Skeleton, between, pose_skeleton
from edge_fairmot.benchmarks.street.torso import draw_torso

FAR_SIDE = 0.78
"""Brightness of the leg and the arm on the far side."""

SIDEWAYS = 0.35
"""Share of a body's length that is seen above which one arm is behind it and one before."""

RIGHT = 1


def draw_figure(look: Look, pose: Pose) -> list[Shape]:
    """Shapes of somebody in a pose, metres from the place between the feet, the farthest first."""
    body = pose_skeleton(look.height_m, look.build, pose)
    far, near = (0, 1) if body.across > 0 else (1, 0)
    sideways = abs(body.across) > SIDEWAYS
    backpack = draw_backpack(look, body) if look.bag == "backpack" else []
    shapes: list[Shape] = []
    if sideways:
        shapes += _draw_arm(look, body, far, FAR_SIDE)
    if body.along <= 0:
        shapes += backpack
    shapes += _draw_leg(look, body, far, FAR_SIDE)
    shapes += _draw_leg(look, body, near, 1.0)
    shapes += _draw_below_waist(look, body)
    shapes += draw_torso(look, body)
    shapes += draw_head(look, body)
    if not sideways:
        shapes += _draw_arm(look, body, far, 0.92)
    shapes += _draw_arm(look, body, near, 1.0)
    if body.along > 0:
        shapes += backpack
    if look.bag == "shoulder":
        shapes += draw_shoulder_bag(look, body)
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
        hem = between(leg.root, leg.middle, 0.85)
        shapes.append(Capsule(leg.root, hem, 0.058 * thick, 0.052 * thick, shaded(look.bottom, light)))
    return shapes


def _draw_arm(look: Look, body: Skeleton, side: int, light: float) -> list[Shape]:
    arm = body.arms[side]
    short = look.upper == "shirt"
    unit, thick = look.height_m, look.height_m * look.build * (0.96 if short else 1.06)
    sleeve, skin = shaded(look.top, light), shaded(look.skin, light)
    # Sets the arm off from a body of the same colour.
    seam = shaded(look.top, 0.74 * light)
    hand = between(arm.middle, arm.end, 1.2)
    shapes: list[Shape] = [Capsule(arm.end, hand, 0.019 * unit, 0.017 * unit, skin)]
    if short:
        sleeve_end = between(arm.root, arm.middle, 0.75)
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
        shapes += draw_shopping_bag(look, hand, light)
    return shapes


def _draw_below_waist(look: Look, body: Skeleton) -> list[Shape]:
    """Skirt, dress or the lower part of a coat: from the hips to about the knees, as wide as the stride."""
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
    left = middle - half
    bottom = [((low + high) / 2, hem - 0.012 * unit), (low, hem)]
    shapes: list[Shape] = [
        polygon([(left, waist), (middle + half, waist), (high, hem), *bottom], color),
        polygon(
            [(left, waist), (left + 0.7 * half, waist), (low + 0.3 * (high - low), hem), (low, hem)],
            shaded(color, 1.1),
        ),
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
