"""A short queue from one thread to another that can end, fail and be closed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


class ChannelClosedError(Exception):
    """There is nothing more to get, or nobody left to put for. Ends a thread and never leaves the loop."""


@dataclass(frozen=True, slots=True)
class _End:
    error: BaseException | None


class Channel(Generic[T]):
    """Hands items over in order, from one putting thread to one getting thread.

    Both ends wait inside ``SimpleQueue``, which is written in C: a KeyboardInterrupt in the middle leaves no
    lock held and no item half handed over, as it could with ``queue.Queue``.

    Parameters
    ----------
    depth : int
        How many items may wait in it.
    """

    def __init__(self, depth: int) -> None:
        self._items: SimpleQueue[T | _End] = SimpleQueue()
        self._room: SimpleQueue[None] = SimpleQueue()
        for _ in range(depth):
            self._room.put(None)
        self._closed = False

    def put(self, item: T) -> None:
        """Hand an item over, as soon as there is room.

        Raises
        ------
        ChannelClosedError
            If the channel was closed.
        """
        self._room.get()
        if self._closed:
            raise ChannelClosedError
        self._items.put(item)

    def put_latest(self, item: T) -> int:
        """Hand an item over without waiting: where there is no room, the one that waits longest goes.

        Returns
        -------
        int
            How many items went, 0 or 1.

        Raises
        ------
        ChannelClosedError
            If the channel was closed.
        """
        dropped = 0
        try:
            self._room.get_nowait()
        except Empty:
            # Its room is the new one's. If it was taken this moment, its room is about to be free.
            dropped = 0 if self._take_waiting() is None else 1
            if not dropped:
                self._room.get()
        if self._closed:
            raise ChannelClosedError
        self._items.put(item)
        return dropped

    def get(self, timeout_s: float | None = None) -> T:
        """Wait for the next item, as long as it takes or so many seconds.

        Raises
        ------
        TimeoutError
            If none came in time.
        ChannelClosedError
            After the last item, or if the channel was closed.
        BaseException
            What the putting thread finished with, after the last item.
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
        """Take the next item if one waits; None where there is none or the end has come."""
        item = self._take_waiting()
        if item is not None:
            self._room.put(None)
        return item

    def __iter__(self) -> Iterator[T]:
        """Items to the end; see :meth:`get`."""
        while True:
            try:
                item = self.get()
            except ChannelClosedError:
                return
            yield item

    def finish(self, error: BaseException | None = None) -> None:
        """Tell the getting thread that nothing follows, or hand it the error to raise there."""
        self._items.put(_End(error))

    def close(self) -> None:
        """End both sides now, from any thread; what waits is not handed over."""
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
