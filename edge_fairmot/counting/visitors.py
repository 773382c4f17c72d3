"""Who is who across short losses of identity."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edge_fairmot.types import Float64Array

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
