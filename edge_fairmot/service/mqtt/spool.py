"""Events on disk until the broker has them: SQLite, so that a killed process loses none."""

from __future__ import annotations

import logging
import secrets
import sqlite3
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from edge_fairmot.errors import SinkError
from edge_fairmot.system import FileLock

log = logging.getLogger(__name__)

LONGEST_WAIT_S = 0.1
"""How long the loop waits for the thread that sends. It holds the file for less than a millisecond; every few
seconds, where there was something to sync, for as long as the disk takes for one page."""

IN_MEMORY = 1000
"""Events that are kept while the disk takes none."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (number INTEGER PRIMARY KEY AUTOINCREMENT, payload TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS spool (name TEXT NOT NULL, dropped INTEGER NOT NULL);
"""


class Spool:
    """A bounded queue on disk. One thread adds; another looks, removes and syncs.

    What is added is with the operating system, so that it survives the process, and is brought to the disk
    itself by :meth:`sync`. Adding waits for no disk, except where it comes while a sync makes its last write:
    then for :data:`LONGEST_WAIT_S` at most, after which the event is in memory for a moment.

    Parameters
    ----------
    path : Path
        Made where it is not there. A file that is damaged is set aside.
    limit : int
        How many events are kept.

    Raises
    ------
    SinkError
        If the file cannot be made, or another run has it.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self._path, self._limit = path, limit
        self._unwritten: deque[str] = deque()
        self._lost = 0
        self._synced = False
        self._memory = threading.Lock()
        self._lock = FileLock(
            path.with_name(path.name + ".lock"),
            f"{path}, where events for MQTT are kept,",
            "give each a device name of its own",
        )
        try:
            self._adding, self._sending = self._open()
        except sqlite3.Error as error:
            self._lock.close()
            raise SinkError(
                f"{path}, where events for MQTT are kept, cannot be used ({error}): "
                "free space there or choose another place"
            ) from error
        with closing(self._sending.execute("SELECT name FROM spool")) as rows:
            self.name: str = rows.fetchone()[0]
        with suppress(sqlite3.Error):  # on a full disk; adding deals with one
            self._begin_log()

    def _open(self) -> tuple[sqlite3.Connection, sqlite3.Connection]:
        try:
            return self._connect(), self._connect()
        except sqlite3.OperationalError:
            raise  # of the disk, not of what is on it
        except sqlite3.DatabaseError as error:
            aside = self._path.with_name(self._path.name + ".damaged")
            self._path.replace(aside)
            for part in ("-wal", "-shm"):
                self._path.with_name(self._path.name + part).unlink(missing_ok=True)
            log.warning(
                "events waiting for MQTT are lost: %s is damaged (%s), kept as %s", self._path, error, aside
            )
            return self._connect(), self._connect()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, LONGEST_WAIT_S, isolation_level=None, check_same_thread=False
        )
        try:
            # Synced in checkpoints alone, and those are made by sync().
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            connection.executescript(_SCHEMA)
            connection.execute(
                "INSERT INTO spool SELECT ?, 0 WHERE NOT EXISTS (SELECT * FROM spool)",
                (secrets.token_hex(4),),
            )
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def add(self, payload: str) -> None:
        """Keep an event; the oldest go where there are too many. While the disk takes none, in memory."""
        with self._memory:
            self._unwritten.append(payload)
            self._write_out()
            while len(self._unwritten) > IN_MEMORY:
                self._unwritten.popleft()
                self._lost += 1

    def _write_out(self) -> None:
        with suppress(sqlite3.Error):  # full, or gone: they stay in memory
            while self._unwritten:
                self._insert(self._unwritten[0])
                self._unwritten.popleft()

    def _insert(self, payload: str) -> None:
        adding = self._adding
        with _transaction(adding):
            number = adding.execute("INSERT INTO events (payload) VALUES (?)", (payload,)).lastrowid
            surplus = adding.execute("DELETE FROM events WHERE number <= ?", ((number or 0) - self._limit,))
            if surplus.rowcount:
                adding.execute("UPDATE spool SET dropped = dropped + ?", (surplus.rowcount,))
        self._synced = False

    def after(self, number: int, count: int) -> list[tuple[int, str]]:
        """Look at the oldest events after some number: number and payload of ``count`` at most.

        Raises
        ------
        sqlite3.Error
            If the disk fails.
        """
        rows = self._sending.execute(
            "SELECT number, payload FROM events WHERE number > ? ORDER BY number LIMIT ?", (number, count)
        )
        return list(rows)

    def take_unwritten(self, count: int) -> list[str]:
        """Take out events that the disk still does not take, to be sent before they are written."""
        with self._memory:
            self._write_out()
            return [self._unwritten.popleft() for _ in range(min(count, len(self._unwritten)))]

    def remove(self, numbers: Iterable[int]) -> None:
        """Forget events that the broker has.

        Raises
        ------
        sqlite3.Error
            If the disk fails, of which a full one is a case.
        """
        gone = tuple(numbers)
        places = ",".join("?" * len(gone))
        self._sending.execute(f"DELETE FROM events WHERE number IN ({places})", gone)
        self._synced = False

    def count(self) -> tuple[int, int]:
        """How many events wait, and how many were dropped.

        Raises
        ------
        sqlite3.Error
            If the disk fails.
        """
        waiting, dropped = self._sending.execute(
            "SELECT (SELECT COUNT(*) FROM events), (SELECT dropped FROM spool)"
        ).fetchone()
        with self._memory:
            return waiting + len(self._unwritten), dropped + self._lost

    def sync(self) -> None:
        """Bring what was added to the disk itself; takes as long as the disk takes. Of nothing new, none.

        Raises
        ------
        sqlite3.Error
            If the disk fails.
        """
        if self._synced:
            return
        self._synced = True  # before, so that what is added from now on is for the next time
        try:
            self._sending.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            self._begin_log()
        except sqlite3.Error:
            self._synced = False
            raise

    def _begin_log(self) -> None:
        """Make the first write of a log, which changes nothing.

        Who writes first after a checkpoint begins the log anew and waits until the disk has its header
        (SQLite's ticket ff5be73dee): better the thread that sends than the loop.
        """
        with _transaction(self._sending):
            # What stays as it was from the beginning would not be written.
            self._sending.execute("UPDATE spool SET dropped = dropped + 1")
            self._sending.execute("UPDATE spool SET dropped = dropped - 1")

    def close(self) -> None:
        """Close the file. May be called twice."""
        for connection in (self._adding, self._sending):
            with suppress(sqlite3.Error):
                connection.close()
        self._lock.close()


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except sqlite3.Error:
        with suppress(sqlite3.Error):  # where SQLite has rolled back by itself
            connection.execute("ROLLBACK")
        raise
