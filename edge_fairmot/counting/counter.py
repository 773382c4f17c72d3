"""The counter: tracks in, events and totals out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import numpy as np

from edge_fairmot.counting.shapes import CountingConfig, Line, Zone
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.types import CountingEvent, Counts, Float64Array, LineCounts, Tracks, ZoneCounts

# FOLDED crossing.py: Who crosses a line.

Direction = Literal["in", "out"]
Place = tuple[float, float]


@dataclass(slots=True)
class _Walk:
    """What is remembered of somebody: since when they were last clear of the line.

    ``side`` is -1 left of it and 1 right, 0 while it is not known; ``passes`` counts how often they went
    through it to the right since, less how often to the left.
    """

    place: Place
    side: int
    passes: int


class LineCrossing:
    """Watches one line.

    A crossing is the way from clear of the line on one side to clear of it on the other, through it and not
    around its ends. Reversed, it is a crossing in the other direction; a walk that does not meet the line is
    none, however near it comes.

    Parameters
    ----------
    start, end : (float, float)
        In any unit that is the same across and down.
    """

    def __init__(self, start: Place, end: Place) -> None:
        self._start = start
        length = math.hypot(end[0] - start[0], end[1] - start[1])
        self._length = length
        self._along = (end[0] - start[0]) / length, (end[1] - start[1]) / length
        self._walks: dict[int, _Walk] = {}

    def step(self, visitor: int, place: Place, margin: float) -> Direction | None:
        """Follow a visitor to the next place; tell if that completes a crossing.

        Parameters
        ----------
        visitor : int
        place : (float, float)
        margin : float
            How far from the line is clear of it.
        """
        away, _ = self._coordinates(place)
        side = 0 if abs(away) <= margin else 1 if away > 0 else -1
        walk = self._walks.get(visitor)
        if walk is None:
            self._walks[visitor] = _Walk(place, side, 0)
            return None
        walk.passes += self._pass(walk.place, place)
        walk.place = place
        if side == 0:
            return None
        crossed = walk.side == -side and walk.passes == side
        walk.side, walk.passes = side, 0
        if not crossed:
            return None
        return "in" if side > 0 else "out"

    def forget(self, visitor: int) -> None:
        """Forget a visitor."""
        self._walks.pop(visitor, None)

    def _coordinates(self, place: Place) -> tuple[float, float]:
        """How far to the right of the line, and how far along it, a place is. In a picture y goes down."""
        x, y = place[0] - self._start[0], place[1] - self._start[1]
        return self._along[0] * y - self._along[1] * x, self._along[0] * x + self._along[1] * y

    def _pass(self, before: Place, after: Place) -> int:
        """1 or -1 where a step goes through the line to its right or left, else 0. On it is right of it."""
        (away, along), (next_away, next_along) = self._coordinates(before), self._coordinates(after)
        if (away >= 0) == (next_away >= 0):
            return 0
        at = along + (next_along - along) * away / (away - next_away)
        if not 0 <= at <= self._length:
            return 0
        return 1 if next_away >= 0 else -1


# FOLDED staying.py: Who is in a zone, and since when.

Place = tuple[float, float]


class ZoneStay:
    """Watches one zone. Whoever is in it has entered; whoever is clear of it has left.

    Parameters
    ----------
    polygon : sequence of (float, float)
        In any unit that is the same across and down.
    before : ZoneStay, optional
        The same zone in another place: whoever is in it is in this one, until clear of it.
    """

    def __init__(self, polygon: Sequence[Place], before: ZoneStay | None = None) -> None:
        self._corners = np.array(polygon, np.float64)
        self._sides = np.roll(self._corners, -1, axis=0) - self._corners
        self._entered_s: dict[int, float] = {} if before is None else dict(before._entered_s)

    @property
    def occupancy(self) -> int:
        """How many are in it."""
        return len(self._entered_s)

    def step(
        self, visitor: int, place: Place, margin: float, time_s: float
    ) -> Literal["enter"] | float | None:
        """Follow a visitor to the next place.

        Parameters
        ----------
        visitor : int
        place : (float, float)
        margin : float
            How far outside the zone is clear of it.
        time_s : float

        Returns
        -------
        "enter", float or None
            The time that the stay took, seconds, if that ended it.
        """
        inside = self._contains(place)
        if visitor not in self._entered_s:
            if not inside:
                return None
            self._entered_s[visitor] = time_s
            return "enter"
        if inside or self._distance(place) <= margin:
            return None
        return time_s - self._entered_s.pop(visitor)

    def forget(self, visitor: int, seen_s: float) -> float | None:
        """End the stay of a visitor who was last seen at some time; gives what it took, if there was one."""
        entered_s = self._entered_s.pop(visitor, None)
        return None if entered_s is None else seen_s - entered_s

    def _contains(self, place: Place) -> bool:
        """Whether a ray to the right crosses the outline an odd number of times."""
        x, y = place
        start, end = self._corners, self._corners + self._sides
        spans = (start[:, 1] > y) != (end[:, 1] > y)
        # A horizontal side spans nothing: what it is divided by does not matter.
        rise = np.where(spans, self._sides[:, 1], 1.0)
        at = start[:, 0] + (y - start[:, 1]) / rise * self._sides[:, 0]
        return int((spans & (x < at)).sum()) % 2 == 1

    def _distance(self, place: Place) -> float:
        """To the nearest point of the outline."""
        away = np.array(place) - self._corners
        length_squared = np.maximum((self._sides**2).sum(axis=1), 1e-18)
        share = np.clip((away * self._sides).sum(axis=1) / length_squared, 0, 1)
        return float(np.hypot(*(away - share[:, None] * self._sides).T).min())


# FOLDED visitors.py: Who is who across short losses of identity.

REACH = 0.75
"""How far from where somebody should be by now a new identity may appear and be the same one: box heights."""

LARGEST_GROWTH = 1.4
"""Nobody's box grows or shrinks by more than this factor in the time that is bridged."""

