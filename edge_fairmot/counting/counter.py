"""The counter: line crossings, zone occupancy and dwell times of tracked people."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from edge_fairmot.classes import class_ids
from edge_fairmot.counting.crossing import CountedClasses, LineCrossing, ZoneOccupancy
from edge_fairmot.counting.persons import Person, Persons
from edge_fairmot.counting.shapes import CountingConfig, Line, Zone
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.types import CountingEvent, Counts, Float64Array, Point, Totals, Tracks

EDGE = 1e-6
"""Boxes are clipped this far inside the image, so that a zone up to the edge contains a box at the edge."""

LATEST_TIME_S = 1e12
"""Larger times are not in seconds: milliseconds since 1970 are larger."""

FIRST_STEPS = 5
"""If each of the first time steps exceeds ``memory_s``, the unit is wrong: no person would be followed."""

MOST_LEFT_OUT = 64
"""Shapes that are left out and keep their counts, of each kind; those left out first go first."""


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
    earlier : mapping, optional
        Totals of earlier runs, which this one continues: by kind (``line`` or ``zone``) and id of a shape,
        and by the name of the class.

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
        earlier: Mapping[tuple[str, str], Mapping[str, Totals]] | None = None,
    ) -> None:
        if min(frame_size) < 1:
            raise InvalidInputError(f"frame_size must be positive, not {frame_size}")
        self._frame_size = frame_size
        self._aspect = frame_size[0] / frame_size[1]  # unit of length: the image's height, across and down
        self._persons = Persons(config.memory_s, self._aspect)
        self._lines: dict[str, LineCrossing] = {}
        self._zones: dict[str, ZoneOccupancy] = {}
        self._class_names, self._tracked = tuple(class_names), tuple(tracked)
        self._earlier = dict(earlier or {})
        self._time_s = -math.inf
        self._first_steps_s = [0.0] * FIRST_STEPS if live else []
        self.config = self._drawn = config
        self._apply_drawn()

    def redraw(self, lines: Sequence[Line], zones: Sequence[Zone]) -> None:
        """Replace the lines and zones while counting goes on; may be called from another thread.

        They apply from the next update on; :attr:`config` and the counts change then. Counts belong to a
        shape's id, also when it is left out for a while. Those of a line that is turned around change sides.
        A zone keeps the persons inside: those outside its new polygon leave. The stays in a zone that is left
        out end; who is inside when it is drawn again enters again.

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
        lines, zones, now_s = self._lines, self._zones, self._time_s
        return Counts(
            MappingProxyType({line.name: lines[line.key].counts(line) for line in self.config.lines}),
            MappingProxyType({zone.name: zones[zone.key].counts(zone, now_s) for zone in self.config.zones}),
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
            First those of zones left out and of persons who were lost, then person by person: the lines in
            order, then the zones.

        Raises
        ------
        InvalidInputError
            If time does not go forward or is not in seconds, or a box is not finite or has no positive width
            and height.
        """
        boxes = self._boxes(tracks, frame_size or self._frame_size)
        self._check_time(time_s)
        self._time_s, self._frame_size = time_s, frame_size or self._frame_size
        events = self._apply_drawn() if self._drawn is not self.config else []
        positions, heights = self._anchors(boxes), boxes[:, 3] - boxes[:, 1]
        clipped = np.clip(boxes, EDGE, np.tile([self._aspect - EDGE, 1 - EDGE], 2))
        in_image = (clipped[:, 2:] > clipped[:, :2]).all(axis=1, keepdims=True)
        in_zones = np.where(in_image, self._anchors(clipped), positions)

        events += [event for person in self._persons.forget(time_s) for event in self._end(person)]
        places = np.column_stack((positions, heights))
        ids, classes = tracks.track_id.tolist(), tracks.class_id.tolist()
        persons = self._persons.identify(ids, classes, places, time_s)
        for person, (x, y, height), in_zone in zip(persons, places.tolist(), in_zones.tolist(), strict=True):
            person.move(x, y, height, time_s)
            events += self._count(person, (in_zone[0], in_zone[1]))
        self._expect(time_s)
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

    def _apply_drawn(self) -> list[CountingEvent]:
        """Count by the shapes drawn last; return the leave events of zones that are left out.

        Those that were left out are kept for a while, for an undo: last, those that are in use.
        """
        drawn, before = self._drawn, self.config
        events = []
        keys = {zone.key for zone in drawn.zones}
        for gone in (zone for zone in before.zones if zone.key not in keys):
            persons = self._zones[gone.key].persons
            events += [
                event for person in self._persons.numbered(persons) for event in self._leave(person, (gone,))
            ]
        for line in drawn.lines:
            fresh = LineCrossing(self._totals("line", line.key))
            crossing = self._lines[line.key] = self._lines.pop(line.key, fresh)
            crossing.place(self._scaled(line.start), self._scaled(line.end))
            crossing.classes = self._classes_of(line)
        for zone in drawn.zones:
            empty = ZoneOccupancy(self._totals("zone", zone.key))
            occupancy = self._zones[zone.key] = self._zones.pop(zone.key, empty)
            occupancy.place([self._scaled(corner) for corner in zone.polygon])
            occupancy.classes = self._classes_of(zone)
        left_out = [key for key in self._lines if key not in {line.key for line in drawn.lines}]
        for key in left_out:
            self._lines[key].forget_all()
        for key in left_out[:-MOST_LEFT_OUT]:
            del self._lines[key]
        for key in [key for key in self._zones if key not in keys][:-MOST_LEFT_OUT]:
            del self._zones[key]
        self.config = drawn
        return events

    def _totals(self, kind: str, key: str) -> dict[int, Totals]:
        """Return a shape's totals of earlier runs by class id; classes the model lacks follow its own."""
        by_name = self._earlier.get((kind, key), {})
        names = list(dict.fromkeys((*self._class_names, *by_name)))
        return {names.index(name): totals for name, totals in by_name.items()}

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
        for line in self.config.lines:
            crossing = self._lines[line.key]
            direction = crossing.update(person.number, (person.x, person.y), margin, class_id)
            if direction is not None:
                events.append(
                    CountingEvent(direction, line.name, track_id, time_s, class_id=class_id, shape_id=line.id)
                )
        for zone in self.config.zones:
            change = self._zones[zone.key].update(person.number, in_zone, margin, time_s, class_id)
            if change == "enter":
                events.append(
                    CountingEvent("enter", zone.name, track_id, time_s, class_id=class_id, shape_id=zone.id)
                )
            elif change is not None:
                events.append(CountingEvent("leave", zone.name, track_id, *change, class_id, zone.id))
        return events

    def _expect(self, time_s: float) -> None:
        """Move the persons who are not seen, for zones: who should have walked out is not inside."""
        for person in self._persons.unseen(time_s):
            x, y = person.expected(time_s)
            if 0 < x < self._aspect and y - person.height < 1:
                y = min(y, 1 - EDGE)
            for zone in self.config.zones:
                self._zones[zone.key].expect(person.number, (x, y))

    def _end(self, person: Person) -> list[CountingEvent]:
        """Return the leave events of a lost person, at the time when the person was last seen."""
        for line in self._lines.values():
            line.forget(person.number)
        return self._leave(person, self.config.zones)

    def _leave(self, person: Person, zones: Sequence[Zone]) -> list[CountingEvent]:
        """Return the leave events of a person, from those of the zones where the person is inside."""
        return [
            CountingEvent("leave", zone.name, person.track_id, *stay, person.class_id, zone.id)
            for zone in zones
            if (stay := self._zones[zone.key].leave(person.number)) is not None
        ]
