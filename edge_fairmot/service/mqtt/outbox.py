"""The outbox: events on disk until the broker has them. SQLite, so that a killed process loses none."""

from __future__ import annotations

import logging
import secrets
import sqlite3
import threading
from collections import deque
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path

from edge_fairmot.errors import SinkError
from edge_fairmot.service.database import connect, set_aside, transaction
from edge_fairmot.system import FileLock

BUSY_S = 0.1
"""Maximum wait of the loop for the sending thread. That thread holds the file for less than 1 ms, and
for one write of the disk every few seconds."""

MAX_UNWRITTEN = 1000
"""Maximum number of events in memory while the disk accepts none."""

# The table is called spool: files of earlier releases are read on.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (number INTEGER PRIMARY KEY AUTOINCREMENT, payload TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS spool (name TEXT NOT NULL, dropped INTEGER NOT NULL);
"""

_log = logging.getLogger(__name__)


class Outbox:
    """A queue on disk of ``limit`` events. One thread adds events; another one reads, removes and syncs.

    The operating system has an event when :meth:`add` returns, so it survives the process. :meth:`sync`
    brings it to the disk. Adding waits for no disk, except for :data:`BUSY_S` at most during the last write
    of a sync: then the event is in memory for a moment. A damaged file is set aside if its name
    ends in ``.db``. SinkError if the file cannot be made or used, or another run uses it.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self._path, self._limit = path, limit
        self._unwritten: deque[str] = deque()
        self._lost = 0
        self._synced = False
        self._memory = threading.Lock()
        self._lock = FileLock(
            path.with_name(path.name + ".lock"),
            f"{path}, the outbox of MQTT events,",
            "give each run its own device name",
        )
        try:
            self._adding, self._sending = self._open()
        except sqlite3.Error as error:
            self._lock.close()
            raise SinkError(
                f"{path}, the outbox of MQTT events, cannot be used ({error}): "
                "free space there or choose another place"
            ) from error
        with closing(self._sending.execute("SELECT name FROM spool")) as rows:
            self.name: str = rows.fetchone()[0]
        with suppress(sqlite3.Error):  # a full disk; add() handles it
            self._begin_log()

    def _open(self) -> tuple[sqlite3.Connection, sqlite3.Connection]:
        try:
            return self._connect(), self._connect()
        except sqlite3.OperationalError:
            raise  # an error of the disk, not of the file
        except sqlite3.DatabaseError as error:
            if self._path.suffix != ".db":
                raise  # perhaps another file, given by mistake
            aside = set_aside(self._path, ".damaged")
            _log.warning(
                "unsent MQTT events are lost: %s is damaged (%s) and was moved to %s",
                self._path,
                error,
                aside,
            )
            return self._connect(), self._connect()

    def _connect(self) -> sqlite3.Connection:
        return connect(self._path, BUSY_S, _prepare)

    def add(self, payload: str) -> None:
        """Add an event, in memory while the disk accepts none. Beyond the limit the oldest are dropped."""
        with self._memory:
            self._unwritten.append(payload)
            self._write_out()
            while len(self._unwritten) > MAX_UNWRITTEN:
                self._unwritten.popleft()
                self._lost += 1

    def _write_out(self) -> None:
        with suppress(sqlite3.Error):  # full or gone: they stay in memory
            while self._unwritten:
                self._insert(self._unwritten[0])
                self._unwritten.popleft()

    def _insert(self, payload: str) -> None:
        adding = self._adding
        with transaction(adding):
            number = adding.execute("INSERT INTO events (payload) VALUES (?)", (payload,)).lastrowid
            surplus = adding.execute("DELETE FROM events WHERE number <= ?", ((number or 0) - self._limit,))
            if surplus.rowcount:
                adding.execute("UPDATE spool SET dropped = dropped + ?", (surplus.rowcount,))
        self._synced = False

    def after(self, number: int, count: int) -> list[tuple[int, str]]:
        """Return number and payload of the oldest events after a number, ``count`` at most."""
        rows = self._sending.execute(
            "SELECT number, payload FROM events WHERE number > ? ORDER BY number LIMIT ?", (number, count)
        )
        return list(rows)

    def take_unwritten(self, count: int) -> list[str]:
        """Remove and return events that the disk still does not accept."""
        with self._memory:
            self._write_out()
            return [self._unwritten.popleft() for _ in range(min(count, len(self._unwritten)))]

    def remove(self, numbers: Iterable[int]) -> None:
        """Delete events that the broker has; sqlite3.Error if the disk fails or is full."""
        deleted = tuple(numbers)
        places = ",".join("?" * len(deleted))
        self._sending.execute(f"DELETE FROM events WHERE number IN ({places})", deleted)
        self._synced = False

    def count(self) -> tuple[int, int]:
        """Return how many events wait, and how many were dropped."""
        waiting, dropped = self._sending.execute(
            "SELECT (SELECT COUNT(*) FROM events), (SELECT dropped FROM spool)"
        ).fetchone()
        with self._memory:
            return waiting + len(self._unwritten), dropped + self._lost

    def sync(self) -> None:
        """Sync new events to the disk, and wait for it; sqlite3.Error if it fails."""
        if self._synced:
            return
        self._synced = True  # before the sync: what is added from now on needs the next one
        try:
            self._sending.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            self._begin_log()
        except sqlite3.Error:
            self._synced = False
            raise

    def _begin_log(self) -> None:
        """Make the first write of a log, which changes nothing.

        The first write after a checkpoint begins the log again and waits until the disk has its header
        (SQLite's ticket ff5be73dee): better in the sending thread than in the loop.
        """
        with transaction(self._sending):
            # A row that stays the same would not be written.
            self._sending.execute("UPDATE spool SET dropped = dropped + 1")
            self._sending.execute("UPDATE spool SET dropped = dropped - 1")

    def close(self) -> None:
        """Close the file. May be called twice."""
        for connection in (self._adding, self._sending):
            with suppress(sqlite3.Error):
                connection.close()
        self._lock.close()


def _prepare(connection: sqlite3.Connection) -> None:
    connection.executescript(_SCHEMA)
    connection.execute(
        "INSERT INTO spool SELECT ?, 0 WHERE NOT EXISTS (SELECT * FROM spool)", (secrets.token_hex(4),)
    )
