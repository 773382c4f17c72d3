"""Names of the files: ``STEM-20261123T142920Z.jsonl``, the time being when it was begun, UTC.

Tracks are ``.jsonl`` and ``.txt``, events ``.events.jsonl``, clips ``.mp4``. A second file of one second is
``STEM-20261123T142920Z-2.jsonl``.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

TRACKS, TEXT, EVENTS, CLIP = ".jsonl", ".txt", ".events.jsonl", ".mp4"


class FileNames:
    """Gives names in the order in which files are begun, also where the clock is set back. From any thread.

    Parameters
    ----------
    folder : Path
    stem : str
    now : callable, optional
        Gives the time, UTC.
    """

    def __init__(
        self,
        folder: Path,
        stem: str,
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        self._folder, self._stem, self._now = folder, stem, now
        self._lock = threading.Lock()
        self._last: dict[str, tuple[str, int]] = {}

    def next(self, suffix: str) -> Path:
        """Choose a name that no file has, after all that were given before."""
        with self._lock:
            stamp, number = f"{self._now():%Y%m%dT%H%M%SZ}", 1
            last_stamp, last_number = self._last.get(suffix, ("", 0))
            if stamp <= last_stamp:
                stamp, number = last_stamp, last_number + 1
            # Not Path.exists, which raises on a disk that fails.
            while os.path.exists(path := self._path(stamp, number, suffix)):
                number += 1
            self._last[suffix] = stamp, number
        return path

    def _path(self, stamp: str, number: int, suffix: str) -> Path:
        part = f"-{number}" if number > 1 else ""
        return self._folder / f"{self._stem}-{stamp}{part}{suffix}"


def recorded_files(folder: Path, stem: str) -> list[Path]:
    """Find the files of a recording, of this run and those before, oldest first; no others."""
    pattern = re.compile(
        re.escape(stem) + r"-(\d{8}T\d{6}Z)(?:-(\d+))?(?:\.jsonl|\.txt|\.events\.jsonl|\.mp4)"
    )
    found = [
        (match[1], int(match[2] or 1), path)
        for path in folder.iterdir()
        if (match := pattern.fullmatch(path.name)) and path.is_file()
    ]
    return [path for _, _, path in sorted(found)]
