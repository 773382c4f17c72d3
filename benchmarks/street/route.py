"""A way along the street, as a function of time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random

import numpy as np

from edge_fairmot.benchmarks.street.camera import Camera
from edge_fairmot.benchmarks.street.plan import BLOCKS, END_M, WALKABLE_M, WALL_M
from edge_fairmot.types import Float64Array

SPACING_M = 0.25
"""Between the points of a route: near enough for a straight line from one to the next."""

EASE_S = 0.4
"""How long a walker takes to come to a halt, and to get going."""

CUTS = 4
"""Rounds of corner cutting (Chaikin's): turns as people take them."""

_HIDDEN_M = 3.0
"""Behind the corner of a house, out of sight."""


@dataclass(frozen=True, slots=True)
class Route:
    """A path and the speed on it, with perhaps one halt.

    Attributes
    ----------
    points : float64 (N, 2)
        x and z, ``SPACING_M`` apart.
    speed : float
        Metres a second.
    halt_at : float
        Metres from the start.
    halt_s : float
        How long; 0 is no halt.
    """

    points: Float64Array
    speed: float
    halt_at: float = 0.0
    halt_s: float = 0.0

    @property
    def length_m(self) -> float:
        """From end to end."""
        return (len(self.points) - 1) * SPACING_M

    @property
    def duration_s(self) -> float:
        """From end to end, halt included."""
        return self.length_m / self.speed + self.halt_s

    def distance(self, elapsed_s: float) -> float:
        """Metres walked."""
        before_halt_s = self.halt_at / self.speed
        walked_s = min(elapsed_s, max(before_halt_s, elapsed_s - self.halt_s))
        return min(max(walked_s * self.speed, 0.0), self.length_m)

    def stride(self, elapsed_s: float) -> float:
        """From 0 where somebody stands to 1 where they walk."""
        since_s = elapsed_s - self.halt_at / self.speed
        if self.halt_s == 0 or since_s < -EASE_S or since_s > self.halt_s + EASE_S:
            return 1.0
        return max(0.0, -since_s / EASE_S, (since_s - self.halt_s) / EASE_S)

    def place(self, distance_m: float) -> tuple[float, float, float]:
        """Give x, z and the heading, radians from x towards z, at a distance from the start."""
        at = min(distance_m / SPACING_M, len(self.points) - 1.001)
        index = int(at)
        (x, z), (next_x, next_z) = self.points[index].tolist(), self.points[index + 1].tolist()
        share = at - index
        return x + share * (next_x - x), z + share * (next_z - z), math.atan2(next_z - z, next_x - x)


def invent_route(random: Random, camera: Camera) -> Route:
    """Choose where somebody comes from and goes to, by which way, and how fast."""
    entrances = _entrances(random, camera)
    start, goal = random.sample(entrances, 2)
    between = []
    for _ in range(random.choice((0, 1, 1, 2))):
        z = 7.6 + 20.0 * random.random() ** 1.5  # rather near than far
        between.append((random.uniform(-1, 1) * min(WALKABLE_M, camera.half_width(z) - 0.6), z))
    # Nearer the start first: nobody walks up and down the street for nothing.
    between.sort(key=lambda place: place[1], reverse=start[-1][1] > goal[-1][1])
    points = _rounded([*start, *between, *reversed(goal)])
    speed = min(max(random.gauss(1.25, 0.2), 0.75), 1.8)
    length_m = (len(points) - 1) * SPACING_M
    if random.random() > 0.22:
        return Route(points, speed)
    return Route(points, speed, random.uniform(0.3, 0.7) * length_m, random.uniform(3.0, 12.0))


def _entrances(random: Random, camera: Camera) -> list[list[tuple[float, float]]]:
    """Ways into the picture, each from out of sight to where one is free to turn."""
    entrances = []
    for side in (-1, 1):
        # Past the picture's edge, where no wall is in sight yet.
        farthest = (WALL_M - 1.0) / camera.half_width(1.0)
        if farthest > 7.6:
            for _ in range(2):
                z = random.uniform(7.2, min(farthest, 11.5))
                edge = camera.half_width(z)
                entrances.append(
                    [(side * (edge + 0.8), z), (side * (edge - 0.8), z + random.uniform(-0.5, 0.5))]
                )
        gaps = [(a.far, b.near) for a, b in pairwise(BLOCKS) if a.side == b.side == side]
        for near, far in (*gaps, (BLOCKS[-1].far, END_M - 1.0)):
            z = random.uniform(near + 0.7, far - 0.7)
            beyond = WALL_M + _HIDDEN_M
            entrances.append(
                [(side * beyond, z), (side * WALL_M, z), (side * random.uniform(0.6, 0.85) * WALKABLE_M, z)]
            )
    return entrances


def _rounded(places: Sequence[tuple[float, float]]) -> Float64Array:
    """Points ``SPACING_M`` apart along the line through some places, its corners cut."""
    line = np.array(places)
    for _ in range(CUTS):
        near, far = 0.75 * line[:-1] + 0.25 * line[1:], 0.25 * line[:-1] + 0.75 * line[1:]
        cut = np.stack([near, far], axis=1).reshape(-1, 2)
        line = np.concatenate([line[:1], cut, line[-1:]])
    step = np.hypot(*np.diff(line, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(step)])
    marks = np.arange(0.0, along[-1], SPACING_M)
    return np.stack([np.interp(marks, along, line[:, axis]) for axis in range(2)], axis=1)
