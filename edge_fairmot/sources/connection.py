"""One opening of a source, read in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from threading import Thread

from edge_fairmot.channel import Channel, ChannelClosedError
from edge_fairmot.contracts import Source, SourceInfo
from edge_fairmot.types import Frame

BUFFERED = 4
"""Frames that may wait for a reader who is busy for a moment; then the oldest goes."""


class Connection:
    """Opens and reads a source, so that a driver that never returns is nobody else's trouble.

    Parameters
    ----------
    opener : callable
        Gives the opened source; called in the thread.
    """

    def __init__(self, opener: Callable[[], Source]) -> None:
        self._opener = opener
        self._source: Source | None = None
        self._info: SourceInfo | None = None
        self._opened: Channel[SourceInfo] = Channel(1)
        self._frames: Channel[Frame] = Channel(BUFFERED)
        self._closed = False
        self._thread = Thread(target=self._read, name="edge-fairmot source", daemon=True)
        self._thread.start()

    @property
    def is_stuck(self) -> bool:
        """Whether its thread goes on though it was closed: inside a driver, if for long."""
        return self._closed and self._thread.is_alive()

    def wait_open(self, timeout_s: float) -> SourceInfo:
        """Wait until the source is open.

        Raises
        ------
        TimeoutError
            If it takes longer.
        ChannelClosedError
            If it was closed.
        BaseException
            What opening failed with.
        """
        if self._info is None:
            self._info = self._opened.get(timeout_s)
        return self._info

    def next_frame(self, timeout_s: float) -> Frame:
        """Wait for the next frame.

        Raises
        ------
        TimeoutError
            If it takes longer.
        ChannelClosedError
            At the end of the source, or if this was closed.
        BaseException
            What the source failed with.
        """
        return self._frames.get(timeout_s)

    def close(self) -> None:
        """Let go of the source, as soon as it lets go of its thread. Does not wait; from any thread."""
        self._closed = True
        self._opened.close()
        self._frames.close()
        if self._source is not None:
            self._source.close()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread to end, no longer than this."""
        self._thread.join(timeout_s)

    def _read(self) -> None:
        try:
            with closing(self._opener()) as source:
                self._source = source
                self._opened.put(source.info)
                for frame in source:
                    self._frames.put_latest(frame)
        except ChannelClosedError:
            pass
        except BaseException as error:  # raised again by who waits
            self._opened.finish(error)
            self._frames.finish(error)
        else:
            self._opened.finish()
            self._frames.finish()
