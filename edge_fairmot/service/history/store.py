"""The history file: events and counts per minute, written so that neither a kill nor a power cut loses them.

A written event is the operating system's, so it outlives the process; a thread brings it to the disk within
a second. Events, counts per minute and totals change in one transaction, so they agree.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeAlias

from edge_fairmot.errors import InvalidInputError, SinkError
from edge_fairmot.service import state_folder
from edge_fairmot.service.database import connect, set_aside, transaction
from edge_fairmot.types import Point, Totals

SCHEMA_VERSION = 1

KEEP_DAYS = 400
"""A year and a month, so that a day can be compared with that of the year before."""

BUSY_S = 0.25
"""Maximum wait for another run that writes to the file."""

SYNC_S = 1.0
"""What was written is on the disk after this time."""

PRUNE_S, PRUNE_ROWS, PAUSE_S = 3600.0, 500, 0.05
"""Old rows are deleted this often, so many at a time, with pauses in which events are written."""

MINUTE, DAY = 60_000_000, 86_400_000_000
"""Microseconds."""

GAP = 10_000_000
"""Microseconds without a frame, after which nothing was watched in between."""

# Times are microseconds since 1970, UTC. came: in over a line, entries of a zone. went: out over a line,
# stays of a zone that ended. turned: 1 for a line that points the other way than at its first count: its came
# is out.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS camera (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS shape (
    id INTEGER PRIMARY KEY, camera INTEGER NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL,
    name TEXT NOT NULL, ends TEXT NOT NULL, turned INTEGER NOT NULL DEFAULT 0,
    since INTEGER NOT NULL, UNIQUE (camera, kind, key));
CREATE TABLE IF NOT EXISTS series (
    id INTEGER PRIMARY KEY, shape INTEGER NOT NULL, class TEXT NOT NULL,
    came INTEGER NOT NULL DEFAULT 0, went INTEGER NOT NULL DEFAULT 0,
    dwell_ms INTEGER NOT NULL DEFAULT 0, longest_ms INTEGER NOT NULL DEFAULT 0, UNIQUE (shape, class));
CREATE TABLE IF NOT EXISTS event (
    at INTEGER PRIMARY KEY, series INTEGER NOT NULL, went INTEGER NOT NULL, track INTEGER NOT NULL,
    dwell_ms INTEGER);
CREATE TABLE IF NOT EXISTS minute (
    minute INTEGER NOT NULL, series INTEGER NOT NULL, came INTEGER NOT NULL, went INTEGER NOT NULL,
    dwell_ms INTEGER NOT NULL, present_ms INTEGER NOT NULL, most INTEGER NOT NULL,
    PRIMARY KEY (minute, series)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS watched (
    id INTEGER PRIMARY KEY, camera INTEGER NOT NULL, begun INTEGER NOT NULL, ended INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS clip (
    begun INTEGER NOT NULL, camera INTEGER NOT NULL, ended INTEGER NOT NULL, path TEXT NOT NULL,
    PRIMARY KEY (begun, camera)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS beat (number INTEGER NOT NULL);
"""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HistoryConfig:
    """What is kept of the counts when a run ends.

    Attributes
    ----------
    keep_days : int
        Events and counts per minute are kept so many days, totals for ever; 0 keeps nothing.
    folder : Path or None
        Folder of ``history.db``; the state folder when not given.
    """

    keep_days: int = KEEP_DAYS
    folder: Path | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.keep_days <= 36_500:
            raise InvalidInputError(f"keep_days must be between 0 and 36500, not {self.keep_days}")


def history_path(folder: Path | None = None) -> Path:
    """Return the path of the history in a folder; in the state folder when none is given."""
    return (state_folder() if folder is None else folder) / "history.db"


class Shape(NamedTuple):
    """A line or a zone as it is counted now; ``ends`` are a line's, from which turning around is told."""

    kind: str
    key: str
    name: str
    ends: tuple[Point, ...] = ()


