"""Who is in a zone, and since when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

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
