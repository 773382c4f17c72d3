"""Reading the history: totals, counts by minute, hour or day of the local zone, and events."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Any, Literal, NamedTuple

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.service.history.buckets import Buckets, By
from edge_fairmot.service.history.store import SCHEMA_VERSION, totals_of
from edge_fairmot.types import Totals

QUARTER = 15
"""Minutes: every zone's days and hours begin at a multiple of it."""

Kind = Literal["line", "zone"]

BUSY_S = 2.0


@dataclass(frozen=True, slots=True)
class ShapeTotals:
    """Totals of a line or zone since its first count, today and yesterday.

    Attributes
    ----------
    camera : str
    kind : str
        ``line`` or ``zone``.
    id, name : str
        The name is the newest one.
    since : datetime
        When it was counted first.
    all, today, yesterday : Totals
    """

    camera: str
    kind: Kind
    id: str
    name: str
    since: datetime
    all: Totals
    today: Totals
    yesterday: Totals


@dataclass(frozen=True, slots=True)
class CountRow:
    """What a line or zone counted of one class, from ``start`` up to ``end``.

    Attributes
    ----------
    start, end : datetime
    camera, kind, id, name, class_name : str
    totals : Totals
        ``dwell_s`` is the sum over the stays that ended.
    mean_occupancy : float or None
        Over the time in which the camera was watched; 0 for a line, None where only events are known.
    max_occupancy : int or None
    """

    start: datetime
    end: datetime
    camera: str
    kind: Kind
    id: str
    name: str
    class_name: str
    totals: Totals
    mean_occupancy: float | None
    max_occupancy: int | None


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event.

    Attributes
    ----------
    id : int
        Give it as ``before`` to read on.
    time : datetime
    camera, kind, shape_id, name : str
    event : str
        ``in``, ``out``, ``enter`` or ``leave``.
    class_name : str
    track_id : int
    dwell_s : float or None
        With ``leave``.
    clip : str or None
        Path of the clip that shows it, if there is one; its file may be deleted by now.
    """

    id: int
    time: datetime
    camera: str
    kind: Kind
    shape_id: str
    name: str
    event: Literal["in", "out", "enter", "leave"]
    class_name: str
    track_id: int
    dwell_s: float | None
    clip: str | None


class _Series(NamedTuple):
    camera: str
    kind: Kind
    key: str
    name: str
    turned: int
    class_name: str


class History:
    """Reads a history file, also while it is written; safe in any thread.

    Parameters
    ----------
    path : Path
    zone : tzinfo, optional
        Its days and hours are counted; this machine's zone when not given.
    """

    def __init__(self, path: Path, zone: tzinfo | None = None) -> None:
        self._path, self._zone = path, zone

    def cameras(self) -> list[str]:
        """Return the names of the cameras that ever counted."""
        with self._open() as connection:
            return [name for (name,) in connection.execute("SELECT name FROM camera ORDER BY name")]

    def totals(self, now: datetime, camera: str | None = None) -> list[ShapeTotals]:
        """Return the totals of every line and zone, also of those that are drawn no more.

        Raises
        ------
        InvalidInputError
            Every method: if the file cannot be read, or a time has no zone.
        """
        days_of = Buckets("day", self._zone)
        today = days_of.floor(_seconds(now))
        yesterday = days_of.floor(today - 1)
        sums = "SUM(minute.came), SUM(minute.went), SUM(minute.dwell_ms), 0"
        between = f"SELECT shape, {sums} FROM minute JOIN series ON series.id = series WHERE minute >= ? "
        with self._open() as connection:
            days = [
                {
                    shape: numbers
                    for shape, *numbers in connection.execute(
                        f"{between} AND minute < ? GROUP BY shape", (begin // 60, end // 60)
                    )
                }
                for begin, end in ((today, days_of.next(today)), (yesterday, today))
            ]
            shapes = connection.execute(
                "SELECT shape.id, camera.name, kind, key, shape.name, turned, since, SUM(came), SUM(went), "
                "SUM(dwell_ms), MAX(longest_ms) FROM shape JOIN camera ON camera.id = camera "
                "LEFT JOIN series ON series.shape = shape.id WHERE ? IN (camera.name, '') "
                "GROUP BY shape.id ORDER BY camera.name, shape.id",
                (camera or "",),
            ).fetchall()
        return [
            ShapeTotals(
                place,
                kind,
                key,
                name,
                days_of.time(since / 1e6),
                *(
                    totals_of(kind, turned, *(number or 0 for number in numbers))
                    for numbers in (ever, *(day.get(shape, (0, 0, 0, 0)) for day in days))
                ),
            )
            for shape, place, kind, key, name, turned, since, *ever in shapes
        ]

    def counts(
        self, start: datetime, end: datetime, by: By = "hour", camera: str | None = None
    ) -> Iterator[CountRow]:
        """Yield counts by minute, hour or day, in order of time; memory does not grow with their number.

        A bucket that ``start`` or ``end`` cuts has what lies between them.

        Parameters
        ----------
        start, end : datetime
        by : str
        camera : str, optional
            Only this one's.
        """
        buckets = Buckets(by, self._zone)
        first, last = int(_seconds(start) // 60), int(-(-_seconds(end) // 60))
        with self._open() as connection:
            series = _read_series(connection, camera)
            group = 1 if by == "minute" else QUARTER
            rows = connection.execute(
                f"SELECT minute / {group}, series, SUM(came), SUM(went), SUM(dwell_ms), SUM(present_ms), "
                "MAX(most) FROM minute WHERE minute >= ? AND minute < ? GROUP BY 1, 2 ORDER BY 1",
                (first, last),
            )
            bucket, until, sums = 0, -1, dict[int, list[int]]()
            limits = first * 60, last * 60
            for number, one, *numbers in rows:
                at = number * group * 60
                if at >= until:
                    yield from _rows(connection, series, sums, (buckets, bucket), limits)
                    bucket, sums = buckets.floor(at), {}
                    until = buckets.next(bucket)
                if one in series:
                    *added, most = numbers
                    *old, old_most = sums.get(one, (0, 0, 0, 0, 0))
                    sums[one] = [*map(sum, zip(old, added, strict=True)), max(old_most, most)]
            yield from _rows(connection, series, sums, (buckets, bucket), limits)

    def events(
        self,
        start: datetime,
        end: datetime,
        camera: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[EventRow]:
        """Return events from ``start`` up to ``end``, the newest first.

        Parameters
        ----------
        start, end : datetime
        camera : str, optional
            Only this one's.
        before : int, optional
            Only those before the event with this id.
        limit : int
            Maximum number.
        """
        first, last = round(_seconds(start) * 1e6), round(_seconds(end) * 1e6)
        with self._open() as connection:
            series = _read_series(connection, camera)
            rows = connection.execute(
                "SELECT series, at, went, track, dwell_ms, (SELECT path FROM clip WHERE begun <= at AND "
                "ended >= at AND camera = (SELECT camera FROM shape WHERE "
                "id = (SELECT shape FROM series WHERE id = event.series)) ORDER BY begun DESC LIMIT 1) "
                "FROM event WHERE at >= ? AND at < ? "
                f"AND series IN ({','.join(map(str, series))}) ORDER BY at DESC LIMIT ?",
                (first, min(last, last if before is None else before), limit),
            ).fetchall()
        return [self._event(series[one], *row) for one, *row in rows]

    def _event(self, series: _Series, *row: Any) -> EventRow:
        at, went, track, dwell_ms, clip = row
        camera, kind, key, name, turned, class_name = series
        words: tuple[Any, Any] = ("in", "out") if kind == "line" else ("enter", "leave")
        dwell_s = None if dwell_ms is None else dwell_ms / 1000
        moment = datetime.fromtimestamp(0, timezone.utc) + timedelta(microseconds=at)
        return EventRow(
            at,
            moment.astimezone(self._zone),
            camera,
            kind,
            key,
            name,
            words[went ^ turned],
            class_name,
            track,
            dwell_s,
            clip,
        )

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        if not self._path.exists():
            raise InvalidInputError(
                f"there is no history yet, in {self._path}: run live with a --line or a --zone, "
                "or give the folder of a run's state"
            )
        try:
            with closing(
                sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro", BUSY_S, uri=True)
            ) as connection:
                version = connection.execute("PRAGMA user_version").fetchone()[0]
                if version != SCHEMA_VERSION:
                    raise sqlite3.DatabaseError(f"version {version}, this release reads {SCHEMA_VERSION}")
                yield connection
        except sqlite3.Error as error:
            raise InvalidInputError(
                f"{self._path} cannot be read as a history ({error}): give the folder of a live run's state"
            ) from error


def _seconds(moment: datetime) -> float:
    if moment.tzinfo is None:
        raise InvalidInputError(f"{moment} has no zone: give an aware time")
    return moment.timestamp()


def _read_series(connection: sqlite3.Connection, camera: str | None) -> dict[int, _Series]:
    rows = connection.execute(
        "SELECT series.id, camera.name, kind, key, shape.name, turned, class FROM series "
        "JOIN shape ON shape.id = shape JOIN camera ON camera.id = camera WHERE ? IN (camera.name, '')",
        (camera or "",),
    )
    return {number: _Series(*rest) for number, *rest in rows}


def _rows(
    connection: sqlite3.Connection,
    series: dict[int, _Series],
    sums: dict[int, list[int]],
    bucket: tuple[Buckets, int],
    limits: tuple[int, int],
) -> Iterator[CountRow]:
    """Yield the rows of one bucket, of which the limits may cut a part; seconds."""
    if not sums:
        return
    watched: dict[str, float] = {}
    buckets, begin = bucket
    end = buckets.next(begin)
    for one in sorted(sums, key=series.__getitem__):
        came, went, dwell_ms, present_ms, most = sums[one]
        camera, kind, key, name, turned, class_name = series[one]
        if kind == "zone" and camera not in watched:
            span = max(begin, limits[0]) * 1_000_000, min(end, limits[1]) * 1_000_000
            watched[camera] = _watched_ms(connection, camera, *span)
        yield CountRow(
            buckets.time(begin),
            buckets.time(end),
            camera,
            kind,
            key,
            name,
            class_name,
            totals_of(kind, turned, came, went, dwell_ms, 0),
            present_ms / max(watched[camera], 1.0) if kind == "zone" else 0.0,
            most,
        )


def _watched_ms(connection: sqlite3.Connection, camera: str, begin: int, end: int) -> float:
    """Return for how long a camera was watched within a time; microseconds in, milliseconds out."""
    (found,) = connection.execute(
        "SELECT SUM(MIN(ended, ?) - MAX(begun, ?)) FROM watched JOIN camera ON camera.id = camera "
        "WHERE name = ? AND ended > ? AND begun < ?",
        (end, begin, camera, begin, end),
    ).fetchone()
    return (found or 0) / 1000
