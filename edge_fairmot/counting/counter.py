"""The counter: tracks in, events and totals out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from edge_fairmot.counting.config import CountingConfig
from edge_fairmot.counting.crossing import LineCrossing
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
        self.config = config
        self._frame_size = frame_size
        # Distances are in picture heights, so that they are the same across and down.
        self._aspect = aspect = frame_size[0] / frame_size[1]
        self._visitors = VisitorBook(config.memory_s, aspect)
        self._crossings = {
            line.name: LineCrossing(
                (line.start[0] * aspect, line.start[1]), (line.end[0] * aspect, line.end[1])
            )
            for line in config.lines
        }
        self._stays = {
            zone.name: ZoneStay([(x * aspect, y) for x, y in zone.polygon]) for zone in config.zones
        }
        self._counts = {line.name: {"in": 0, "out": 0} for line in config.lines}
        self._entries = {zone.name: 0 for zone in config.zones}
        self._dwells = {zone.name: (0, 0.0, 0.0) for zone in config.zones}
        self._time_s = -float("inf")

    @property
    def lines(self) -> dict[str, LineTotals]:
        """Totals of the lines, by name."""
        return {name: LineTotals(counts["in"], counts["out"]) for name, counts in self._counts.items()}

    @property
    def zones(self) -> dict[str, ZoneTotals]:
        """Totals of the zones, by name."""
        return {
            name: ZoneTotals(
                self._stays[name].occupancy,
                self._entries[name],
                count,
                total_s / count if count else 0.0,
                longest_s,
            )
            for name, (count, total_s, longest_s) in self._dwells.items()
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
        events = [event for visitor in self._visitors.forget(time_s) for event in self._farewell(visitor)]
        places = self._places(tracks)
        visitors = self._visitors.greet(tracks.track_id.tolist(), places, time_s)
        for visitor, (x, y, height) in zip(visitors, places.tolist(), strict=True):
            visitor.move(x, y, height, time_s)
            events += self._cross(visitor)
            events += self._stay(visitor)
        return events

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
        for name, crossing in self._crossings.items():
            direction = crossing.step(visitor.number, (visitor.x, visitor.y), margin)
            if direction is not None:
                self._counts[name][direction] += 1
                events.append(Event(direction, name, visitor.track_id, visitor.seen_s))
        return events

    def _stay(self, visitor: Visitor) -> list[Event]:
        margin = self.config.hysteresis * visitor.height
        events = []
        for name, stay in self._stays.items():
            change = stay.step(visitor.number, (visitor.x, visitor.y), margin, visitor.seen_s)
            if change == "enter":
                self._entries[name] += 1
                events.append(Event("enter", name, visitor.track_id, visitor.seen_s))
            elif change is not None:
                events.append(self._leave(name, visitor, change))
        return events

    def _leave(self, name: str, visitor: Visitor, dwell_s: float) -> Event:
        count, total_s, longest_s = self._dwells[name]
        self._dwells[name] = count + 1, total_s + dwell_s, max(longest_s, dwell_s)
        return Event("leave", name, visitor.track_id, visitor.seen_s, dwell_s)

    def _farewell(self, visitor: Visitor) -> list[Event]:
        for crossing in self._crossings.values():
            crossing.forget(visitor.number)
        ended = ((name, stay.forget(visitor.number, visitor.seen_s)) for name, stay in self._stays.items())
        return [self._leave(name, visitor, dwell_s) for name, dwell_s in ended if dwell_s is not None]
