"""The counter: tracks in, events and totals out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from edge_fairmot.counting.config import CountingConfig, Line, Zone
from edge_fairmot.counting.crossing import Direction, LineCrossing
from edge_fairmot.counting.staying import ZoneStay
from edge_fairmot.counting.visitors import Visitor, VisitorBook
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.types import Float64Array, Tracks


@dataclass(frozen=True, slots=True)
class Event:
    """Something that was counted.

    Attributes
    ----------
    kind : str
        ``in`` or ``out`` over a line, ``enter`` or ``leave`` for a zone.
    name : str
        Of the line or the zone.
    track_id : int
        Of whom it was; for a visitor under several ids, the newest.
    time_s : float
        When, by the source's clock. Who was not seen leaving left when last seen.
    dwell_s : float or None
        For ``leave``, how long the stay took.
    """

    kind: Literal["in", "out", "enter", "leave"]
    name: str
    track_id: int
    time_s: float
    dwell_s: float | None = None


@dataclass(frozen=True, slots=True)
class LineTotals:
    """Crossings of one line, inwards and outwards."""

    inwards: int = 0
    outwards: int = 0


@dataclass(frozen=True, slots=True)
class ZoneTotals:
    """What is known about one zone.

    Attributes
    ----------
    occupancy : int
        How many are in it now.
    entries : int
    stays : int
        How many have left again.
    mean_dwell_s, longest_dwell_s : float
        Over those; 0 where nobody has left.
    """

    occupancy: int = 0
    entries: int = 0
    stays: int = 0
    mean_dwell_s: float = 0.0
    longest_dwell_s: float = 0.0


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
    >>> counter.lines
    {'door': LineTotals(inwards=0, outwards=0)}
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
    def lines(self) -> dict[str, LineTotals]:
        """Totals of the lines, by name."""
        return {
            name: LineTotals(watch.counts["in"], watch.counts["out"]) for name, watch in self._lines.items()
        }

    @property
    def zones(self) -> dict[str, ZoneTotals]:
        """Totals of the zones, by name."""
        return {
            name: ZoneTotals(
                watch.stay.occupancy,
                watch.entries,
                watch.stays,
                watch.dwell_s / watch.stays if watch.stays else 0.0,
                watch.longest_s,
            )
            for name, watch in self._zones.items()
        }

    def update(self, tracks: Tracks, time_s: float, frame_size: tuple[int, int] | None = None) -> list[Event]:
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
        list of Event
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
        return events

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

    def _cross(self, visitor: Visitor) -> list[Event]:
        margin = self.config.hysteresis * visitor.height
        events = []
        for name, watch in self._lines.items():
            direction = watch.crossing.step(visitor.number, (visitor.x, visitor.y), margin)
            if direction is not None:
                watch.counts[direction] += 1
                events.append(Event(direction, name, visitor.track_id, visitor.seen_s))
        return events

    def _stay(self, visitor: Visitor) -> list[Event]:
        margin = self.config.hysteresis * visitor.height
        events = []
        for name, watch in self._zones.items():
            change = watch.stay.step(visitor.number, (visitor.x, visitor.y), margin, visitor.seen_s)
            if change == "enter":
                watch.entries += 1
                events.append(Event("enter", name, visitor.track_id, visitor.seen_s))
            elif change is not None:
                watch.leave(change)
                events.append(Event("leave", name, visitor.track_id, visitor.seen_s, change))
        return events

    def _farewell(self, visitor: Visitor) -> list[Event]:
        for line in self._lines.values():
            line.crossing.forget(visitor.number)
        events = []
        for name, zone in self._zones.items():
            dwell_s = zone.stay.forget(visitor.number, visitor.seen_s)
            if dwell_s is not None:
                zone.leave(dwell_s)
                events.append(Event("leave", name, visitor.track_id, visitor.seen_s, dwell_s))
        return events
