"""What is to be counted: lines and zones in parts of the picture's width and height."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from edge_fairmot.errors import InvalidInputError

Point: TypeAlias = tuple[float, float]
"""x and y from the upper left corner, in parts of the picture's width and height: 0 to 1."""

SHORTEST = 1e-6
"""Of a line. Much less is no number to divide by."""

ANCHORS = ("feet", "center")


@dataclass(frozen=True, slots=True)
class Line:
    """A directed line. Looking along it from start to end, ``in`` is from left to right.

    Attributes
    ----------
    name : str
    start, end : (float, float)

    Raises
    ------
    InvalidInputError
        If it has no name or no length, or leaves the picture.
    """

    name: str
    start: Point
    end: Point

    def __post_init__(self) -> None:
        _check_shape("line", self.name, (self.start, self.end))
        if math.dist(self.start, self.end) < SHORTEST:
            raise InvalidInputError(f"line {self.name!r} starts where it ends: give two different points")


@dataclass(frozen=True, slots=True)
class Zone:
    """A polygon.

    Attributes
    ----------
    name : str
    polygon : tuple of (float, float)
        Three corners or more, in order.

    Raises
    ------
    InvalidInputError
        If it has no name or no area, or leaves the picture.
    """

    name: str
    polygon: tuple[Point, ...]

    def __post_init__(self) -> None:
        _check_shape("zone", self.name, self.polygon)
        if len(set(self.polygon)) < 3:
            raise InvalidInputError(
                f"zone {self.name!r} needs three different corners or more, not {len(set(self.polygon))}"
            )


@dataclass(frozen=True, slots=True)
class CountingConfig:
    """Everything that is to be counted, and how.

    Attributes
    ----------
    lines : tuple of Line
    zones : tuple of Zone
    anchor : str
        Which point of a box is where somebody is: ``feet``, the middle of its lower edge, or ``center``, for
        a camera that looks straight down.
    hysteresis : float
        Somebody has changed sides only when this far beyond a line, and has left a zone only when this far
        outside: in parts of the height of their box.
    memory_s : float
        Somebody who is not seen for so long is gone. Before that, the same identity, or a new one where this
        one was going, goes on where it ended.

    Raises
    ------
    InvalidInputError
        If two shapes of a kind have one name, or a value is out of range.
    """

    lines: tuple[Line, ...] = ()
    zones: tuple[Zone, ...] = ()
    anchor: str = "feet"
    hysteresis: float = 0.1
    memory_s: float = 4.0

    def __post_init__(self) -> None:
        for kind, shapes in (("lines", self.lines), ("zones", self.zones)):
            names = [shape.name for shape in shapes]
            for name in names:
                if names.count(name) > 1:
                    raise InvalidInputError(f"two {kind} are called {name!r}: give each a name of its own")
        if self.anchor not in ANCHORS:
            raise InvalidInputError(f"anchor must be one of {', '.join(ANCHORS)}, not {self.anchor!r}")
        for name, high in (("hysteresis", 10.0), ("memory_s", 3600.0)):
            value = getattr(self, name)
            if not 0 <= value <= high:
                raise InvalidInputError(f"{name} must be between 0 and {high:g}, not {value:g}")


def _check_shape(kind: str, name: str, points: Sequence[Point]) -> None:
    if not name:
        raise InvalidInputError(f"a {kind} needs a name")
    for point in points:
        if not all(math.isfinite(part) and 0 <= part <= 1 for part in point):
            raise InvalidInputError(
                f"{kind} {name!r} has the point {point[0]:g},{point[1]:g} outside the picture: "
                "give parts of its width and height, 0 to 1"
            )
