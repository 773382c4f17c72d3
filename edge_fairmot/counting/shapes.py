"""Lines and zones, and their notation in flags, TOML and JSON."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.types import Point

SHORTEST = 1e-6
"""Minimum length of a line and width of a zone, as a share of the image."""

ANCHORS = ("feet", "center")

UNWRITABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters, and bytes of a command line that are not UTF-8: no file or message can hold those."""


@dataclass(frozen=True, slots=True)
class Line:
    """A directed line. Looking along it from ``start`` to ``end``, ``in`` is from left to right.

    Attributes
    ----------
    name : str
    start, end : (float, float)
        Shares of the image's width and height.
    classes : tuple of str
        Only these classes are counted, by the names in the model; all of them when empty.
    id : str
        Counts belong to it: a shape that is renamed, moved, or deleted and drawn again keeps them. The name,
        where it is empty.

    Raises
    ------
    InvalidInputError
        If it has no name or no length, or leaves the image.
    """

    name: str
    start: Point
    end: Point
    classes: tuple[str, ...] = ()
    id: str = ""

    @property
    def key(self) -> str:
        """The id, or the name."""
        return self.id or self.name

    def __post_init__(self) -> None:
        _check_shape("line", self.name, (self.start, self.end))
        if math.dist(self.start, self.end) < SHORTEST:
            raise InvalidInputError(f"line {self.name!r} starts where it ends: give two different points")


@dataclass(frozen=True, slots=True)
class Zone:
    """A polygon. Where it reaches the image's edge, the edge belongs to it.

    Attributes
    ----------
    name : str
    polygon : tuple of (float, float)
        Three or more corners in order, shares of the image's width and height.
    classes : tuple of str
        Only these classes are counted, by the names in the model; all of them when empty.
    id : str
        As that of a line.

    Raises
    ------
    InvalidInputError
        If it has no name or no area, if it leaves the image, or if its sides cross or touch each other.
    """

    name: str
    polygon: tuple[Point, ...]
    classes: tuple[str, ...] = ()
    id: str = ""

    @property
    def key(self) -> str:
        """The id, or the name."""
        return self.id or self.name

    def __post_init__(self) -> None:
        _check_shape("zone", self.name, self.polygon)
        different = len(set(self.polygon))
        if different < 3:
            raise InvalidInputError(
                f"zone {self.name!r} needs three or more different corners, not {different}"
            )
        corners = np.array(self.polygon)
        # The second singular value of the centred corners measures their distance from one common line.
        if np.linalg.svd(corners - corners.mean(axis=0), compute_uv=False)[1] < SHORTEST:
            raise InvalidInputError(
                f"zone {self.name!r} has no area: all its corners are on one line; give one beside it"
            )
        if (crossing := _crossing_sides(self.polygon)) is not None:
            raise InvalidInputError(
                f"the sides of zone {self.name!r} from {_shown(crossing[0])} and from {_shown(crossing[1])} "
                "cross or touch: give the corners in order around the zone"
            )


@dataclass(frozen=True, slots=True)
class CountingConfig:
    """Lines and zones to count, and the rules of counting.

    Attributes
    ----------
    lines : tuple of Line
    zones : tuple of Zone
    anchor : str
        Position of a person in the box: ``feet``, the middle of its lower edge, or
        ``center``, for a camera that looks straight down.
    hysteresis : float
        A person has crossed a line, or has left a zone, only this far beyond it; in heights of the person's
        box.
    memory_s : float
        A person who is not seen for longer has left. Until then the same track id, or a new one that starts
        where the person should be, continues the person.
    ignore : tuple of Zone
        Detections that stand in one of these take no part in the tracking; :class:`IgnoredZones` leaves them
        out.

    Raises
    ------
    InvalidInputError
        If two lines, two zones or two ignored zones have one name, or a value is outside its range.
    """

    lines: tuple[Line, ...] = ()
    zones: tuple[Zone, ...] = ()
    anchor: str = "feet"
    hysteresis: float = 0.1
    memory_s: float = 4.0
    ignore: tuple[Zone, ...] = ()

    def __post_init__(self) -> None:
        for kind, shapes in (("lines", self.lines), ("zones", self.zones), ("ignored zones", self.ignore)):
            for what, of in (
                ("called", [shape.name for shape in shapes]),
                ("of id", [s.key for s in shapes]),
            ):
                for name in of:
                    if of.count(name) > 1:
                        raise InvalidInputError(f"two {kind} are {what} {name!r}: give each its own")
        if self.anchor not in ANCHORS:
            raise InvalidInputError(f"anchor must be one of {', '.join(ANCHORS)}, not {self.anchor!r}")
        for name, high in (("hysteresis", 10.0), ("memory_s", 3600.0)):
            value = getattr(self, name)
            if not 0 <= value <= high:
                raise InvalidInputError(f"{name} must be between 0 and {high:g}, not {value}")


