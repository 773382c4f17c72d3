"""The street's ground plan: where houses, side streets and furniture are. Metres, as the camera counts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

WALL_M = 8.5
"""From the middle of the street to the houses on either side."""

KERB_M = 5.7
"""From the middle of the street to the kerb."""

WALKABLE_M = 7.6
"""From the middle of the street to as near as people go to the houses."""

END_M = 34.5
"""Depth of the houses that close the street off, beyond the crossing with another."""


@dataclass(frozen=True, slots=True)
class Block:
    """Houses wall to wall, from depth ``near`` to ``far``; ``side`` -1 is left, 1 right."""

    side: int
    near: float
    far: float


BLOCKS = (Block(-1, 2.0, 18.0), Block(-1, 21.5, 29.5), Block(1, 2.0, 22.5), Block(1, 26.0, 29.5))
"""Between them, and behind the last, people come from and go to other streets."""


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a piece of furniture stands: its kind, the place, and how far around it nobody walks."""

    kind: str
    x: float
    z: float
    radius: float


_FURNITURE = (
    Spot("lamp", -5.3, 9.6, 0.4),
    Spot("lamp", 5.3, 15.0, 0.4),
    Spot("lamp", -5.3, 20.0, 0.4),
    Spot("lamp", 5.3, 26.0, 0.4),
    Spot("tree", -4.7, 14.2, 0.9),
    Spot("tree", 4.6, 19.5, 0.9),
    Spot("tree", -4.6, 25.2, 0.9),
    Spot("bench", -3.6, 12.6, 1.1),
    Spot("bench", 3.7, 18.0, 1.1),
    Spot("column", 1.9, 14.6, 1.0),
    Spot("planter", -0.9, 18.6, 0.9),
    Spot("planter", 4.3, 10.4, 0.9),
    Spot("planter", -2.4, 22.5, 0.9),
    Spot("bin", -4.3, 10.6, 0.5),
    Spot("bin", 5.0, 20.9, 0.5),
    Spot("table", 6.5, 12.6, 0.9),
    Spot("table", 6.3, 16.8, 0.9),
    Spot("bollard", -2.8, 29.0, 0.3),
    Spot("bollard", -1.0, 29.0, 0.3),
    Spot("bollard", 0.8, 29.0, 0.3),
    Spot("bollard", 2.6, 29.0, 0.3),
)


def furnish(seed: int) -> tuple[Spot, ...]:
    """Place the furniture of a seed's street: much as elsewhere, and nothing to the centimetre."""
    random = Random(f"street {seed}, furniture")
    return tuple(
        replace(spot, x=spot.x + random.uniform(-0.3, 0.3), z=spot.z + random.uniform(-0.7, 0.7))
        for spot in _FURNITURE
        if random.random() < 0.85
    )
