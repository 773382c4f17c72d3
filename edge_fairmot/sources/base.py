"""One thread reads, any thread closes, and nothing is released while it is read from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock


class ReadingGuard:
    """Releases a device once: at :meth:`close`, or where it is being read from then, right after that read.

    Drivers and decoders crash when they are released under a thread that reads from them.

    Parameters
    ----------
    release : callable
        Called once, from the closing or the reading thread.
    """

    def __init__(self, release: Callable[[], None]) -> None:
        self._release: Callable[[], None] | None = release
        self._reading = Lock()
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._closed

    @contextmanager
    def reading(self) -> Iterator[bool]:
        """Hold the device for one read; gives False where it was closed."""
        with self._reading:
            yield not self._closed
        if self._closed:
            self._settle()

    def close(self) -> None:
        """Release, and if not now then soon. May be called twice, from any thread; does not wait."""
        self._closed = True
        self._settle()

    def _settle(self) -> None:
        if not self._reading.acquire(blocking=False):
            return  # who reads comes by here next
        try:
            release, self._release = self._release, None
            if release is not None:
                release()
        finally:
            self._reading.release()
