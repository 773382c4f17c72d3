"""Keeps a recording within its budget and off a full disk."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from edge_fairmot.errors import SinkError
from edge_fairmot.service.recording.config import MB, RecordingConfig
from edge_fairmot.service.recording.names import recorded_files

log = logging.getLogger(__name__)

CHECK_S = 5.0

ROOM_TO_GO_ON = 1.25
"""Times what must stay free: else recording would stop again at once. Files are given up from there on, so
that it does not stop at all where they give room in time."""

LEAST_ROOM = 64 * 1024
"""Bytes that the disk must have taken before recording goes on."""


class DiskKeeper:
    """Looks after a disk in a thread of its own, so that the loop waits neither for it nor for deletions.

    Parameters
    ----------
    config : RecordingConfig
        Its folder exists.
    writing : callable
        Gives the files that are being written: they are never deleted. Called from the thread.
    """

    def __init__(self, config: RecordingConfig, writing: Callable[[], Collection[Path]]) -> None:
        self._config, self._writing = config, writing
        self._news, self._closed = threading.Event(), threading.Event()
        self._trouble = ""
        self._thread = threading.Thread(target=self._run, name="edge-fairmot disk", daemon=True)
        self.look()
        self._thread.start()

    @property
    def trouble(self) -> str:
        """Why nothing is recorded now, one line; empty while it is."""
        return self._trouble

    def stop(self, reason: SinkError) -> None:
        """Stop recording until there is room, and say so once. From any thread."""
        if not self._trouble:
            log.warning("recording has stopped, tracking goes on: %s", reason)
        self._trouble = str(reason)

    def begun(self) -> None:
        """Tell that a file was begun, so that others may have to go. Returns at once."""
        self._news.set()

    def look(self) -> None:
        """Look after the disk now."""
        try:
            self._give_up_oldest()
            free = shutil.disk_usage(self._config.folder).free
        except OSError as error:  # unplugged, for instance
            self.stop(SinkError(f"{self._config.folder} cannot be read ({error.strerror})"))
            return
        if not self._trouble and free < self._config.keep_free_bytes:
            self.stop(
                SinkError(
                    f"{free / MB:.0f} MB are free in {self._config.folder}, "
                    f"{self._config.keep_free_bytes / MB:.0f} are to stay free: free space there"
                )
            )
        elif self._trouble and free >= ROOM_TO_GO_ON * self._config.keep_free_bytes and self._takes_writes():
            self._trouble = ""
            log.warning("recording goes on in %s", self._config.folder)

    def _takes_writes(self) -> bool:
        probe = self._config.folder / f".{self._config.stem}.probe"
        try:
            probe.write_bytes(bytes(LEAST_ROOM))
        except OSError:
            return False
        finally:
            with suppress(OSError):
                probe.unlink()
        return True

    def _give_up_oldest(self) -> None:
        """Delete what is beyond the budget, or takes the room that must stay free on a smaller disk."""
        config = self._config
        files = recorded_files(config.folder, config.stem)
        writing = set(self._writing())  # asked for later, so that none of the files was begun since
        sizes: dict[Path, int] = {}
        for path in files:
            with suppress(FileNotFoundError):  # somebody else has deleted it
                sizes[path] = path.stat().st_size
        beyond = sum(sizes.values()) - config.budget_bytes
        missing = ROOM_TO_GO_ON * config.keep_free_bytes - shutil.disk_usage(config.folder).free
        reason = "the recording is over its budget" if beyond >= missing else "the disk has little room"
        surplus = max(beyond, missing)
        for path, size in sizes.items():
            if surplus <= 0:
                break
            if path not in writing:
                path.unlink(missing_ok=True)
                log.info("deleted %s, the oldest: %s", path, reason)
                surplus -= size

    def _run(self) -> None:
        while not self._closed.is_set():
            self._news.wait(CHECK_S)
            self._news.clear()
            if not self._closed.is_set():
                self.look()

    def close(self) -> None:
        """End the thread. May be called twice."""
        self._closed.set()
        self._news.set()
        self._thread.join()
