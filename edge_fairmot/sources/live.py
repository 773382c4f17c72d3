"""Any source as a live one: a camera that is opened again after a loss, anything else at its own speed."""

from __future__ import annotations

import ctypes
import gc
import logging
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from threading import Event, Thread
from typing import TypeAlias

from edge_fairmot.channel import Channel, ChannelClosedError
from edge_fairmot.errors import InvalidInputError, SourceError
from edge_fairmot.protocols import Source, SourceInfo, SourceState, SourceStatus
from edge_fairmot.sources.base import FrameSource, OpenedSource
from edge_fairmot.sources.clock import LiveClock
from edge_fairmot.sources.network import NetworkOptions
from edge_fairmot.sources.opening import find_entry_point, is_camera, open_source, redacted_name
from edge_fairmot.types import Frame, UInt8Array

BUFFERED = 4
"""Maximum number of frames that wait for a busy reader; beyond it the oldest is dropped."""

LONGEST_OPENING_S = 30.0
"""Maximum wait until the source is open. The source's own timeout is shorter."""

LONGEST_CLOSING_S = 2.0
"""A lost source has this long to release its device before it is opened again."""

MOST_STUCK = 3
"""With this many reads that never return, the run fails. Each holds a thread, and perhaps the device."""

GROWTH, JITTER = 2.0, 0.25
"""Factor from one wait to the next, and the random share of a wait: devices that lost the same camera must
not all return at the same moment."""

