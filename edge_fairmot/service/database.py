"""SQLite files of the services, which neither a killed process nor a damaged file may take down.

A written row is the operating system's, so it outlives the process. Only checkpoints wait for the disk, and
SQLite makes none by itself: a thread beside the loop does, on a connection of its own.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def connect(path: Path, busy_s: float, prepare: Callable[[sqlite3.Connection], None]) -> sqlite3.Connection:
    """Open a file for any thread, with a log; ``prepare`` makes its tables. sqlite3.Error if that fails."""
    connection = sqlite3.connect(path, busy_s, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        prepare(connection)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def set_aside(path: Path, suffix: str) -> Path:
    """Rename a damaged file and remove its log; return the new path."""
    aside = path.with_name(path.name + suffix)
    path.replace(aside)
    for part in ("-wal", "-shm"):
        path.with_name(path.name + part).unlink(missing_ok=True)
    return aside


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Write everything in the block, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # SQLite may have rolled back itself
            connection.execute("ROLLBACK")
        raise
