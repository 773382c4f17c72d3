"""What is carried."""

from __future__ import annotations

from edge_fairmot.benchmarks.street.look import Look
from edge_fairmot.benchmarks.street.shape import Capsule, Shape, rectangle, shaded, trapezoid
from edge_fairmot.benchmarks.street.skeleton import Point, Skeleton


def draw_shopping_bag(look: Look, hand: Point, light: float) -> list[Shape]:
    """Bag that hangs from a hand; of one size, whoever carries it."""
    x, y = hand
    top, half = y - 0.07, 0.13
    color = look.bag_color
    return [
        trapezoid(x, (y, 0.01), (top, 0.05), shaded(color, 0.6 * light)),
        trapezoid(x, (top, half), (top - 0.29, 0.9 * half), shaded(color, 1.15 * light)),
        trapezoid(x, (top - 0.1, 0.6 * half), (top - 0.17, 0.6 * half), shaded(look.pattern_color, light)),
    ]


def draw_backpack(look: Look, body: Skeleton) -> list[Shape]:
    """Pack on the back."""
    unit, color = look.height_m, look.bag_color
    x = body.chest[0] - 0.09 * unit * body.across
    half = body.half_width(0.085, 0.055) * unit
    top, bottom = body.chest[1] + 0.01 * unit, body.chest[1] - 0.25 * unit
    lit_x = x - 0.3 * half
    shapes: list[Shape] = [
        Capsule((x, top - 0.7 * half), (x, bottom + 0.7 * half), half, half, color),
        Capsule(
            (lit_x, top - 0.7 * half), (lit_x, bottom + half), 0.6 * half, 0.5 * half, shaded(color, 1.12)
        ),
    ]
    if body.along > 0.2:
        pocket = bottom + 0.11 * unit, bottom + 0.02 * unit
        shapes.append(trapezoid(x, (pocket[0], 0.7 * half), (pocket[1], 0.6 * half), shaded(color, 0.75)))
    return shapes


def draw_shoulder_bag(look: Look, body: Skeleton) -> list[Shape]:
    """Bag on the left hip, its strap over the right shoulder."""
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
