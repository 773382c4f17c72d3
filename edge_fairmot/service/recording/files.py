"""The files of a recording: their names and their rotation.

A name is ``STEM-20261123T142920Z.jsonl``, with the time when the file was begun, UTC. Tracks are ``.jsonl``
and ``.txt``, events ``.events.jsonl``, clips ``.mp4``. The second file of one second is
``STEM-20261123T142920Z-2.jsonl``.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from time import monotonic

from edge_fairmot.errors import SinkError
from edge_fairmot.service.run import utc_now
from edge_fairmot.sinks.files import UnbufferedFile

TRACKS, TEXT, EVENTS, CLIP = SUFFIXES = (".jsonl", ".txt", ".events.jsonl", ".mp4")


class FileNames:
    """Names that rise in the order in which files are begun, also if the clock is set back; thread-safe."""

    def __init__(self, folder: Path, stem: str, now: Callable[[], datetime] = utc_now) -> None:
        self._folder, self._stem, self._now = folder, stem, now
        self._lock = threading.Lock()
        self._last: dict[str, tuple[str, int]] = {}

    def next(self, suffix: str) -> Path:
        """Return a new path, after all earlier ones."""
        with self._lock:
            stamp, number = f"{self._now():%Y%m%dT%H%M%SZ}", 1
            last_stamp, last_number = self._last.get(suffix, ("", 0))
            if stamp <= last_stamp:
                stamp, number = last_stamp, last_number + 1
            # Not Path.exists, which raises on a failing disk.
            while os.path.exists(path := self._path(stamp, number, suffix)):
                number += 1
            self._last[suffix] = stamp, number
        return path

    def _path(self, stamp: str, number: int, suffix: str) -> Path:
        part = f"-{number}" if number > 1 else ""
        return self._folder / f"{self._stem}-{stamp}{part}{suffix}"


def recorded_files(folder: Path, stem: str) -> list[Path]:
    """Return the files of a recording, of this run and earlier ones, in the order of their names."""
    endings = "|".join(map(re.escape, SUFFIXES))
    pattern = re.compile(rf"{re.escape(stem)}-(\d{{8}}T\d{{6}}Z)(?:-(\d+))?(?:{endings})")
    found = [
        (match[1], int(match[2] or 1), path)
        for path in folder.iterdir()
        if (match := pattern.fullmatch(path.name)) and path.is_file()
    ]
    return [path for _, _, path in sorted(found)]


class RotatingFile:
    """A rotating file: the next one follows at a size or an age. Each begins with ``header()``.

    Writes are unbuffered, so a killed process loses nothing. A single write may exceed ``max_bytes``.
    """

    def __init__(
        self,
        new_path: Callable[[], Path],
        header: Callable[[], bytes],
        max_bytes: int,
        max_s: float,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._new_path, self._header, self._clock = new_path, header, clock
        self._max_bytes, self._max_s = max_bytes, max_s
        self._file: UnbufferedFile | None = None
        self._path: Path | None = None
        self._size = 0
        self._begun_s = 0.0

    @property
    def path(self) -> Path | None:
        """Path of the open file, known before the file exists; from any thread."""
        return self._path

    def write(self, lines: str) -> None:
        """Write whole lines, which stay together in one file.

        SinkError if they cannot be written, or if closing the file before them fails. A half-written line is
        removed, and the next write begins another file.
        """
        data = lines.encode()
        if self._size + len(data) > self._max_bytes or self._clock() - self._begun_s > self._max_s:
            self.close()
        if self._file is None:
            self._path = path = self._new_path()
            self._file, self._size = UnbufferedFile(path), 0
            self._begun_s = self._clock()
            self._append(self._header())
        self._append(data)

    def _append(self, data: bytes) -> None:
        file = self._file
        assert file is not None
        try:
            file.write(data)
        except SinkError:
            self.close()
            with suppress(OSError):  # the disk may be gone
                if self._size:
                    os.truncate(file.path, self._size)
                else:
                    file.path.unlink()
            raise
        self._size += len(data)

    def close(self) -> None:
        """Close the file; SinkError if the disk reports only now that it is full. May be called twice."""
        file, self._file, self._path = self._file, None, None
        if file is not None:
            file.close()
