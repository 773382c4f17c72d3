"""What is to be counted: lines and zones in parts of the picture's width and height."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

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


# FOLDED parsing.py: Lines and zones as they are written in flags and in TOML files.


def parse_line(text: str) -> Line:
    """Read ``name:x1,y1,x2,y2``.

    Raises
    ------
    InvalidInputError
        If it is something else.
    """
    name, numbers = _split(text, ",")
    if numbers is None or len(numbers) != 4:
        raise InvalidInputError(f"{text!r} is no line: write name:x1,y1,x2,y2, as in door:0.2,0.8,0.8,0.8")
    return Line(name, (numbers[0], numbers[1]), (numbers[2], numbers[3]))


def parse_zone(text: str) -> Zone:
    """Read ``name:x,y;x,y;x,y``.

    Raises
    ------
    InvalidInputError
        If it is something else.
    """
    name, numbers = _split(text.replace(";", ","), ",")
    if numbers is None or len(numbers) != 2 * (text.count(";") + 1):
        raise InvalidInputError(
            f"{text!r} is no zone: write name:x,y;x,y;x,y, as in queue:0.1,0.5;0.4,0.5;0.4,0.9"
        )
    return Zone(name, tuple(zip(numbers[::2], numbers[1::2], strict=True)))


def _split(text: str, separator: str) -> tuple[str, list[float] | None]:
    """Name and numbers; None where they are none."""
    name, _, values = text.rpartition(":")
    try:
        return name.strip(), [float(value) for value in values.split(separator)]
    except ValueError:
        return name, None


def parse_counting(document: Mapping[str, Any]) -> CountingConfig:
    """Make a configuration of what a TOML file holds.

    ::

        [counting]                # all of it may be left out
        anchor = "feet"
        hysteresis = 0.1
        memory_s = 4.0

        [[line]]
        name = "door"
        start = [0.2, 0.8]
        end = [0.8, 0.8]

        [[zone]]
        name = "queue"
        polygon = [[0.1, 0.5], [0.4, 0.5], [0.4, 0.9]]

    Parameters
    ----------
    document : mapping

    Returns
    -------
    CountingConfig

    Raises
    ------
    InvalidInputError
        If a key is unknown or missing, or a value is not what it should be.
    """
    _check_keys("the file", document, {"counting", "line", "zone"}, set())
    settings = _table("[counting]", document.get("counting", {}))
    _check_keys(
        "[counting]", settings, {field.name for field in fields(CountingConfig)} - {"lines", "zones"}, set()
    )
    lines, zones = [], []
    for table in _tables("line", document):
        _check_keys("a [[line]]", table, {"name", "start", "end"}, {"name", "start", "end"})
        name = _text("a [[line]]", table["name"])
        lines.append(Line(name, _point(name, table["start"]), _point(name, table["end"])))
    for table in _tables("zone", document):
        _check_keys("a [[zone]]", table, {"name", "polygon"}, {"name", "polygon"})
        name = _text("a [[zone]]", table["name"])
        if not isinstance(table["polygon"], list):
            raise InvalidInputError(
                f"zone {name!r}: polygon must be a list of points such as [[0, 0], [1, 0], [1, 1]]"
            )
        zones.append(Zone(name, tuple(_point(name, point) for point in table["polygon"])))
    usual = CountingConfig()
    return CountingConfig(
        tuple(lines),
        tuple(zones),
        _text("anchor", settings.get("anchor", usual.anchor)),
        _number("hysteresis", settings.get("hysteresis", usual.hysteresis)),
        _number("memory_s", settings.get("memory_s", usual.memory_s)),
    )


def _check_keys(where: str, table: Mapping[str, Any], known: set[str], needed: set[str]) -> None:
    for key in table:
        if key not in known:
            raise InvalidInputError(
                f"{where} has {key!r}, which is not known: use {', '.join(sorted(known))}"
            )
    for key in sorted(needed):
        if key not in table:
            raise InvalidInputError(f"{where} lacks {key!r}: it needs {', '.join(sorted(needed))}")


def _table(where: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidInputError(f"{where} must be a table, not {value!r}")
    return value


def _tables(kind: str, document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    value = document.get(kind, [])
    if not isinstance(value, list):
        raise InvalidInputError(f"write [[{kind}]], with two brackets, before each {kind}")
    return [_table(f"a [[{kind}]]", table) for table in value]


def _text(where: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidInputError(f"{where} has {value!r} where a text is needed")
    return value


def _number(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidInputError(f"{key} must be a number, not {value!r}")
    try:
        return float(value)
    except OverflowError:
        raise InvalidInputError(f"{key} is a number of too many digits: give one that is meant") from None


def _point(name: str, value: Any) -> Point:
    if not isinstance(value, list) or len(value) != 2:
        raise InvalidInputError(f"{name!r} has {value!r} where a point such as [0.2, 0.8] is needed")
    return _number(f"a point of {name!r}", value[0]), _number(f"a point of {name!r}", value[1])
