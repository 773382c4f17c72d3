"""A short queue from one thread to another that can end, fail and be closed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


class ChannelClosedError(Exception):
    """The channel ended or was closed. Ends a thread; never leaves the pipeline."""


@dataclass(frozen=True, slots=True)
class _End:
    error: BaseException | None


class Channel(Generic[T]):
    """Passes items in order from one thread to another; at most ``depth`` items wait in it.

    Both ends wait inside ``SimpleQueue``, which is written in C. So a KeyboardInterrupt cannot leave a lock
    held or an item half passed on, unlike with ``queue.Queue``.
    """

    def __init__(self, depth: int) -> None:
        self._items: SimpleQueue[T | _End] = SimpleQueue()
        self._room: SimpleQueue[None] = SimpleQueue()
        for _ in range(depth):
            self._room.put(None)
        self._closed = False

    def put(self, item: T) -> None:
        """Put an item as soon as there is room; raises ChannelClosedError once the channel is closed."""
        self._room.get()
        if self._closed:
            raise ChannelClosedError
        self._items.put(item)

    def put_latest(self, item: T) -> int:
        """Put an item without waiting; drop the oldest if there is no room. Returns the number dropped."""
        dropped = 0
        try:
            self._room.get_nowait()
        except Empty:
            # The new item takes the oldest one's room. If that was taken this moment, its room comes next.
            dropped = 0 if self._take_waiting() is None else 1
            if not dropped:
                self._room.get()
        if self._closed:
            raise ChannelClosedError
        self._items.put(item)
        return dropped

    def get(self, timeout_s: float | None = None) -> T:
        """Wait for the next item.

        Raises TimeoutError after ``timeout_s``, ChannelClosedError after the last item or once the channel is
        closed, and the error that the putting thread finished with.
        """
        try:
            item = self._items.get(timeout=timeout_s)
        except Empty:
            raise TimeoutError from None
        if isinstance(item, _End):
            self._items.put(_End(None))
            try:
                raise item.error or ChannelClosedError
            finally:
                del item  # the error's traceback holds this frame: together they would be a cycle
        if self._closed:
            raise ChannelClosedError
        self._room.put(None)
        return item

    def poll(self) -> T | None:
        """Take the next item if one waits; None without one and after the end."""
        item = self._take_waiting()
        if item is not None:
            self._room.put(None)
        return item

    def __iter__(self) -> Iterator[T]:
        """Yield items to the end; see :meth:`get`."""
        while True:
            try:
                item = self.get()
            except ChannelClosedError:
                return
            yield item

    def finish(self, error: BaseException | None = None) -> None:
        """End the channel after the items in it; :meth:`get` then raises the error, if there is one."""
        self._items.put(_End(error))

    def close(self) -> None:
        """End both sides now, from any thread; waiting items are dropped."""
        self._closed = True
        self._room.put(None)
        self._items.put(_End(None))

    def _take_waiting(self) -> T | None:
        try:
            item = self._items.get_nowait()
        except Empty:
            return None
        if isinstance(item, _End):
            self._items.put(item)
            return None
        return item