PACE_MEMORY_S = 0.5
"""Over which a pace is averaged: a few steps of a walking body sway, and so does the box."""


@dataclass(slots=True)
class Visitor:
    """Somebody, under one track id after the other perhaps.

    Attributes
    ----------
    number : int
        From 1; never given twice.
    track_id : int
        The newest.
    x, y : float
        Where they were last, picture heights.
    height : float
        Of their box, picture heights.
    seen_s : float
        When.
    pace_x, pace_y : float
        Picture heights a second.
    """

    number: int
    track_id: int
    x: float
    y: float
    height: float
    seen_s: float
    pace_x: float = 0.0
    pace_y: float = 0.0

    def move(self, x: float, y: float, height: float, time_s: float) -> None:
        """Go to where they are seen now."""
        elapsed_s = time_s - self.seen_s
        if elapsed_s > 0:
            share = 1 - math.exp(-elapsed_s / PACE_MEMORY_S)
            self.pace_x += share * ((x - self.x) / elapsed_s - self.pace_x)
            self.pace_y += share * ((y - self.y) / elapsed_s - self.pace_y)
        self.x, self.y, self.height, self.seen_s = x, y, height, time_s


class VisitorBook:
    """Knows visitors by the ids of their tracks.

    An id that is new goes to the visitor who was lost where it appears, if there is one: nearest first, each
    visitor once. An id that comes back keeps its visitor, unless another id has it by then.

    Parameters
    ----------
    memory_s : float
        Visitors not seen for longer are forgotten.
    width : float
        Of the picture, in its heights. Whoever was walking out of it is not waited for.
    """

    def __init__(self, memory_s: float, width: float) -> None:
        self._memory_s, self._width = memory_s, width
        self._visitors: dict[int, Visitor] = {}
        self._greeted = 0

    def forget(self, time_s: float) -> list[Visitor]:
        """Give, and forget, those who have been away for too long."""
        gone = [visitor for visitor in self._visitors.values() if time_s - visitor.seen_s > self._memory_s]
        for visitor in gone:
            del self._visitors[visitor.track_id]
        return gone

    def greet(self, ids: list[int], places: Float64Array, time_s: float) -> list[Visitor]:
        """Find the visitor of each track.

        Parameters
        ----------
        ids : list of int
        places : float64 (N, 3)
            x, y and box height, picture heights.
        time_s : float

        Returns
        -------
        list of Visitor
            As they were before, to be moved by the caller; new ones are at their first place.
        """
        present = set(ids)
        lost = [visitor for track_id, visitor in self._visitors.items() if track_id not in present]
        new = [row for row, track_id in enumerate(ids) if track_id not in self._visitors]
        pairs = [
            (distance, row, visitor)
            for row in new
            for visitor in lost
            if (distance := self._distance(visitor, places[row].tolist(), time_s)) is not None
        ]
        for _, row, visitor in sorted(pairs, key=lambda pair: pair[:2]):
            if ids[row] not in self._visitors and visitor.track_id not in present:
                del self._visitors[visitor.track_id]
                visitor.track_id = ids[row]
                self._visitors[ids[row]] = visitor
        return [self._known(track_id, places[row].tolist(), time_s) for row, track_id in enumerate(ids)]

    def _known(self, track_id: int, place: list[float], time_s: float) -> Visitor:
        if track_id not in self._visitors:
            self._greeted += 1
            x, y, height = place
            self._visitors[track_id] = Visitor(self._greeted, track_id, x, y, height, time_s)
        return self._visitors[track_id]

    def _distance(self, visitor: Visitor, place: list[float], time_s: float) -> float | None:
        """Box heights from where a lost visitor would be by now; None where it is somebody else."""
        x, y, height = place
        elapsed_s = time_s - visitor.seen_s
        expected_x, expected_y = (
            visitor.x + visitor.pace_x * elapsed_s,
            visitor.y + visitor.pace_y * elapsed_s,
        )
        stayed = 0 < expected_x < self._width and expected_y < 1 + visitor.height / 2
        if not stayed or max(height, visitor.height) > LARGEST_GROWTH * min(height, visitor.height):
            return None
        distance = math.hypot(x - expected_x, y - expected_y) / visitor.height
        return distance if distance <= REACH else None