def parse_line(text: str) -> Line:
    """Read a line from ``name:x1,y1,x2,y2``, or ``name:x1,y1,x2,y2;class,class``.

    Raises
    ------
    InvalidInputError
        If the text has another form.
    """
    name, points, classes = _split(text)
    if len(points) != 1 or len(points[0]) != 4:
        raise InvalidInputError(f"{text!r} is no line: write name:x1,y1,x2,y2, as in door:0.2,0.8,0.8,0.8")
    x1, y1, x2, y2 = points[0]
    return Line(name, (x1, y1), (x2, y2), classes)


def parse_zone(text: str) -> Zone:
    """Read a zone from ``name:x,y;x,y;x,y``, or ``name:x,y;x,y;x,y;class,class``.

    Raises
    ------
    InvalidInputError
        If the text has another form.
    """
    name, points, classes = _split(text)
    if not points or any(len(point) != 2 for point in points):
        raise InvalidInputError(
            f"{text!r} is no zone: write name:x,y;x,y;x,y, as in queue:0.1,0.5;0.4,0.5;0.4,0.9"
        )
    return Zone(name, tuple((x, y) for x, y in points), classes)


def parse_counting(document: Mapping[str, Any]) -> CountingConfig:
    """Read lines, zones, ignored zones and settings from the tables of a TOML or JSON document.

    ::

        [counting]                # may be left out
        anchor = "feet"
        hysteresis = 0.1
        memory_s = 4.0

        [[line]]
        name = "door"
        start = [0.2, 0.8]
        end = [0.8, 0.8]
        classes = ["car", "bus"]  # may be left out, also for a zone
        id = "door"               # counts belong to it; the name where it is left out

        [[zone]]
        name = "queue"
        polygon = [[0.1, 0.5], [0.4, 0.5], [0.4, 0.9]]

        [[ignore]]                # as a zone
        name = "mirror"
        polygon = [[0.8, 0.1], [1.0, 0.1], [1.0, 0.6]]

    Raises
    ------
    InvalidInputError
        If a key is unknown or missing, or a value is wrong.
    """
    _check_keys("the file", document, ("counting", "line", "zone", "ignore"))
    lines = []
    for table in _tables(document, "line", ("end", "name", "start"), ("classes", "id")):
        start, end = _points(table["name"], [table["start"], table["end"]])
        lines.append(Line(table["name"], start, end, _classes(table), _id(table)))
    zones, ignored = (
        tuple(
            Zone(table["name"], _points(table["name"], table["polygon"]), _classes(table), _id(table))
            for table in _tables(document, kind, ("name", "polygon"), optional)
        )
        for kind, optional in (("zone", ("classes", "id")), ("ignore", ("id",)))
    )
    settings = document.get("counting", {})
    if not isinstance(settings, dict):
        raise InvalidInputError(f"[counting] must be a table, not {settings!r}")
    _check_keys("[counting]", settings, ("anchor", "hysteresis", "memory_s"))
    for key, value in settings.items():
        if key != "anchor" and type(value) not in (int, float):
            raise InvalidInputError(f"{key} must be a number, not {value!r}")
    return CountingConfig(tuple(lines), zones, **settings, ignore=ignored)


def _check_shape(kind: str, name: str, points: Sequence[Point]) -> None:
    if not name:
        raise InvalidInputError(f"a {kind} needs a name")
    if UNWRITABLE.search(name):
        raise InvalidInputError(
            f"the name of the {kind} {name!a} has control characters or is not UTF-8: "
            "give it one that can be printed"
        )
    for point in points:
        if not all(0 <= part <= 1 for part in point):
            raise InvalidInputError(
                f"{kind} {name!r} has the point {_shown(point)} outside the image: "
                "give shares of its width and height, 0 to 1"
            )