ASSUMED_SIZE, ASSUMED_FRAME_RATE = (1280, 720), 25.0
"""Assumed for a camera that has not answered yet."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReconnectConfig:
    """When a source counts as lost, and how long to wait for it.

    Attributes
    ----------
    first_wait_s, longest_wait_s : float
        The first and the longest wait before the source is opened again. After ``longest_wait_s`` without a
        loss, the next wait is the first again.
    stall_s : float
        A source without a frame for this long is lost.
    frozen_s : float
        A source that repeats the same image, bit for bit, for this long is lost; 0 turns this off.
    give_up_s : float
        After this long without a frame, the run ends with an error; 0 turns this off.

    Raises
    ------
    InvalidInputError
        If a value is out of range.
    """

    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0
    stall_s: float = 5.0
    frozen_s: float = 60.0
    give_up_s: float = 0.0

    def __post_init__(self) -> None:
        for name in ("first_wait_s", "longest_wait_s", "stall_s"):
            if not 0 < getattr(self, name) <= 86400:
                raise InvalidInputError(
                    f"{name} must be above 0 and at most 86400, not {getattr(self, name)}"
                )
        for name in ("frozen_s", "give_up_s"):
            if not 0 <= getattr(self, name) <= 86400:
                raise InvalidInputError(f"{name} must be between 0 and 86400, not {getattr(self, name)}")


class Connection:
    """Opens and reads a source in its own thread, because a driver may block it for ever."""

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
        """Whether the thread still runs after ``close``, because the driver blocks it."""
        return self._closed and self._thread.is_alive()

    def wait_open(self, timeout_s: float) -> SourceInfo:
        """Wait until the source is open; raises TimeoutError, ChannelClosedError or the error of opening."""
        if self._info is None:
            self._info = self._opened.get(timeout_s)
        return self._info

    def next_frame(self, timeout_s: float) -> Frame:
        """Wait for a frame; raises TimeoutError, ChannelClosedError at the end, or the source's error."""
        return self._frames.get(timeout_s)

    def close(self) -> None:
        """Release the source as soon as its read returns. Does not wait. Safe in any thread."""
        self._closed = True
        self._opened.close()
        self._frames.close()
        if self._source is not None:
            self._source.close()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread to end, at most ``timeout_s``."""
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
        except BaseException as error:  # raised again in the thread that waits
            self._opened.finish(error)
            self._frames.finish(error)
        else:
            self._opened.finish()
            self._frames.finish()


class FreezeWatch:
    """Detects an image that stays the same, bit for bit, for ``limit_s`` (0: off); sensor noise changes it.

    If the image is the same after the camera was opened again, it may be a drawn one. So each detection
    doubles the limit.
    """

    STRIDE = 16  # pixels each way: enough to see noise

    def __init__(self, limit_s: float) -> None:
        self._first_limit_s = self._limit_s = limit_s
        self._seen = b""
        self._since_s = 0.0

    def restart(self, now_s: float) -> None:
        """Count from now, because the camera was opened again."""
        self._since_s = now_s

    def is_frozen(self, image: UInt8Array, now_s: float) -> bool:
        """Return whether the image, uint8 (H, W, 3), has not changed for the limit."""
        if not self._first_limit_s:
            return False
        seen = image[:: self.STRIDE, :: self.STRIDE].tobytes()
        if seen != self._seen:
            self._seen, self._since_s, self._limit_s = seen, now_s, self._first_limit_s
            return False
        if now_s - self._since_s <= self._limit_s:
            return False
        self._since_s = now_s
        self._limit_s *= 2
        return True


def return_unused_memory() -> None:
    """Return freed memory to the system, as far as the C library can.

    An error and its traceback are a reference cycle, which keeps images until the next garbage collection.
    glibc keeps freed memory between blocks in use. A source that was opened again and again took 30 MB an
    hour.
    """
    gc.collect()
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # not in musl
        if trim is not None:
            trim(ctypes.c_size_t(0))


class ReconnectingSource(FrameSource):
    """Frames of a live source that is opened again after each loss. Ends only when it is closed.

    The source is lost when it fails, ends, yields no frame or repeats the same image for too long. It is then
    opened again until it is back. ``index`` and ``time_s`` continue after a loss. ``time_s`` is on the clock
    of ``time.monotonic``, so it includes the gap.

    The constructor waits for the first opening, so that :attr:`info` is the source's own. If the source is
    not there yet, ``info`` is an assumption, and the iteration waits on or tries again.

    Parameters
    ----------
    name : str
        Name to show, without passwords.
    opener : callable
        Opens the source; called in a new thread each time.
    config : ReconnectConfig, optional
    patience_s : float
        Longest wait of the constructor, seconds.

    Raises
    ------
    EdgeFairmotError
        The error of opening, if another try does not help: a missing package, a wrong option.
    """

    def __init__(
        self,
        name: str,
        opener: Callable[[], Source],
        config: ReconnectConfig | None = None,
        patience_s: float = LONGEST_OPENING_S,
    ) -> None:
        super().__init__(name)
        self._opener, self._config = opener, config or ReconnectConfig()
        self._closed = Event()
        self._stuck: list[Connection] = []
        self._clock, self._freeze = LiveClock(), FreezeWatch(self._config.frozen_s)
        self._next_index = self._reconnects = 0
        self._wait_s = self._config.first_wait_s
        self._heard_s = time.monotonic()
        self._state = SourceState("starting", self._heard_s, message=f"opening {name}")
        self._info = SourceInfo(name, ASSUMED_SIZE, ASSUMED_FRAME_RATE, None, live=True)
        self._connection: Connection | None = Connection(opener)
        try:
            self._info = replace(self._connection.wait_open(patience_s), name=name)
        except (SourceError, OSError) as error:
            if isinstance(error, TimeoutError) and patience_s < LONGEST_OPENING_S:
                return
            self._lose(_reason(error, LONGEST_OPENING_S))

    def state(self) -> SourceState:
        """State of the source; from any thread."""
        return self._state

    def close(self) -> None:
        """End the iteration. Does not wait for the driver. Safe in any thread, and a second time."""
        super().close()
        self._closed.set()
        connection = self._connection
        if connection is not None:
            connection.close()
        self._turn("ended")

    def _frames(self) -> Iterator[Frame]:
        while not self._closed.is_set():
            connection = self._connection or self._connect()
            try:
                yield from self._read(connection)
            except (SourceError, OSError) as error:
                self._lose(_reason(error, self._config.stall_s))
            except ChannelClosedError:
                self._lose(f"{self._name} ended")

    def _connect(self) -> Connection:
        self._wait()
        connection = self._connection = Connection(self._opener)
        if self._closed.is_set():  # close() did not see this connection
            connection.close()
        return connection

    def _read(self, connection: Connection) -> Iterator[Frame]:
        self._info = replace(connection.wait_open(LONGEST_OPENING_S), name=self._name)
        began_s, first_index = time.monotonic(), self._next_index
        self._clock.restart()
        self._freeze.restart(began_s)
        while not self._closed.is_set():
            frame = connection.next_frame(self._config.stall_s)
            now_s = time.monotonic()
            self._heard_s = now_s
            if self._state.status != "running":
                self._begin()
            if now_s - began_s > self._config.longest_wait_s:
                self._wait_s = self._config.first_wait_s
            if self._freeze.is_frozen(frame.image, now_s):
                raise SourceError(
                    f"{self._name} shows the same image for {self._config.frozen_s:g} s or more"
                )
            self._next_index = first_index + frame.index + 1
            yield replace(
                frame, index=first_index + frame.index, time_s=self._clock.time_of(frame.time_s, now_s)
            )

    def _begin(self) -> None:
        if self._state.status == "lost":
            self._reconnects += 1
        width, height = self._info.frame_size
        self._turn("running")
        _log.info("%s is there: %dx%d, %.3g frames/s", self._name, width, height, self._info.frame_rate)

    def _lose(self, problem: str) -> None:
        if not self._closed.is_set():
            self._turn("lost" if self._next_index else "starting", problem)
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
            connection.join(LONGEST_CLOSING_S)
            return_unused_memory()
            self._stuck = [one for one in (*self._stuck, connection) if one.is_stuck]

    def _wait(self) -> None:
        """Wait before the next try; raise if another try does not help."""
        away_s = time.monotonic() - self._heard_s
        if 0 < self._config.give_up_s < away_s:
            raise SourceError(f"given up after {away_s:.0f} s: {self._state.message}")
        if len(self._stuck) >= MOST_STUCK:
            raise SourceError(
                f"{self._name}: the driver does not release it: start again ({self._state.message})"
            )
        wait_s = self._wait_s * random.uniform(1 - JITTER, 1 + JITTER)
        self._wait_s = min(self._wait_s * GROWTH, self._config.longest_wait_s)
        _log.warning("%s; next try in %.1f s", self._state.message, wait_s)
        self._closed.wait(wait_s)

    def _turn(self, status: SourceStatus, message: str = "") -> None:
        since_s = self._state.since_s if status == self._state.status else time.monotonic()
        self._state = SourceState(status, since_s, self._reconnects, message)


def _reason(error: Exception, timeout_s: float) -> str:
    if isinstance(error, SourceError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"nothing came for {timeout_s:g} s"  # our own TimeoutError has no text


LARGEST_DELAY_S = 1.0
"""A larger delay (a slow decoder, a suspended machine) is not caught up."""


class PacedSource(FrameSource):
    """A live source: yields each frame of another source when it is due.

    ``time_s`` is on the clock of ``time.monotonic``.

    Parameters
    ----------
    source : Source
        Closed with this one.
    """

    def __init__(self, source: Source) -> None:
        super().__init__(source.info.name)
        self._source = source
        self._closed = Event()
        self._info = replace(source.info, live=True)
        self._state = SourceState("starting", time.monotonic())

    def state(self) -> SourceState:
        """State of the source; from any thread."""
        return self._state

    def close(self) -> None:
        """End the iteration. Safe in any thread, and a second time."""
        self._closed.set()
        self._source.close()
        super().close()

    def _frames(self) -> Iterator[Frame]:
        start_s: float | None = None
        self._turn("running")
        try:
            for frame in self._source:
                now_s = time.monotonic()
                if start_s is None or now_s - (start_s + frame.time_s) > LARGEST_DELAY_S:
                    start_s = now_s - frame.time_s
                due_s = start_s + frame.time_s
                if self._closed.wait(max(0.0, due_s - now_s)):
                    return
                yield replace(frame, time_s=due_s)
        finally:
            self._turn("ended")

    def _turn(self, status: SourceStatus) -> None:
        self._state = SourceState(status, time.monotonic())


LiveSource: TypeAlias = ReconnectingSource | PacedSource

ENDLESS = "frames=endless"
"""Appended to an address without ``frames=``, if the source of another package knows the option."""


def open_live_source(
    spec: str,
    reconnect: ReconnectConfig | None = None,
    network: NetworkOptions | None = None,
    *,
    patience_s: float = LONGEST_OPENING_S,
) -> LiveSource:
    """Open a source as a live one, which ends when it is closed.

    Parameters
    ----------
    spec : str
        As for :func:`edge_fairmot.sources.open_source`. ``synthetic:`` without a number of frames is endless.
    reconnect : ReconnectConfig, optional
        When a camera counts as lost, and how long to wait for it.
    network : NetworkOptions, optional
        For the address of a network camera.
    patience_s : float
        Longest wait until a camera is open, seconds; after it the iteration waits on.

    Returns
    -------
    ReconnectingSource or PacedSource
        ``time_s`` of its frames is on the clock of ``time.monotonic``; ``state()`` is the source's state.

    Raises
    ------
    EdgeFairmotError
        The error of opening, if another try does not help.
    """
    name = redacted_name(spec)
    if is_camera(spec):
        return ReconnectingSource(name, lambda: open_source(spec, network=network), reconnect, patience_s)
    if find_entry_point(spec) is None:
        return PacedSource(open_source(spec))
    opened = [_open_endless(spec)]
    if not opened[0].info.live:
        return PacedSource(opened[0])
    return ReconnectingSource(name, lambda: opened.pop() if opened else open_source(spec), reconnect)


def _open_endless(spec: str) -> OpenedSource:
    if "frames=" not in spec:
        try:
            return open_source(f"{spec}{'' if spec.endswith((':', ',')) else ','}{ENDLESS}")
        except InvalidInputError:
            pass  # the source does not know the option, or the address is wrong by itself
    return open_source(spec)