@dataclass(slots=True)
class _LineWatch:
    crossing: LineCrossing
    counts: dict[Direction, int]


@dataclass(slots=True)
class _ZoneWatch:
    stay: ZoneStay
    entries: int = 0
    stays: int = 0
    dwell_s: float = 0.0
    longest_s: float = 0.0

    def leave(self, dwell_s: float) -> None:
        self.stays += 1
        self.dwell_s += dwell_s
        self.longest_s = max(self.longest_s, dwell_s)


class Counter:
    """Counts people over lines and in zones.

    Parameters
    ----------
    config : CountingConfig
    frame_size : (int, int)
        Width and height of the pictures that the tracks are of, pixels; their shape is that of the room in
        which distances are measured.

    Raises
    ------
    InvalidInputError
        If the size is not positive.

    Examples
    --------
    >>> from edge_fairmot.counting import Counter, CountingConfig, parse_line
    >>> counter = Counter(CountingConfig(lines=(parse_line("door:0,0.5,1,0.5"),)), (1280, 720))
    >>> counter.counts.lines["door"].inwards
    0
    """

    def __init__(self, config: CountingConfig, frame_size: tuple[int, int]) -> None:
        if min(frame_size) < 1:
            raise InvalidInputError(f"frame_size must be positive, not {frame_size}")
        self._frame_size = frame_size
        # Distances are in picture heights, so that they are the same across and down.
        self._aspect = frame_size[0] / frame_size[1]
        self._visitors = VisitorBook(config.memory_s, self._aspect)
        self._lines: dict[str, _LineWatch] = {}
        self._zones: dict[str, _ZoneWatch] = {}
        self._time_s = -float("inf")
        self.config = self._drawn = config
        self._take_over()

    def redraw(self, lines: Sequence[Line], zones: Sequence[Zone]) -> None:
        """Change what is counted while counting goes on; may be called from another thread.

        The next update goes by it, and :attr:`config` and the totals change there. What keeps its name keeps
        its totals, and a zone those who are in it: whoever the moved zone leaves outside has left it.

        Parameters
        ----------
        lines : sequence of Line
        zones : sequence of Zone

        Raises
        ------
        InvalidInputError
            If two of a kind have one name.
        """
        self._drawn = replace(self._drawn, lines=tuple(lines), zones=tuple(zones))

    @property
    def counts(self) -> Counts:
        """Totals up to now, as a snapshot that later updates do not change."""
        lines, zones = {}, {}
        for line in self.config.lines:
            counted = self._lines[line.name].counts
            lines[line.name] = LineCounts(line.name, line.start, line.end, counted["in"], counted["out"])
        for zone in self.config.zones:
            watch = self._zones[zone.name]
            zones[zone.name] = ZoneCounts(
                zone.name,
                zone.polygon,
                watch.stay.occupancy,
                watch.entries,
                watch.stays,
                watch.dwell_s / watch.stays if watch.stays else 0.0,
                watch.longest_s,
            )
        return Counts(MappingProxyType(lines), MappingProxyType(zones))

    def update(
        self, tracks: Tracks, time_s: float, frame_size: tuple[int, int] | None = None
    ) -> tuple[CountingEvent, ...]:
        """Take the tracks of the next frame.

        Parameters
        ----------
        tracks : Tracks
            Source pixels.
        time_s : float
            Of the frame, later than the one before.
        frame_size : (int, int), optional
            Of the frame, where a source may change it in mid-stream; as before when not given.

        Returns
        -------
        tuple of CountingEvent
            In the order of the lines, then the zones.

        Raises
        ------
        InvalidInputError
            If time does not go forward.
        """
        if not self._time_s < time_s < float("inf"):
            raise InvalidInputError(
                f"time_s must be finite and later than {self._time_s}, not {time_s}: "
                "make another counter for another source"
            )
        self._time_s = time_s
        self._frame_size = frame_size or self._frame_size
        if self._drawn is not self.config:
            self._take_over()
        events = [event for visitor in self._visitors.forget(time_s) for event in self._farewell(visitor)]
        places = self._places(tracks)
        visitors = self._visitors.greet(tracks.track_id.tolist(), places, time_s)
        for visitor, (x, y, height) in zip(visitors, places.tolist(), strict=True):
            visitor.move(x, y, height, time_s)
            events += self._cross(visitor)
            events += self._stay(visitor)
        return tuple(events)

    def _take_over(self) -> None:
        """Go by what was drawn last. Whoever reads totals meanwhile has the old ones or the new ones."""
        before, drawn = self.config, self._drawn
        self._lines = {line.name: self._line_watch(line, line in before.lines) for line in drawn.lines}
        self._zones = {zone.name: self._zone_watch(zone, zone in before.zones) for zone in drawn.zones}
        self.config = drawn

    def _line_watch(self, line: Line, same: bool) -> _LineWatch:
        known = self._lines.get(line.name)
        if known is not None and same:
            return known
        (start_x, start_y), (end_x, end_y) = line.start, line.end
        crossing = LineCrossing((start_x * self._aspect, start_y), (end_x * self._aspect, end_y))
        return _LineWatch(crossing, {"in": 0, "out": 0} if known is None else known.counts)

    def _zone_watch(self, zone: Zone, same: bool) -> _ZoneWatch:
        known = self._zones.get(zone.name)
        if known is not None and same:
            return known
        corners = [(x * self._aspect, y) for x, y in zone.polygon]
        if known is None:
            return _ZoneWatch(ZoneStay(corners))
        return replace(known, stay=ZoneStay(corners, known.stay))

    def _places(self, tracks: Tracks) -> Float64Array:
        """x, y and box height, float64 (N, 3), picture heights."""
        width_px, height_px = self._frame_size
        scale = np.tile([self._aspect / width_px, 1 / height_px], 2)
        left, top, right, bottom = (tracks.xyxy.astype(np.float64) * scale).T
        y = bottom if self.config.anchor == "feet" else (top + bottom) / 2
        return np.stack([(left + right) / 2, y, bottom - top], axis=1)

    def _cross(self, visitor: Visitor) -> list[CountingEvent]:
        margin = self.config.hysteresis * visitor.height
        events = []
        for name, watch in self._lines.items():
            direction = watch.crossing.step(visitor.number, (visitor.x, visitor.y), margin)
            if direction is not None:
                watch.counts[direction] += 1
                events.append(CountingEvent(direction, name, visitor.track_id, visitor.seen_s))
        return events

    def _stay(self, visitor: Visitor) -> list[CountingEvent]:
        margin = self.config.hysteresis * visitor.height
        events = []
        for name, watch in self._zones.items():
            change = watch.stay.step(visitor.number, (visitor.x, visitor.y), margin, visitor.seen_s)
            if change == "enter":
                watch.entries += 1
                events.append(CountingEvent("enter", name, visitor.track_id, visitor.seen_s))
            elif change is not None:
                watch.leave(change)
                events.append(CountingEvent("leave", name, visitor.track_id, visitor.seen_s, change))
        return events

    def _farewell(self, visitor: Visitor) -> list[CountingEvent]:
        for line in self._lines.values():
            line.crossing.forget(visitor.number)
        events = []
        for name, zone in self._zones.items():
            dwell_s = zone.stay.forget(visitor.number, visitor.seen_s)
            if dwell_s is not None:
                zone.leave(dwell_s)
                events.append(CountingEvent("leave", name, visitor.track_id, visitor.seen_s, dwell_s))
        return events
