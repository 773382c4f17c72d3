"""The counter: line crossings, zone occupancy and dwell times of tracked people."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

import numpy as np

from edge_fairmot.classes import class_ids
from edge_fairmot.counting.persons import Person, Persons
from edge_fairmot.counting.shapes import CountingConfig, Line, Zone
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.types import CountingEvent, Counts, Float64Array, LineCounts, Point, Tracks, ZoneCounts

EDGE = 1e-6
"""Boxes are clipped this far inside the image, so that a zone up to the edge contains a box at the edge."""

LATEST_TIME_S = 1e12
"""Larger times are not in seconds: milliseconds since 1970 are larger."""

_WAYS = ("in", "out")

FIRST_STEPS = 5
"""If each of the first time steps exceeds ``memory_s``, the unit is wrong: no person would be followed."""


class Counter:
    """Counts people who cross lines, and occupancy and dwell times of zones; also other objects, by class.

    Parameters
    ----------
    config : CountingConfig
    frame_size : (int, int)
        Width and height of the images, pixels.
    class_names : sequence of str
        Name of each class id. Of several classes, counts are also given by class.
    tracked : collection of str
        The classes that are tracked; all of them when empty.
    live : bool
        Times are those of a camera: long ones between frames are real, and no wrong unit.

    Raises
    ------
    InvalidInputError
        If the size is not positive, or a line or zone counts a class that is not tracked.

    Examples
    --------
    >>> from edge_fairmot.counting import Counter, CountingConfig, parse_line
    >>> counter = Counter(CountingConfig(lines=(parse_line("door:0,0.5,1,0.5"),)), (1280, 720))
    >>> counter.counts.lines["door"].inwards
    0
    """

    def __init__(
        self,
        config: CountingConfig,
        frame_size: tuple[int, int],
        class_names: Sequence[str] = ("person",),
        tracked: Collection[str] = (),
        *,
        live: bool = False,
    ) -> None:
        if min(frame_size) < 1:
            raise InvalidInputError(f"frame_size must be positive, not {frame_size}")
        self._frame_size = frame_size
        self._aspect = frame_size[0] / frame_size[1]  # unit of length: the image's height, across and down
        self._persons = Persons(config.memory_s, self._aspect)
        self._lines: dict[str, LineCrossing] = {}
        self._zones: dict[str, ZoneOccupancy] = {}
        self._class_names, self._tracked = tuple(class_names), tuple(tracked)
        self._time_s = -math.inf
        self._first_steps_s = [0.0] * FIRST_STEPS if live else []
        self.config = self._drawn = config
        self._apply_drawn()

    def redraw(self, lines: Sequence[Line], zones: Sequence[Zone]) -> None:
        """Replace the lines and zones while counting goes on; may be called from another thread.

        They apply from the next update on; :attr:`config` and the counts change then. A shape that keeps its
        name keeps its counts. A zone keeps the persons inside: those outside its new polygon leave.

        Parameters
        ----------
        lines : sequence of Line
        zones : sequence of Zone

        Raises
        ------
        InvalidInputError
            If two lines or two zones have one name, or one counts a class that is not tracked.
        """
        drawn = replace(self._drawn, lines=tuple(lines), zones=tuple(zones))
        shapes: tuple[Line | Zone, ...] = (*drawn.lines, *drawn.zones)
        for shape in shapes:
            self._classes_of(shape)
        self._drawn = drawn

    @property
    def counts(self) -> Counts:
        """Counts up to now, as a snapshot that later updates do not change."""
        lines, zones = self._lines, self._zones
        return Counts(
            MappingProxyType({line.name: lines[line.name].counts(line) for line in self.config.lines}),
            MappingProxyType({zone.name: zones[zone.name].counts(zone) for zone in self.config.zones}),
        )

    def update(
        self, tracks: Tracks, time_s: float, frame_size: tuple[int, int] | None = None
    ) -> tuple[CountingEvent, ...]:
        """Count the tracks of the next frame.

        A person's position is the anchor of the box. For lines the box may reach outside the image; for zones
        it is clipped to the image.

        Parameters
        ----------
        tracks : Tracks
            Source pixels.
        time_s : float
            The frame's time, seconds, later than that of the frame before.
        frame_size : (int, int), optional
            Width and height of the frame, for a source that may change them; the last size when not given.

        Returns
        -------
        tuple of CountingEvent
            First those of persons who were lost, then person by person: the lines in order, then the zones.

        Raises
        ------
        InvalidInputError
            If time does not go forward or is not in seconds, or a box is not finite or has no positive width
            and height.
        """
        boxes = self._boxes(tracks, frame_size or self._frame_size)
        self._check_time(time_s)
        self._time_s, self._frame_size = time_s, frame_size or self._frame_size
        if self._drawn is not self.config:
            self._apply_drawn()
        positions, heights = self._anchors(boxes), boxes[:, 3] - boxes[:, 1]
        clipped = np.clip(boxes, EDGE, np.tile([self._aspect - EDGE, 1 - EDGE], 2))
        in_image = (clipped[:, 2:] > clipped[:, :2]).all(axis=1, keepdims=True)
        in_zones = np.where(in_image, self._anchors(clipped), positions)

        events = [event for person in self._persons.forget(time_s) for event in self._end(person)]
        places = np.column_stack((positions, heights))
        ids, classes = tracks.track_id.tolist(), tracks.class_id.tolist()
        persons = self._persons.identify(ids, classes, places, time_s)
        for person, (x, y, height), in_zone in zip(persons, places.tolist(), in_zones.tolist(), strict=True):
            person.move(x, y, height, time_s)
            events += self._count(person, (in_zone[0], in_zone[1]))
        return tuple(events)

    def _check_time(self, time_s: float) -> None:
        if not self._time_s < time_s < LATEST_TIME_S:
            raise InvalidInputError(
                f"time_s must be finite seconds and later than {self._time_s}, not {time_s}: "
                "divide milliseconds by 1e3; make another counter for another source"
            )
        steps_s, memory_s = self._first_steps_s, self.config.memory_s
        if len(steps_s) == FIRST_STEPS or not math.isfinite(self._time_s):
            return
        steps_s.append(time_s - self._time_s)
        if len(steps_s) == FIRST_STEPS and min(steps_s) > memory_s:
            raise InvalidInputError(
                f"time_s went forward by {min(steps_s):g} or more from frame to frame, longer than memory_s, "
                f"{memory_s:g}, so every person would be counted again in every frame: "
                "give time_s in seconds (milliseconds divided by 1e3), or a larger memory_s"
            )

    def _boxes(self, tracks: Tracks, frame_size: tuple[int, int]) -> Float64Array:
        """Return the boxes, float64 (N, 4), xyxy, in image heights."""
        good = np.isfinite(tracks.xyxy).all(axis=1)
        good &= (tracks.xyxy[:, 2:] > tracks.xyxy[:, :2]).all(axis=1)
        if not good.all():
            row = int(np.argmin(good))
            raise InvalidInputError(
                "boxes must be finite and have a positive width and height, but that of track "
                f"{tracks.track_id[row]} is {tracks.xyxy[row].tolist()}: leave such tracks out"
            )
        scale = np.tile([self._aspect / frame_size[0], 1 / frame_size[1]], 2)
        boxes: Float64Array = tracks.xyxy.astype(np.float64) * scale
        return boxes

    def _anchors(self, boxes: Float64Array) -> Float64Array:
        """Return the persons' positions, float64 (N, 2)."""
        left, top, right, bottom = boxes.T
        y = bottom if self.config.anchor == "feet" else (top + bottom) / 2
        return np.column_stack(((left + right) / 2, y))

    def _apply_drawn(self) -> None:
        """Count by the shapes drawn last; shapes that keep their name keep their counts."""
        drawn = self._drawn
        lines, zones = self._lines, self._zones
        self._lines = {line.name: lines.get(line.name, LineCrossing()) for line in drawn.lines}
        self._zones = {zone.name: zones.get(zone.name, ZoneOccupancy()) for zone in drawn.zones}
        for line in drawn.lines:
            self._lines[line.name].place(self._scaled(line.start), self._scaled(line.end))
            self._lines[line.name].classes = self._classes_of(line)
        for zone in drawn.zones:
            self._zones[zone.name].place([self._scaled(corner) for corner in zone.polygon])
            self._zones[zone.name].classes = self._classes_of(zone)
        self.config = drawn

    def _classes_of(self, shape: Line | Zone) -> CountedClasses:
        """Return the classes that a line or zone counts; InvalidInputError if one is not tracked."""
        where = f"{type(shape).__name__.lower()} {shape.name!r} counts"
        chosen = shape.classes or self._tracked or self._class_names
        ids = class_ids(chosen, self._class_names, where, self._tracked)
        listed = {one: self._class_names[one] for one in ids} if len(self._class_names) > 1 else {}
        return CountedClasses(frozenset(ids) if shape.classes else None, listed)

    def _scaled(self, point: Point) -> Point:
        return point[0] * self._aspect, point[1]

    def _count(self, person: Person, in_zone: Point) -> list[CountingEvent]:
        """Return the events of a person who has moved; ``in_zone`` is the position for zones."""
        margin, time_s = self.config.hysteresis * person.height, person.seen_s
        track_id, class_id = person.track_id, person.class_id
        events = []
        for name, line in self._lines.items():
            direction = line.update(person.number, (person.x, person.y), margin, class_id)
            if direction is not None:
                events.append(CountingEvent(direction, name, track_id, time_s, class_id=class_id))
        for name, zone in self._zones.items():
            change = zone.update(person.number, in_zone, margin, time_s, class_id)
            if change == "enter":
                events.append(CountingEvent("enter", name, track_id, time_s, class_id=class_id))
            elif change is not None:
                events.append(CountingEvent("leave", name, track_id, time_s, change, class_id))
        return events

    def _end(self, person: Person) -> list[CountingEvent]:
        """Return the leave events of a lost person, at the time when the person was last seen."""
        for line in self._lines.values():
            line.forget(person.number)
        return [
            CountingEvent("leave", name, person.track_id, person.seen_s, dwell_s, person.class_id)
            for name, zone in self._zones.items()
            if (dwell_s := zone.leave(person.number, person.seen_s)) is not None
        ]


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

    def __init__(self) -> None:
        self.classes = CountedClasses()
        self._start = self._end = (0.0, 0.0)
        self._walks: dict[int, _Walk] = {}
        self._counts: dict[tuple[int, str], int] = defaultdict(int)  # by class and direction

    def place(self, start: Point, end: Point) -> None:
        """Set the line's ends. A line that moves keeps its counts and forgets where persons were."""
        if (start, end) != (self._start, self._end):
            self._start, self._end, self._length = start, end, math.dist(start, end)
            self._along = (end[0] - start[0]) / self._length, (end[1] - start[1]) / self._length
            self._walks.clear()

    def counts(self, line: Line) -> LineCounts:
        """Return the counts, with the name and the ends of the line."""

        def of(class_ids: Collection[int]) -> LineCounts:
            inwards, outwards = (sum(self._counts.get((one, way), 0) for one in class_ids) for way in _WAYS)
            return LineCounts(line.name, line.start, line.end, inwards, outwards)

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


