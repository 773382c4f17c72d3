"""Retention: deletes the oldest files beyond the budget, and pauses a recording on a full disk."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile

from edge_fairmot.errors import SinkError
from edge_fairmot.service.recording.config import MB, RecordingConfig
from edge_fairmot.service.recording.files import recorded_files
from edge_fairmot.service.run import utc_now

CHECK_S = 5.0

HYSTERESIS = 1.25
"""Recording continues with this many times ``keep_free``. Files are deleted from there on already, so that
recording does not pause at all if that gives enough space in time."""

PROBE_BYTES = 64 * 1024
"""Recording continues only when the disk accepts a file of this size."""

FUTURE_S = 60.0
"""A file is from the future if its date is later than now by more than this."""

_log = logging.getLogger(__name__)


class Retention:
    """Checks the disk in its own thread, so that the loop never waits for it.

    ``writing`` returns the files that are being written, which are never deleted. That thread calls it.
    """

    def __init__(self, config: RecordingConfig, writing: Callable[[], Collection[Path]]) -> None:
        self._folder, self._stem, self._writing = config.folder, config.stem, writing
        self._budget, self._keep_free = config.bytes_of("budget"), config.bytes_of("keep_free")
        self._wake, self._closed = threading.Event(), threading.Event()
        self._trouble = ""
        self._checking, self._pausing = threading.Lock(), threading.Lock()
        self._earlier = self._find_earlier()
        self._thread = threading.Thread(target=self._run, name="edge-fairmot disk", daemon=True)
        self.check()
        self._thread.start()

    @property
    def trouble(self) -> str:
        """Reason why recording is paused, one line; empty while it is not."""
        return self._trouble

    def pause(self, reason: SinkError) -> None:
        """Pause recording until there is space; the first reason is logged. From any thread."""
        with self._pausing:  # two threads may meet the same fault: one line in the log
            if not self._trouble:
                _log.warning("recording is paused, tracking continues: %s", reason)
            self._trouble = str(reason)

    def wake(self) -> None:
        """Wake the thread to check the disk; returns at once."""
        self._wake.set()

    def check(self) -> None:
        """Check the disk now, after a check that is going on: its finding is older."""
        with self._checking:
            self._check()

    def _check(self) -> None:
        try:
            self._delete_oldest()
            free = shutil.disk_usage(self._folder).free
        except OSError as error:  # unplugged, for instance
            self.pause(SinkError(f"{self._folder} cannot be read ({error.strerror})"))
            return
        if not self._trouble and free < self._keep_free:
            self.pause(
                SinkError(
                    f"{free / MB:.0f} MB are free in {self._folder}, keep_free is "
                    f"{self._keep_free / MB:.0f} MB: free space there"
                )
            )
        elif self._trouble and free >= HYSTERESIS * self._keep_free and self._accepts_writes():
            self._trouble = ""
            _log.warning("recording continues in %s", self._folder)

    def _accepts_writes(self) -> bool:
        try:
            with TemporaryFile(dir=self._folder, buffering=0) as probe:
                return probe.write(bytes(PROBE_BYTES)) == PROBE_BYTES
        except OSError:
            return False

    def _find_earlier(self) -> frozenset[Path]:
        """Return the files of earlier runs; those from the future are logged."""
        with suppress(OSError):  # check() reports it
            files = recorded_files(self._folder, self._stem)
            now = f"{self._stem}-{utc_now():%Y%m%dT%H%M%SZ}"
            future = [
                path for path in files if path.name[: len(now)] > now or _is_future(path.stat().st_mtime)
            ]
            if future:
                _log.warning(
                    "%d files of the recording are from the future, the last one is %s: the clock was "
                    "ahead when they were recorded, or is behind now: set the clock of this device",
                    len(future),
                    future[-1],
                )
            return frozenset(files)
        return frozenset()

    def _age_key(self, path: Path, mtime: float) -> tuple[bool, bool, float]:
        """Sort files by age: first those of earlier runs, and of them first those from the future.

        The files of this run are newer than all others, whatever the clock says, and in the order of names.
        """
        if path not in self._earlier:
            return True, True, 0.0
        return False, not _is_future(mtime), mtime

    def _delete_oldest(self) -> None:
        files = recorded_files(self._folder, self._stem)
        writing = set(self._writing())  # after the listing: no listed file was begun since
        found = []
        for path in files:
            with suppress(FileNotFoundError):  # deleted by another program
                stat = path.stat()
                found.append((self._age_key(path, stat.st_mtime), path, stat.st_size))
        sizes = {path: size for _, path, size in sorted(found, key=lambda one: one[0])}
        over_budget = sum(sizes.values()) - self._budget
        missing = HYSTERESIS * self._keep_free - shutil.disk_usage(self._folder).free
        reason = "the recording exceeds its budget" if over_budget >= missing else "the disk has little space"
        surplus = max(over_budget, missing)
        for path, size in sizes.items():
            if surplus <= 0:
                break
            if path not in writing:
                path.unlink(missing_ok=True)
                _log.info("deleted %s, the oldest file: %s", path, reason)
                surplus -= size

    def _run(self) -> None:
        while not self._closed.is_set():
            self._wake.wait(CHECK_S)
            self._wake.clear()
            if not self._closed.is_set():
                self.check()

    def close(self) -> None:
        """End the thread. May be called twice."""
        self._closed.set()
        self._wake.set()
        self._thread.join()


def _is_future(mtime: float) -> bool:
    return mtime > time.time() + FUTURE_S
