"""Retention: deletes the oldest files beyond the budget, and pauses a recording on a full disk."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from edge_fairmot.errors import SinkError
from edge_fairmot.service.recording.config import MB, RecordingConfig
from edge_fairmot.service.recording.files import recorded_files

CHECK_S = 5.0

HYSTERESIS = 1.25
"""Recording continues with this many times ``keep_free``. Files are deleted from there on already, so that
recording does not pause at all if that gives enough space in time."""

PROBE_BYTES = 64 * 1024
"""Recording continues only when the disk accepts a file of this size."""

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
        self._thread = threading.Thread(target=self._run, name="edge-fairmot disk", daemon=True)
        self.check()
        self._thread.start()

    @property
    def trouble(self) -> str:
        """Reason why recording is paused, one line; empty while it is not."""
        return self._trouble

    def pause(self, reason: SinkError) -> None:
        """Pause recording until there is space; the first reason is logged. From any thread."""
        if not self._trouble:
            _log.warning("recording is paused, tracking continues: %s", reason)
        self._trouble = str(reason)

    def wake(self) -> None:
        """Wake the thread to check the disk; returns at once."""
        self._wake.set()

    def check(self) -> None:
        """Check the disk now."""
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
        probe = self._folder / f".{self._stem}.probe"
        try:
            probe.write_bytes(bytes(PROBE_BYTES))
        except OSError:
            return False
        finally:
            with suppress(OSError):
                probe.unlink()
        return True

    def _delete_oldest(self) -> None:
        files = recorded_files(self._folder, self._stem)
        writing = set(self._writing())  # after the listing: no listed file was begun since
        sizes: dict[Path, int] = {}
        for path in files:
            with suppress(FileNotFoundError):  # deleted by another program
                sizes[path] = path.stat().st_size
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
