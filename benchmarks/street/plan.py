"""The street in metres: its ground plan, the routes along it, and the people on them at any moment."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from random import Random

import numpy as np

from edge_fairmot.benchmarks.street.figure import STRIDE
from edge_fairmot.benchmarks.street.look import Look, invent_look, resemble
from edge_fairmot.benchmarks.street.shapes import Camera, Point
from edge_fairmot.types import Float64Array

WALL_M = 8.5  # from the middle of the street to the houses on either side
KERB_M = 5.7
WALKABLE_M = 7.6  # from the middle of the street to the routes nearest to the houses
END_M = 34.5  # depth of the houses that close the street, beyond the crossing with another one
HIDDEN_M = 3.0  # behind the corner of a house, out of view

ROUTE_STEP_M = 0.25  # between the points of a route: a straight line joins two of them
EASE_S = 0.4  # time in which a person comes to a halt, and starts again
CORNER_CUTS = 4  # rounds of Chaikin's corner cutting, which makes turns round

ROUTES_TRIED = 6  # for each party; the route with the fewest near misses is taken
SAMPLING_S = 0.5  # near misses are counted at multiples of this time
ELBOW_ROOM_M = 0.7
LOOKALIKE_SHARE = 0.4  # share of the people dressed as another person who is on the street already
MEMORY_S = 60.0  # people are forgotten that long after they left; a moment before that is planned again


@dataclass(frozen=True, slots=True)
class Block:
    """Houses wall to wall from depth ``near`` to ``far``; ``side`` -1 is left, 1 right."""

    side: int
    near: float
    far: float


# People come from and go to side streets, between the blocks and behind the last one.
BLOCKS = (Block(-1, 2.0, 18.0), Block(-1, 21.5, 29.5), Block(1, 2.0, 22.5), Block(1, 26.0, 29.5))


@dataclass(frozen=True, slots=True)
class Spot:
    """Place of a piece of furniture; people keep ``radius`` metres away from it."""

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
    """Furniture of a seed's street: most of the spots, each near its usual place."""
    random = Random(f"street {seed}, furniture")
    return tuple(
        replace(spot, x=spot.x + random.uniform(-0.3, 0.3), z=spot.z + random.uniform(-0.7, 0.7))
        for spot in _FURNITURE
        if random.random() < 0.85
    )


@dataclass(frozen=True, slots=True)
class Route:
    """Path and speed (m/s), with a halt of ``halt_s`` seconds (0 is none) after ``halt_at`` metres.

    ``points`` is float64 (N, 2): x and z, ``ROUTE_STEP_M`` apart.
    """

    points: Float64Array
    speed: float
    halt_at: float = 0.0
    halt_s: float = 0.0

    @property
    def length_m(self) -> float:
        """Length from end to end."""
        return (len(self.points) - 1) * ROUTE_STEP_M

    @property
    def duration_s(self) -> float:
        """Time from end to end, with the halt."""
        return self.length_m / self.speed + self.halt_s

    def distance(self, elapsed_s: float) -> float:
        """Metres walked since the start."""
        before_halt_s = self.halt_at / self.speed
        walked_s = min(elapsed_s, max(before_halt_s, elapsed_s - self.halt_s))
        return min(max(walked_s * self.speed, 0.0), self.length_m)

    def stride(self, elapsed_s: float) -> float:
        """Stride from 0, standing, to 1, walking."""
        since_s = elapsed_s - self.halt_at / self.speed
        if self.halt_s == 0 or since_s < -EASE_S or since_s > self.halt_s + EASE_S:
            return 1.0
        return max(0.0, -since_s / EASE_S, (since_s - self.halt_s) / EASE_S)

    def place(self, distance_m: float) -> tuple[float, float, float]:
        """Place x, z and heading (radians from x towards z) at a distance from the start."""
        at = min(distance_m / ROUTE_STEP_M, len(self.points) - 1.001)
        index = int(at)
        (x, z), (next_x, next_z) = self.points[index].tolist(), self.points[index + 1].tolist()
        share = at - index
        return x + share * (next_x - x), z + share * (next_z - z), math.atan2(next_z - z, next_x - x)


