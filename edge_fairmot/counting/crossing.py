"""Who crosses a line."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

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