class ZoneOccupancy:
    """Follows the persons inside one zone. Points are in any unit, the same for x and y.

    A person enters at the first point inside, and leaves at the first point clear of the zone.
    """

    def __init__(self) -> None:
        self.classes = CountedClasses()
        self._entered: dict[int, tuple[int, float]] = {}  # class and time of each person inside
        self._stays: dict[int, _Stays] = defaultdict(_Stays)  # by class

    def place(self, polygon: Sequence[Point]) -> None:
        """Set the zone's corners. A zone that moves keeps its counts and the persons inside."""
        self._corners = np.array(polygon, np.float64)
        self._sides = np.roll(self._corners, -1, axis=0) - self._corners

    def counts(self, zone: Zone) -> ZoneCounts:
        """Return the counts, with the name and the corners of the zone."""

        def of(class_ids: Collection[int]) -> ZoneCounts:
            found = [self._stays[one] for one in class_ids if one in self._stays]
            entries, ended = sum(one.entries for one in found), sum(one.ended for one in found)
            mean_s = sum(one.dwell_s for one in found) / ended if ended else 0.0
            longest_s = max((one.longest_s for one in found), default=0.0)
            return ZoneCounts(zone.name, zone.polygon, entries - ended, entries, ended, mean_s, longest_s)

        by_class = {name: of((one,)) for one, name in self.classes.listed.items()}
        return replace(of(self._stays), by_class=MappingProxyType(by_class))

    def update(
        self, person: int, point: Point, margin: float, time_s: float, class_id: int = 0
    ) -> Literal["enter"] | float | None:
        """Move a person; return "enter", or the dwell time at leaving: farther away than ``margin``."""
        if class_id not in self.classes:
            return self.leave(person, time_s)
        inside = self._contains(point)
        if person not in self._entered:
            if not inside:
                return None
            self._entered[person] = class_id, time_s
            self._stays[class_id].entries += 1
            return "enter"
        if inside or self._distance(point) <= margin:
            return None
        return self.leave(person, time_s)

    def leave(self, person: int, time_s: float) -> float | None:
        """End a person's stay; return its dwell time, or None if the person was not inside."""
        if person not in self._entered:
            return None
        class_id, entered_s = self._entered.pop(person)
        dwell_s, stays = time_s - entered_s, self._stays[class_id]
        stays.ended += 1
        stays.dwell_s += dwell_s
        stays.longest_s = max(stays.longest_s, dwell_s)
        return dwell_s

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