def invent_route(random: Random, camera: Camera) -> Route:
    """Random route from one entrance to another."""
    start, goal = random.sample(_entrances(random, camera), 2)
    between = []
    for _ in range(random.choice((0, 1, 1, 2))):
        z = 7.6 + 20.0 * random.random() ** 1.5  # small depths are more frequent
        between.append((random.uniform(-1, 1) * min(WALKABLE_M, camera.half_width(z) - 0.6), z))
    # Places nearer to the start come first: people do not walk to and fro.
    between.sort(key=lambda place: place[1], reverse=start[-1][1] > goal[-1][1])
    points = _rounded([*start, *between, *reversed(goal)])
    speed = min(max(random.gauss(1.25, 0.2), 0.75), 1.8)
    length_m = (len(points) - 1) * ROUTE_STEP_M
    if random.random() > 0.22:
        return Route(points, speed)
    return Route(points, speed, random.uniform(0.3, 0.7) * length_m, random.uniform(3.0, 12.0))


def _entrances(random: Random, camera: Camera) -> list[list[Point]]:
    """Ways into the image, each from a place out of view to one where a person is free to turn."""
    entrances = []
    for side in (-1, 1):
        # Beside the image, where no wall is in view yet.
        farthest = (WALL_M - 1.0) / camera.half_width(1.0)
        if farthest > 7.6:
            for _ in range(2):
                z = random.uniform(7.2, min(farthest, 11.5))
                edge = camera.half_width(z)
                inside = (side * (edge - 0.8), z + random.uniform(-0.5, 0.5))
                entrances.append([(side * (edge + 0.8), z), inside])
        gaps = [(a.far, b.near) for a, b in pairwise(BLOCKS) if a.side == b.side == side]
        for near, far in (*gaps, (BLOCKS[-1].far, END_M - 1.0)):
            z = random.uniform(near + 0.7, far - 0.7)
            inside = (side * random.uniform(0.6, 0.85) * WALKABLE_M, z)
            entrances.append([(side * (WALL_M + HIDDEN_M), z), (side * WALL_M, z), inside])
    return entrances


def _rounded(places: Sequence[Point]) -> Float64Array:
    """Points ``ROUTE_STEP_M`` apart on the line through some places with its corners cut, float64 (N, 2)."""
    line = np.array(places)
    for _ in range(CORNER_CUTS):
        near, far = 0.75 * line[:-1] + 0.25 * line[1:], 0.25 * line[:-1] + 0.75 * line[1:]
        cut = np.stack([near, far], axis=1).reshape(-1, 2)
        line = np.concatenate([line[:1], cut, line[-1:]])
    step = np.hypot(*np.diff(line, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(step)])
    marks = np.arange(0.0, along[-1], ROUTE_STEP_M)
    return np.stack([np.interp(marks, along, line[:, axis]) for axis in range(2)], axis=1)


@dataclass(frozen=True, slots=True)
class Person:
    """A person on a route, which starts at ``start_s``, perhaps before the first frame.

    ``identity`` counts from 1; ``outfit`` is that of the first person in these clothes. ``aside_m`` is the
    distance to the left of the route, ``phase`` the phase of the walking cycle at the start, radians.
    """

    identity: int
    look: Look
    outfit: int
    route: Route
    start_s: float
    aside_m: float
    phase: float

    @property
    def end_s(self) -> float:
        """End of the route."""
        return self.start_s + self.route.duration_s

    def place(self, time_s: float) -> tuple[float, float, float]:
        """Place x, z and heading."""
        x, z, heading = self.route.place(self.route.distance(time_s - self.start_s))
        return x - self.aside_m * math.sin(heading), z + self.aside_m * math.cos(heading), heading

    def gait(self, time_s: float) -> tuple[float, float]:
        """Phase of the walking cycle, radians, and stride."""
        elapsed_s = time_s - self.start_s
        cycle_m = STRIDE * self.look.height_m
        return self.phase + math.tau * self.route.distance(elapsed_s) / cycle_m, self.route.stride(elapsed_s)