class Event(NamedTuple):
    """An event of a shape, by its kind and key; ``went`` is 1 for out and leave."""

    at: int
    shape: tuple[str, str]
    class_name: str
    went: int
    track_id: int
    dwell_ms: int | None


@dataclass(slots=True)
class Presence:
    """Who was inside a zone during a minute: the sum of all stays in it, and the most at a time."""

    present_ms: float = 0.0
    most: int = 0


@dataclass(slots=True)
class Batch:
    """What is not written yet.

    ``presence`` is by minute, shape and class, ``watched`` the times of the first and the last frame.
    ``shapes`` are the lines and zones counted from ``shapes_at`` on, if any is new or has changed.
    """

    events: list[Event] = field(default_factory=list)
    presence: dict[tuple[int, tuple[str, str], str], Presence] = field(default_factory=dict)
    watched: tuple[int, int] | None = None
    shapes: Sequence[Shape] = ()
    shapes_at: int = 0


Earlier: TypeAlias = dict[tuple[str, str], dict[str, Totals]]
"""Totals by the kind and key of a shape, and by class."""


class HistoryStore:
    """Writes the history file; safe in any thread. Several runs may write to one file.

    Parameters
    ----------
    path : Path
        Its folder is made if missing.
    keep_days : int

    Raises
    ------
    SinkError
        If the file cannot be made or used. A damaged one is set aside.
    """

    def __init__(self, path: Path, keep_days: int = KEEP_DAYS) -> None:
        self.path, self._keep_days = path, keep_days
        self._lock, self._closed = threading.Lock(), threading.Event()
        self._unsynced = True
        self._series: dict[tuple[int, tuple[str, str], str], int] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writing, self._syncing = self._open()
        except (sqlite3.Error, OSError) as error:
            raise SinkError(
                f"{path}, the history of counts, cannot be used ({error}): free space there, or choose "
                "another folder with --set history.folder=FOLDER"
            ) from error
        self._thread = threading.Thread(target=self._run, name="edge-fairmot history", daemon=True)
        self._thread.start()

    def _open(self) -> tuple[sqlite3.Connection, sqlite3.Connection]:
        try:
            return self._connect(), self._connect()
        except sqlite3.OperationalError:
            raise  # an error of the disk, not of the file
        except sqlite3.DatabaseError as error:
            aside = set_aside(self.path, f".damaged-{time.time_ns() // 1_000_000}")
            _log.warning(
                "%s is damaged (%s): it was moved to %s, and counts begin anew", self.path, error, aside
            )
            return self._connect(), self._connect()

    def _connect(self) -> sqlite3.Connection:
        return connect(self.path, BUSY_S, _prepare)

    def camera(self, name: str) -> int:
        """Return the number of a camera, which is made if it is new. SinkError if it cannot be written."""
        try:
            with self._lock:
                return self._camera(name)
        except sqlite3.Error as error:
            raise SinkError(f"{self.path}, the history of counts, cannot be written ({error})") from error

    def _camera(self, name: str) -> int:
        while True:
            found = self._writing.execute("SELECT id FROM camera WHERE name = ?", (name,)).fetchone()
            if found is not None:
                number: int = found[0]
                return number
            self._writing.execute("INSERT OR IGNORE INTO camera (name) VALUES (?)", (name,))

    def begin(self, camera: int, shapes: Sequence[Shape], now: int) -> Earlier:
        """Take the lines and zones that a run begins with, and return the totals of earlier runs."""
        self.write(camera, Batch(shapes=shapes, shapes_at=now))
        return self.earlier(camera)

    def earlier(self, camera: int) -> Earlier:
        """Return the totals of all lines and zones that a camera had."""
        found: Earlier = {}
        with self._lock:
            rows = self._writing.execute(
                "SELECT kind, key, turned, class, came, went, dwell_ms, longest_ms FROM series "
                "JOIN shape ON shape.id = series.shape WHERE camera = ?",
                (camera,),
            ).fetchall()
        for kind, key, turned, class_name, *numbers in rows:
            found.setdefault((kind, key), {})[class_name] = totals_of(kind, turned, *numbers)
        return found

    def write(self, camera: int, batch: Batch) -> None:
        """Write everything or nothing; when this returns, the operating system has it.

        Raises sqlite3.Error if the disk accepts nothing, and then a later call may write it.
        """
        made: dict[tuple[int, tuple[str, str], str], int] = {}
        with self._transaction() as connection:
            for shape in batch.shapes:
                _register(connection, camera, shape, batch.shapes_at)
            for event in batch.events:
                series = self._series_of(connection, made, camera, event.shape, event.class_name)
                self._insert(connection, series, event)
            for (minute, place, class_name), presence in batch.presence.items():
                series = self._series_of(connection, made, camera, place, class_name)
                _add_to_minute(
                    connection, minute, series, present=(round(presence.present_ms), presence.most)
                )
            if batch.watched is not None:
                self._extend(connection, camera, *batch.watched)
        self._series |= made

    def _insert(self, connection: sqlite3.Connection, series: int, event: Event) -> None:
        """Insert an event; of two at one microsecond, the second is one later."""
        at, dwell_ms = event.at, event.dwell_ms or 0
        (turned,) = connection.execute(
            "SELECT turned FROM shape WHERE id = (SELECT shape FROM series WHERE id = ?)", (series,)
        ).fetchone()
        went = event.went ^ turned
        while connection.execute("SELECT 1 FROM event WHERE at = ?", (at,)).fetchone():
            at += 1
        connection.execute(
            "INSERT INTO event VALUES (?, ?, ?, ?, ?)",
            (at, series, went, event.track_id, event.dwell_ms),
        )
        connection.execute(
            "UPDATE series SET came = came + ?, went = went + ?, dwell_ms = dwell_ms + ?, "
            "longest_ms = max(longest_ms, ?) WHERE id = ?",
            (1 - went, went, dwell_ms, dwell_ms, series),
        )
        _add_to_minute(connection, at // MINUTE, series, (1 - went, went, dwell_ms))

    def _series_of(
        self,
        connection: sqlite3.Connection,
        made: dict[tuple[int, tuple[str, str], str], int],
        camera: int,
        shape: tuple[str, str],
        class_name: str,
    ) -> int:
        """Return the number of a shape's series of a class; ``made`` has those found in this transaction."""
        place = camera, shape, class_name
        found = self._series.get(place) or made.get(place)
        if found is None:
            named = (class_name, camera, *shape)
            connection.execute(
                "INSERT OR IGNORE INTO series (shape, class) SELECT id, ? FROM shape "
                "WHERE camera = ? AND kind = ? AND key = ?",
                named,
            )
            found = made[place] = connection.execute(
                "SELECT series.id FROM series JOIN shape ON shape.id = series.shape "
                "WHERE class = ? AND camera = ? AND kind = ? AND key = ?",
                named,
            ).fetchone()[0]
        return found

    def _extend(self, connection: sqlite3.Connection, camera: int, begun: int, ended: int) -> None:
        """Note that a camera was watched; a span that ended shortly before goes on."""
        extended = connection.execute(
            "UPDATE watched SET ended = max(ended, ?) WHERE id = "
            "(SELECT max(id) FROM watched WHERE camera = ?) AND ended BETWEEN ? AND ?",
            (ended, camera, begun - GAP, ended),
        )
        if not extended.rowcount:
            connection.execute(
                "INSERT INTO watched (camera, begun, ended) VALUES (?, ?, ?)", (camera, begun, ended)
            )

    def add_clip(self, camera: int, path: Path, begun: int, ended: int) -> None:
        """Note a finished clip; one that cannot be noted is only not listed."""
        with suppress(sqlite3.Error), self._transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO clip VALUES (?, ?, ?, ?)",
                (begun, camera, ended, str(path.absolute())),
            )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            with transaction(self._writing):
                yield self._writing
            self._unsynced = True

    def _run(self) -> None:
        prune_due_s = 0.0
        while not self._closed.wait(SYNC_S):
            with suppress(sqlite3.Error):  # tried again; the sink tells of a disk that takes nothing
                self.sync()
                if time.monotonic() >= prune_due_s:
                    self.prune(time.time_ns() // 1000)
                    prune_due_s = time.monotonic() + PRUNE_S

    def sync(self) -> None:
        """Bring everything to the disk and wait for it; sqlite3.Error if it fails."""
        if not self._unsynced:
            return
        self._unsynced = False  # before the sync: what is written from now on needs the next one
        try:
            self._syncing.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            # The first write after a checkpoint waits for the disk: better here than in the loop.
            with transaction(self._syncing):
                self._syncing.execute("UPDATE beat SET number = number + 1")
        except sqlite3.Error:
            self._unsynced = True
            raise

    def prune(self, now: int) -> None:
        """Delete what is older than ``keep_days``, in small transactions; totals stay."""
        oldest = now - self._keep_days * DAY
        for table, key, age, limit in (
            ("event", "at", "at", oldest),
            ("minute", "minute, series", "minute", oldest // MINUTE),
            ("watched", "id", "ended", oldest),
            ("clip", "begun, camera", "ended", oldest),
        ):
            while not self._closed.is_set():
                with transaction(self._syncing):
                    deleted = self._syncing.execute(
                        f"DELETE FROM {table} WHERE ({key}) IN "
                        f"(SELECT {key} FROM {table} WHERE {age} < ? LIMIT {PRUNE_ROWS})",
                        (limit,),
                    ).rowcount
                if deleted < PRUNE_ROWS:
                    break
                self._syncing.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                self._closed.wait(PAUSE_S)
        self._unsynced = True

    def close(self) -> None:
        """Bring everything to the disk and close the file. May be called twice."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._thread.join()
        with suppress(sqlite3.Error), self._lock:
            self.sync()
        for connection in (self._writing, self._syncing):
            with suppress(sqlite3.Error):
                connection.close()


def _prepare(connection: sqlite3.Connection) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise sqlite3.OperationalError(f"a later release wrote it, as version {version}")
    if version < SCHEMA_VERSION:  # not again: a full disk would take no write
        with transaction(connection):
            for statement in _SCHEMA.split(";")[:-1]:
                connection.execute(statement)
            connection.execute("INSERT INTO beat SELECT 0 WHERE NOT EXISTS (SELECT * FROM beat)")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def totals_of(kind: str, turned: int, *columns: int) -> Totals:
    """Return the totals that columns say: came, went, dwell_ms, longest_ms."""
    came, went, dwell_ms, longest_ms = columns
    if kind == "line":
        return Totals(went, came) if turned else Totals(came, went)
    return Totals(entries=came, stays=went, dwell_s=dwell_ms / 1000, longest_s=longest_ms / 1000)


def _register(connection: sqlite3.Connection, camera: int, shape: Shape, now: int) -> None:
    """Take a line or zone that is new, has another name, or was turned around."""
    kind, key, name, ends = shape
    turned = json.dumps(ends[::-1]) if ends else ""
    connection.execute(
        "INSERT INTO shape (camera, kind, key, name, ends, since) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET name = excluded.name, turned = turned <> (ends = ?), ends = excluded.ends",
        (camera, kind, key, name, json.dumps(ends), now, turned),
    )


def _add_to_minute(
    connection: sqlite3.Connection,
    minute: int,
    series: int,
    counted: tuple[int, int, int] = (0, 0, 0),
    present: tuple[int, int] = (0, 0),
) -> None:
    """Add to a minute what was counted (came, went, dwell_ms) and who was inside (present_ms, most)."""
    connection.execute(
        "INSERT INTO minute VALUES (?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET came = came + excluded.came, "
        "went = went + excluded.went, dwell_ms = dwell_ms + excluded.dwell_ms, "
        "present_ms = present_ms + excluded.present_ms, most = max(most, excluded.most)",
        (minute, series, *counted, *present),
    )
