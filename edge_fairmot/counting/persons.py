"""Identities of counted objects, also where a track id changes."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from edge_fairmot.types import Float64Array

REACH = 0.75
"""A new track continues a lost person up to this distance from the expected position, in box heights."""

LARGEST_GROWTH = 1.4
"""Maximum ratio of the box heights of a new track and a lost person."""

VELOCITY_MEMORY_S = 0.5
"""Time over which a velocity is averaged: a walking body sways with each step, and so does its box."""


@dataclass(slots=True)
class Person:
    """A person with one or more track ids in turn; ``track_id`` is the newest, ``number`` is unique.

    A model of several classes finds other objects too: they are meant wherever persons are named. Lengths are
    in image heights, velocities in image heights per second.
    """

    number: int
    track_id: int
    class_id: int
    x: float
    y: float
    height: float
    seen_s: float
    velocity_x: float = 0.0
    velocity_y: float = 0.0

    def move(self, x: float, y: float, height: float, time_s: float) -> None:
        """Set the position where the person is seen now, and average the velocity."""
        elapsed_s = time_s - self.seen_s
        if elapsed_s > 0:
            share = 1 - math.exp(-elapsed_s / VELOCITY_MEMORY_S)
            self.velocity_x += share * ((x - self.x) / elapsed_s - self.velocity_x)
            self.velocity_y += share * ((y - self.y) / elapsed_s - self.velocity_y)
        self.x, self.y, self.height, self.seen_s = x, y, height, time_s

    def expected(self, time_s: float) -> tuple[float, float]:
        """Return where a person should be who has walked on since last seen."""
        elapsed_s = time_s - self.seen_s
        return self.x + self.velocity_x * elapsed_s, self.y + self.velocity_y * elapsed_s


class Persons:
    """Finds the person of each track, also when a person's track id changes.

    A new track id continues the lost person of its class expected where the track starts: nearest pairs
    first, each person once. A track id that returns continues its person, unless another id has continued
    that person. After ``memory_s`` a person is forgotten. A person who has walked out of the image, ``width``
    image heights wide, is not continued.
    """

    def __init__(self, memory_s: float, width: float) -> None:
        self._memory_s, self._width = memory_s, width
        self._by_id: dict[int, Person] = {}
        self._last_number = 0

    def forget(self, time_s: float) -> list[Person]:
        """Remove and return the persons who were not seen for longer than ``memory_s``."""
        gone = [person for person in self._by_id.values() if time_s - person.seen_s > self._memory_s]
        for person in gone:
            del self._by_id[person.track_id]
        return gone

    def unseen(self, time_s: float) -> list[Person]:
        """Return the persons who are not seen at this time and not forgotten."""
        return [person for person in self._by_id.values() if person.seen_s < time_s]

    def numbered(self, numbers: Collection[int]) -> list[Person]:
        """Return the persons with these numbers."""
        return [person for person in self._by_id.values() if person.number in numbers]

    def identify(
        self, ids: list[int], class_ids: list[int], places: Float64Array, time_s: float
    ) -> list[Person]:
        """Return the person of each track; ``places``, (N, 3), are x, y and box height.

        Persons are not moved; a new person is placed at the track.
        """
        present = set(ids)
        lost = [person for track_id, person in self._by_id.items() if track_id not in present]
        new = [row for row, track_id in enumerate(ids) if track_id not in self._by_id]
        pairs = [
            (distance, row, person)
            for row in new
            for person in lost
            if person.class_id == class_ids[row]
            and (distance := self._distance(person, places[row].tolist(), time_s)) is not None
        ]
        for _, row, person in sorted(pairs, key=lambda pair: pair[:2]):
            if ids[row] not in self._by_id and person.track_id not in present:
                del self._by_id[person.track_id]
                person.track_id = ids[row]
                self._by_id[ids[row]] = person
        for row, track_id in enumerate(ids):
            if track_id not in self._by_id:
                self._last_number += 1
                x, y, height = places[row].tolist()
                self._by_id[track_id] = Person(
                    self._last_number, track_id, class_ids[row], x, y, height, time_s
                )
        return [self._by_id[track_id] for track_id in ids]

    def _distance(self, person: Person, place: list[float], time_s: float) -> float | None:
        """Return the distance of a track from a lost person's expected position, box heights, or None."""
        x, y, height = place
        expected_x, expected_y = person.expected(time_s)
        stayed = 0 < expected_x < self._width and expected_y < 1 + person.height / 2
        if not stayed or max(height, person.height) > LARGEST_GROWTH * min(height, person.height):
            return None
        distance = math.hypot(x - expected_x, y - expected_y) / person.height
        return distance if distance <= REACH else None