def _shown(point: Point) -> str:
    return f"{point[0]:g},{point[1]:g}"


def _crossing_sides(polygon: Sequence[Point]) -> tuple[Point, Point] | None:
    """Return the first corners of two sides that meet and are not neighbours, if there are any."""
    corners = [corner for i, corner in enumerate(polygon) if corner != polygon[i - 1]]
    count = len(corners)
    for i in range(count):
        for j in range(i + 2, count - (i == 0)):
            a, b, c, d = corners[i], corners[i + 1], corners[j], corners[(j + 1) % count]
            if segments_meet(a, b, c, d):
                return a, c
    return None


def segments_meet(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Whether the segments from a to b and from c to d have a common point."""

    def side(p: Point, q: Point, r: Point) -> float:
        return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])

    overlap = all(
        max(min(a[k], b[k]), min(c[k], d[k])) <= min(max(a[k], b[k]), max(c[k], d[k])) for k in (0, 1)
    )
    return overlap and side(a, b, c) * side(a, b, d) <= 0 and side(c, d, a) * side(c, d, b) <= 0


def _split(text: str) -> tuple[str, list[tuple[float, ...]], tuple[str, ...]]:
    """Return the name, the numbers of each part, and the classes of a last part that has none.

    There are no numbers where a part cannot be read.
    """
    name, _, values = text.rpartition(":")
    parts = values.split(";")
    classes: tuple[str, ...] = ()
    if len(parts) > 1 and not _numbers(parts[-1]):
        classes = tuple(one.strip() for one in parts.pop().split(","))
    points = [_numbers(part) for part in parts]
    if not all(points) or not all(classes) or any(map(_numbers, classes)):
        points = []
    return name.strip(), points, classes


def _numbers(text: str) -> tuple[float, ...]:
    """Return numbers separated by commas; none where they cannot be read."""
    try:
        return tuple(float(value) for value in text.split(","))
    except ValueError:
        return ()


def _check_keys(where: str, table: Mapping[str, Any], known: Collection[str]) -> None:
    for key in table:
        if key not in known:
            raise InvalidInputError(f"{where} has {key!r}, which is not known: use {', '.join(known)}")


def _tables(
    document: Mapping[str, Any], kind: str, keys: Sequence[str], optional: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Return the tables ``[[kind]]``, each with a name and all of the keys, perhaps the optional ones."""
    tables = document.get(kind, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise InvalidInputError(f"write [[{kind}]], with two brackets, before each {kind}")
    for table in tables:
        _check_keys(f"a [[{kind}]]", table, (*keys, *optional))
        for key in keys:
            if key not in table:
                raise InvalidInputError(f"a [[{kind}]] lacks {key!r}: it needs {', '.join(keys)}")
        if not isinstance(table["name"], str):
            raise InvalidInputError(f"the name of a {kind} must be a text, not {table['name']!r}")
    return tables


def _classes(table: Mapping[str, Any]) -> tuple[str, ...]:
    """Read the classes of a shape, a list of names; empty without them."""
    value = table.get("classes", [])
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise InvalidInputError(f'classes of {table["name"]!r} must be a list such as ["car"], not {value!r}')
    return tuple(value)


def _id(table: Mapping[str, Any]) -> str:
    value = table.get("id", "")
    if not isinstance(value, str) or UNWRITABLE.search(value):
        raise InvalidInputError(f"the id of {table['name']!r} must be a text, not {value!r}")
    return value


def _points(name: str, value: Any) -> tuple[Point, ...]:
    """Read the points of a shape: a list of [x, y]."""
    for point in value if isinstance(value, list) else [value]:
        numbers = [part for part in point if type(part) in (int, float)] if isinstance(point, list) else []
        if len(numbers) != 2 or len(point) != 2 or not max(map(abs, numbers)) < 1e9:
            raise InvalidInputError(f"{name!r} has {point!r} where a point such as [0.2, 0.8] is needed")
    return tuple((float(x), float(y)) for x, y in value)
