"""Who is on the street when: planned ahead, so that people keep out of each other's way."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from edge_fairmot.benchmarks.street.camera import Camera
from edge_fairmot.benchmarks.street.look import Look, invent_look, resemble
from edge_fairmot.benchmarks.street.plan import Spot
from edge_fairmot.benchmarks.street.route import Route, invent_route
from edge_fairmot.benchmarks.street.skeleton import STRIDE
from edge_fairmot.types import Float64Array

ATTEMPTS = 6
"""Routes tried for a party; the one with the fewest near misses is taken."""

SAMPLING_S = 0.5
"""People are kept apart at these moments."""

ELBOW_ROOM_M = 0.7

LOOKALIKE_SHARE = 0.4
"""Of the people, those dressed as somebody who is on the street already."""

MEMORY_S = 60.0
"""People are forgotten so long after they left; asked for an earlier moment, the crowd is planned anew."""


@dataclass(frozen=True, slots=True)
class Walker:
    """Somebody on the way.

    Attributes
    ----------
    identity : int
        From 1, in the order of planning.
    look : Look
    outfit : int
        The same for all who are dressed alike.
    route : Route
    start_s : float
        May be before the first frame.
    aside_m : float
        To the left of the route.
    phase : float
        Of the walking cycle at the start, radians.
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
        """When the route is done."""
        return self.start_s + self.route.duration_s

    def place(self, time_s: float) -> tuple[float, float, float]:
        """Give x, z and heading."""
        x, z, heading = self.route.place(self.route.distance(time_s - self.start_s))
        return x - self.aside_m * math.sin(heading), z + self.aside_m * math.cos(heading), heading

    def gait(self, time_s: float) -> tuple[float, float]:
        """Give the phase of the walking cycle, radians, and the stride, 0 standing to 1 walking."""
        elapsed_s = time_s - self.start_s
        cycle_m = STRIDE * self.look.height_m
        return self.phase + math.tau * self.route.distance(elapsed_s) / cycle_m, self.route.stride(elapsed_s)


class Crowd:
    """The people of one street, at any moment from 0 on.

    Moments near each other and rising are cheap. Going back by more than a minute plans anew.

    Parameters
    ----------
    seed : int
    people : int
        How many are under way at any moment, or up to two more.
    camera : Camera
    furniture : sequence of Spot
        They walk around it.
    """

    def __init__(self, seed: int, people: int, camera: Camera, furniture: Sequence[Spot]) -> None:
        self._seed, self._people, self._camera = seed, people, camera
        self._furniture = tuple(furniture)
        self._begin()

    def at(self, time_s: float) -> list[Walker]:
        """Everybody under way at a moment, by identity."""
        if time_s < self._forgotten_s:
            self._begin()
        while self._planned_s <= time_s:
            self._plan_next()
        return [walker for walker in self._walkers if walker.start_s <= time_s < walker.end_s]

    def _begin(self) -> None:
        self._forgotten_s = -math.inf
        self._planned_s = -math.inf
        self._parties = self._identities = 0
        self._walkers: deque[Walker] = deque()
        self._tracks: dict[int, tuple[int, Float64Array]] = {}
        while self._identities < self._people:
            # As if they had been walking before the first frame.
            random = self._random()
            self._add_party(random, 0.0, begun=random.random())
        self._planned_s = self._next_vacancy_s()

    def _plan_next(self) -> None:
        self._forget(self._planned_s - MEMORY_S)
        self._add_party(self._random(), self._planned_s, begun=0.0)
        self._planned_s = self._next_vacancy_s()

    def _next_vacancy_s(self) -> float:
        """When fewer than wanted are under way."""
        ends = sorted(walker.end_s for walker in self._walkers)
        return ends[-self._people]

    def _random(self) -> Random:
        self._parties += 1
        return Random(f"street {self._seed}, party {self._parties}")

    def _add_party(self, random: Random, start_s: float, *, begun: float) -> None:
        size = random.choices((1, 2, 3), (10, 4, 1))[0]
        child = size > 1 and random.random() < 0.3
        routes = [invent_route(random, self._camera) for _ in range(ATTEMPTS)]
        route = min(routes, key=lambda route: self._near_misses(route, start_s - begun * route.duration_s))
        start_s -= begun * route.duration_s
        for member in range(size):
            # Side by side, and not in step.
            aside_m = (member - (size - 1) / 2) * random.uniform(0.6, 0.75) + random.uniform(-0.08, 0.08)
            self._identities += 1
            look, outfit = self._dress(random, start_s, child=child and member == size - 1)
            walker = Walker(
                self._identities, look, outfit, route, start_s, aside_m, random.uniform(0, math.tau)
            )
            self._walkers.append(walker)
            self._tracks[walker.identity] = _sampled(walker.route, start_s)

    def _dress(self, random: Random, start_s: float, *, child: bool) -> tuple[Look, int]:
        grown = [walker for walker in self._walkers if walker.end_s > start_s and walker.look.height_m > 1.45]
        if child or not grown or random.random() > LOOKALIKE_SHARE:
            return invent_look(random, child=child), self._identities
        model = random.choice(grown)
        return resemble(model.look, random), model.outfit

    def _near_misses(self, route: Route, start_s: float) -> float:
        first, places = _sampled(route, start_s)
        misses = 0.0
        for spot in self._furniture:
            misses += 5.0 * float(
                (np.hypot(places[:, 0] - spot.x, places[:, 1] - spot.z) < spot.radius).sum()
            )
        for other_first, other in self._tracks.values():
            low, high = max(first, other_first), min(first + len(places), other_first + len(other))
            if low < high:
                apart = places[low - first : high - first] - other[low - other_first : high - other_first]
                misses += float((np.einsum("nd,nd->n", apart, apart) < ELBOW_ROOM_M**2).sum())
        return misses

    def _forget(self, before_s: float) -> None:
        gone = [walker for walker in self._walkers if walker.end_s < before_s]
        for walker in gone:
            self._walkers.remove(walker)
            del self._tracks[walker.identity]
            self._forgotten_s = max(self._forgotten_s, walker.end_s)


def _sampled(route: Route, start_s: float) -> tuple[int, Float64Array]:
    """Places at whole multiples of ``SAMPLING_S``, and the first such multiple."""
    first = math.ceil(start_s / SAMPLING_S)
    last = math.floor((start_s + route.duration_s) / SAMPLING_S)
    times = (route.distance(tick * SAMPLING_S - start_s) for tick in range(first, last + 1))
    return first, np.array([route.place(distance)[:2] for distance in times]).reshape(-1, 2)