class Crowd:
    """The people of one street at any moment from 0 on: ``people`` of them, or up to two more.

    Rising moments near each other are cheap. A step back of more than a minute plans the crowd again.
    """

    def __init__(self, seed: int, people: int, camera: Camera, furniture: Sequence[Spot]) -> None:
        self._seed, self._people, self._camera, self._furniture = seed, people, camera, tuple(furniture)
        self._begin()

    def _begin(self) -> None:
        self._forgotten_s = -math.inf
        self._parties = self._identities = 0
        self._persons: deque[Person] = deque()
        self._paths: dict[int, tuple[int, Float64Array]] = {}
        while self._identities < self._people:
            self._add_party(0.0, begun=True)
        self._planned_s = self._next_vacancy_s()

    def at(self, time_s: float) -> list[Person]:
        """People on their routes at a moment, by identity."""
        if time_s < self._forgotten_s:
            self._begin()
        while self._planned_s <= time_s:
            self._forget(self._planned_s - MEMORY_S)
            self._add_party(self._planned_s, begun=False)
            self._planned_s = self._next_vacancy_s()
        return [person for person in self._persons if person.start_s <= time_s < person.end_s]

    def _next_vacancy_s(self) -> float:
        """Moment from which too few people are on their routes."""
        return sorted(person.end_s for person in self._persons)[-self._people]

    def _add_party(self, time_s: float, *, begun: bool) -> None:
        """Send one to three people on one route, at a moment or, where ``begun``, some time before it."""
        self._parties += 1
        random = Random(f"street {self._seed}, party {self._parties}")
        done = random.random() if begun else 0.0
        size = random.choices((1, 2, 3), (10, 4, 1))[0]
        child = size > 1 and random.random() < 0.3
        routes = [invent_route(random, self._camera) for _ in range(ROUTES_TRIED)]
        route = min(routes, key=lambda route: self._near_misses(route, time_s - done * route.duration_s))
        start_s = time_s - done * route.duration_s
        for member in range(size):
            # Side by side, and not in step.
            aside_m = (member - (size - 1) / 2) * random.uniform(0.6, 0.75) + random.uniform(-0.08, 0.08)
            self._identities += 1
            look, outfit = self._dress(random, start_s, child=child and member == size - 1)
            phase = random.uniform(0, math.tau)
            self._persons.append(Person(self._identities, look, outfit, route, start_s, aside_m, phase))
            self._paths[self._identities] = _sampled(route, start_s)

    def _dress(self, random: Random, start_s: float, *, child: bool) -> tuple[Look, int]:
        grown = [person for person in self._persons if person.end_s > start_s and person.look.height_m > 1.45]
        if child or not grown or random.random() > LOOKALIKE_SHARE:
            return invent_look(random, child=child), self._identities
        model = random.choice(grown)
        return resemble(model.look, random), model.outfit

    def _near_misses(self, route: Route, start_s: float) -> float:
        """Count the samples of a route too near to other people; those in furniture count five times."""
        first, places = _sampled(route, start_s)
        misses = 0.0
        for spot in self._furniture:
            away = np.hypot(places[:, 0] - spot.x, places[:, 1] - spot.z)
            misses += 5.0 * float((away < spot.radius).sum())
        for other_first, other in self._paths.values():
            low, high = max(first, other_first), min(first + len(places), other_first + len(other))
            if low < high:
                apart = places[low - first : high - first] - other[low - other_first : high - other_first]
                misses += float((np.einsum("nd,nd->n", apart, apart) < ELBOW_ROOM_M**2).sum())
        return misses

    def _forget(self, before_s: float) -> None:
        gone = [person for person in self._persons if person.end_s < before_s]
        for person in gone:
            self._persons.remove(person)
            del self._paths[person.identity]
            self._forgotten_s = max(self._forgotten_s, person.end_s)


def _sampled(route: Route, start_s: float) -> tuple[int, Float64Array]:
    """First multiple of ``SAMPLING_S`` on a route, and the places at it and at all later ones, (T, 2)."""
    first = math.ceil(start_s / SAMPLING_S)
    last = math.floor((start_s + route.duration_s) / SAMPLING_S)
    times = (route.distance(tick * SAMPLING_S - start_s) for tick in range(first, last + 1))
    return first, np.array([route.place(distance)[:2] for distance in times]).reshape(-1, 2)
