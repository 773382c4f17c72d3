"""One line and one zone: who passes through it, who is inside, and for how long."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

import numpy as np

from edge_fairmot.counting.shapes import Line, Zone
from edge_fairmot.types import LineCounts, Point, Totals, ZoneCounts

SEEN_S = 0.5
"""Who was missed for no longer counts as seen: a detector misses a person in some frames."""

BACK_S = 0.7
"""Who is back in a zone so soon has not left it: boxes of hidden feet jump. The leave event waits for it."""

_WAYS = ("in", "out")
_TURNED = {"in": "out", "out": "in"}


@dataclass(frozen=True, slots=True)
class CountedClasses:
    """Ids of the classes that a shape counts, None for all; and the names by which counts are listed."""

    ids: frozenset[int] | None = None
    listed: Mapping[int, str] = field(default_factory=dict)

    def __contains__(self, class_id: int) -> bool:
        return self.ids is None or class_id in self.ids


@dataclass(slots=True)
class _Walk:
    """A person's path since the person was last clear of the line.

    ``side`` is -1 left of the line, 1 right of it, 0 while unknown. ``passes`` is the number of steps through
    the line to its right, minus those to its left.
    """

    point: Point
    side: int
    passes: int


class LineCrossing:
    """Counts crossings of one line. Points are in any unit, the same for x and y.

    A crossing is a path through the line, not around its ends. It begins clear of the line on one side and
    ends clear of it on the other. The path back is a crossing in the other direction.
    """

    def __init__(self, earlier: Mapping[int, Totals] | None = None) -> None:
        self.classes = CountedClasses()
        self._start = self._end = (0.0, 0.0)
        self._walks: dict[int, _Walk] = {}
        self._counts: dict[tuple[int, str], int] = defaultdict(int)  # by class and direction
        for class_id, totals in (earlier or {}).items():
            self._counts[class_id, "in"], self._counts[class_id, "out"] = totals.inwards, totals.outwards

    def place(self, start: Point, end: Point) -> None:
        """Set the line's ends. A line that moves keeps its counts and forgets where persons were.

        Turned around, it has as ins what were outs.
        """
        if (start, end) != (self._start, self._end):
            if (end, start) == (self._start, self._end):
                turned = {(one, _TURNED[way]): count for (one, way), count in self._counts.items()}
                self._counts = defaultdict(int, turned)
            self._start, self._end, self._length = start, end, math.dist(start, end)
            self._along = (end[0] - start[0]) / self._length, (end[1] - start[1]) / self._length
            self._walks.clear()

    def forget_all(self) -> None:
        """Forget where persons were, because the line is left out for a while."""
        self._walks.clear()

    def counts(self, line: Line) -> LineCounts:
        """Return the counts, with the name and the ends of the line."""

        def of(class_ids: Collection[int]) -> LineCounts:
            inwards, outwards = (sum(self._counts.get((one, way), 0) for one in class_ids) for way in _WAYS)
            return LineCounts(line.name, line.start, line.end, inwards, outwards, id=line.id)

        by_class = {name: of((one,)) for one, name in self.classes.listed.items()}
        return replace(of({one for one, _ in self._counts}), by_class=MappingProxyType(by_class))

    def update(
        self, person: int, point: Point, margin: float, class_id: int = 0
    ) -> Literal["in", "out"] | None:
        """Move a person and return the direction of a crossing. Clear means farther away than ``margin``."""
        if class_id not in self.classes:
            self.forget(person)
            return None
        away, _ = self._coordinates(point)
        side = 0 if abs(away) <= margin else 1 if away > 0 else -1
        walk = self._walks.get(person)
        if walk is None:
            self._walks[person] = _Walk(point, side, 0)
            return None
        walk.passes += self._pass(walk.point, point)
        walk.point = point
        if side == 0:
            return None
        crossed = walk.side == -side and walk.passes == side
        walk.side, walk.passes = side, 0
        if not crossed:
            return None
        direction: Literal["in", "out"] = "in" if side > 0 else "out"
        self._counts[class_id, direction] += 1
        return direction

    def forget(self, person: int) -> None:
        """Forget a person."""
        self._walks.pop(person, None)

    def _coordinates(self, point: Point) -> tuple[float, float]:
        """Return the distances to the right of the line and along it. In an image y points down."""
        x, y = point[0] - self._start[0], point[1] - self._start[1]
        return self._along[0] * y - self._along[1] * x, self._along[0] * x + self._along[1] * y

    def _pass(self, before: Point, after: Point) -> int:
        """Return 1 for a step through the line to its right, -1 to its left, else 0. On the line is right."""
        (away, along), (next_away, next_along) = self._coordinates(before), self._coordinates(after)
        if (away >= 0) == (next_away >= 0):
            return 0
        at = along + (next_along - along) * away / (away - next_away)
        if not 0 <= at <= self._length:
            return 0
        return 1 if next_away >= 0 else -1


@dataclass(slots=True)
class _Stays:
    """Entries, stays that ended, and their sum and longest, seconds."""

    entries: int = 0
    ended: int = 0
    dwell_s: float = 0.0
    longest_s: float = 0.0


@dataclass(slots=True)
class _Stay:
    """A stay that has not ended.

    ``seen_s`` is when the person was seen last, ``inside_s`` inside. ``left_s`` is when the person went out,
    None while inside. ``is_expected`` is whether one who is not seen should be inside still.
    """

    class_id: int
    entered_s: float
    inside_s: float
    seen_s: float
    left_s: float | None = None
    is_expected: bool = True

    def is_in(self, class_ids: Collection[int]) -> bool:
        """Whether one of these classes is inside now, as far as is known; not outside within the margin."""
        return self.class_id in class_ids and self.left_s is None and self.is_expected


class ZoneOccupancy:
    """Follows the persons inside one zone. Points are in any unit, the same for x and y.

    A person enters at the first point inside. A stay ends when the person is clear of the zone and does not
    come back at once; it lasted until the first point outside.
    """

    def __init__(self, earlier: Mapping[int, Totals] | None = None) -> None:
        self.classes = CountedClasses()
        self._inside: dict[int, _Stay] = {}  # by person
        self._stays: dict[int, _Stays] = defaultdict(_Stays)  # by class
        for class_id, totals in (earlier or {}).items():
            self._stays[class_id] = _Stays(totals.entries, totals.stays, totals.dwell_s, totals.longest_s)

    def place(self, polygon: Sequence[Point]) -> None:
        """Set the zone's corners. A zone that moves keeps its counts and the persons inside."""
        self._corners = np.array(polygon, np.float64)
        self._sides = np.roll(self._corners, -1, axis=0) - self._corners

    @property
    def persons(self) -> list[int]:
        """Persons whose stays have not ended."""
        return list(self._inside)

    def counts(self, zone: Zone, time_s: float) -> ZoneCounts:
        """Return the counts at a time, with the name and the corners of the zone."""

        def of(class_ids: Collection[int]) -> ZoneCounts:
            found = [self._stays[one] for one in class_ids if one in self._stays]
            ages_s = [time_s - stay.seen_s for stay in self._inside.values() if stay.is_in(class_ids)]
            seen = sum(age_s <= SEEN_S for age_s in ages_s)
            entries, ended = sum(one.entries for one in found), sum(one.ended for one in found)
            mean_s = sum(one.dwell_s for one in found) / ended if ended else 0.0
            longest_s = max((one.longest_s for one in found), default=0.0)
            unseen = len(ages_s) - seen
            return ZoneCounts(
                zone.name, zone.polygon, seen, unseen, entries, ended, mean_s, longest_s, id=zone.id
            )

        by_class = {name: of((one,)) for one, name in self.classes.listed.items()}
        return replace(of(self._stays), by_class=MappingProxyType(by_class))

    def update(
        self, person: int, point: Point, margin: float, time_s: float, class_id: int = 0
    ) -> Literal["enter"] | tuple[float, float] | None:
        """Move a person; return "enter", or the end and length of a stay that has ended.

        Clear of the zone is farther away than ``margin``.
        """
        stay = self._inside.get(person)
        if stay is not None:
            stay.seen_s, stay.is_expected = time_s, True
        if class_id not in self.classes:
            return self.leave(person)
        is_inside = self._contains(point)
        if stay is None:
            if not is_inside:
                return None
            self._inside[person] = _Stay(class_id, time_s, time_s, time_s)
            self._stays[class_id].entries += 1
            return "enter"
        if is_inside:
            stay.inside_s, stay.left_s = time_s, None
            return None
        if stay.left_s is None:
            stay.left_s = time_s
        is_clear = time_s - stay.inside_s >= BACK_S and self._distance(point) > margin
        return self.leave(person) if is_clear else None

    def expect(self, person: int, point: Point) -> None:
        """Move a person who is not seen to the expected place."""
        if person in self._inside:
            self._inside[person].is_expected = self._contains(point)

    def leave(self, person: int) -> tuple[float, float] | None:
        """End a person's stay; return its end and length, seconds, or None if the person was not inside."""
        if person not in self._inside:
            return None
        stay = self._inside.pop(person)
        end_s = stay.seen_s if stay.left_s is None else stay.left_s
        dwell_s, stays = end_s - stay.entered_s, self._stays[stay.class_id]
        stays.ended += 1
        stays.dwell_s += dwell_s
        stays.longest_s = max(stays.longest_s, dwell_s)
        return end_s, dwell_s

    def _contains(self, point: Point) -> bool:
        """Whether a ray to the right crosses the outline an odd number of times."""
        x, y = point
        start, end = self._corners, self._corners + self._sides
        spans = (start[:, 1] > y) != (end[:, 1] > y)
        # A horizontal side spans nothing; its divisor does not matter.
        rise = np.where(spans, self._sides[:, 1], 1.0)
        at = start[:, 0] + (y - start[:, 1]) / rise * self._sides[:, 0]
        return int((spans & (x < at)).sum()) % 2 == 1

    def _distance(self, point: Point) -> float:
        """Distance to the nearest point of the outline."""
        away = np.array(point) - self._corners
        length_squared = np.maximum((self._sides**2).sum(axis=1), 1e-18)
        share = np.clip((away * self._sides).sum(axis=1) / length_squared, 0, 1)
        return float(np.hypot(*(away - share[:, None] * self._sides).T).min())
