"""A source that comes back: opened again, with growing waits, whenever it is lost."""

from __future__ import annotations

import ctypes
import gc
import logging
import math
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, replace
from threading import Event, Thread
from typing import TypeAlias

from edge_fairmot.benchmarks.street import SPEC_PREFIX
from edge_fairmot.channel import Channel, ChannelClosedError
from edge_fairmot.errors import InvalidInputError, SourceError
from edge_fairmot.protocols import Source, SourceInfo, SourceState, SourceStatus
from edge_fairmot.sources.network import NetworkOptions
from edge_fairmot.sources.opening import is_camera, open_source, shown_name
from edge_fairmot.types import Frame, UInt8Array

# FOLDED connection.py: One opening of a source, read in a thread of its own.

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


# FOLDED freeze_watch.py: Whether a camera shows the same picture for ever.

STRIDE = 16
"""Every so many pixels each way are looked at: enough to see noise, and nothing to pay for."""


class FreezeWatch:
    """Notices a picture that does not change any more, not by a bit: a sensor's noise alone would.

    Where opening the camera again did not help it was a still scene after all (a drawn picture, a dark room
    through an encoder that smooths): then it waits twice as long until the next time, and so on.

    Parameters
    ----------
    patience_s : float
        How long a picture may stay the same; 0 never looks.
    """

    def __init__(self, patience_s: float) -> None:
        self._usual_s = self._patience_s = patience_s
        self._seen = b""
        self._since_s = 0.0

    def restart(self, now_s: float) -> None:
        """Count from now: the camera was away, and what it last showed stayed the same only so."""
        self._since_s = now_s

    def is_frozen(self, image: UInt8Array, now_s: float) -> bool:
        """Look at the next picture.

        Parameters
        ----------
        image : uint8 (H, W, 3)
        now_s : float
            On any clock that does not go back.
        """
        if not self._usual_s:
            return False
        seen = image[::STRIDE, ::STRIDE].tobytes()
        if seen != self._seen:
            self._seen, self._since_s, self._patience_s = seen, now_s, self._usual_s
            return False
        if now_s - self._since_s <= self._patience_s:
            return False
        self._since_s = now_s
        self._patience_s *= 2
        return True


# FOLDED live_clock.py: One clock for a camera that comes and goes: its own between two frames, the machine's for the rest.

LARGEST_LAG_S = 5.0
"""Pictures wait in a camera's buffers, and networks stall. What is later than this had its clock set back."""

USUAL_LAG_S = 0.5
"""What pictures are on their way for, and more."""

CORRECTION_S = 1e-4
"""A frame, beyond that: 2.5 ms a second at 25 Hz. No two clocks of crystal drift apart so fast."""

SMALLEST_STEP_S = 1e-3


class LiveClock:
    """Puts a source's times on the machine's monotonic clock, strictly rising.

    What is between two frames is the source's, its zero is not: a camera that was opened again begins anew,
    and one whose clock is set jumps. A picture cannot come before it was taken: the one that was on its way
    for the shortest time says how the clocks belong together, until one is later than is possible.
    """

    def __init__(self) -> None:
        self._offset_s: float | None = None
        self._last_s = -math.inf

    def restart(self) -> None:
        """Begin with a source that was opened anew, and may count from anywhere."""
        self._offset_s = None

    def time_of(self, source_s: float, now_s: float) -> float:
        """Time of a frame on the machine's clock.

        Parameters
        ----------
        source_s : float
            As the source gives it.
        now_s : float
            On the machine's monotonic clock.
        """
        # A source may be on the machine's own clock, and then knows best when a picture was taken.
        offset_s = 0.0 if self._offset_s is None else self._offset_s
        lag_s = now_s - source_s - offset_s
        if not 0 <= lag_s <= LARGEST_LAG_S:
            offset_s = now_s - source_s
        elif lag_s > USUAL_LAG_S:
            offset_s += CORRECTION_S
        self._offset_s = offset_s
        self._last_s = max(source_s + offset_s, self._last_s + SMALLEST_STEP_S)
        return self._last_s


# FOLDED (moved to base) reading_guard.py: One thread reads, any thread closes, and nothing is released while it is read from.


# FOLDED unused_memory.py: Memory that was freed and that the system does not have back yet.


def return_unused_memory() -> None:
    """Give it back, as far as the C library can.

    An error and the frames of the stack that it was raised through hold each other, and with them pictures,
    until Python looks for such circles, which it may do hours later. glibc keeps what is freed between pieces
    that are in use. A source that was opened again and again made a process grow by 30 MB an hour so.
    """
    gc.collect()
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # not in musl
        if trim is not None:
            trim(ctypes.c_size_t(0))


# FOLDED paced.py: A file, a folder or the synthetic street at its own speed, as a camera would give it.

LARGEST_DELAY_S = 1.0
"""What is late by more (a slow decoder, a machine that slept) is not made up for."""


class PacedSource(AbstractContextManager["PacedSource"]):
    """Gives each frame of another source when its time has come; live.

    ``time_s`` is on ``time.monotonic``'s clock.

    Parameters
    ----------
    source : Source
        Closed with this one.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._closed = Event()
        self._info = replace(source.info, live=True)
        self._state = SourceState("starting", time.monotonic())

    @property
    def info(self) -> SourceInfo:
        """What the other source says, but live."""
        return self._info

    def state(self) -> SourceState:
        """Tell how it is doing; from any thread."""
        return self._state

    def __iter__(self) -> Iterator[Frame]:
        """Frames in order, once, each at its time.

        Raises
        ------
        SourceError
            As the other source.
        """
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

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the iteration. May be called twice, from any thread."""
        self._closed.set()
        self._source.close()

    def _turn(self, status: SourceStatus) -> None:
        self._state = SourceState(status, time.monotonic())


GROWTH, JITTER = 2.0, 0.25
"""Each wait is so many times the one before, and more or less by a share of itself, by chance: many devices
that lost one camera must not all come back in the same moment."""

LONGEST_OPENING_S = 30.0
"""Until the first frame. A source's own timeout comes before."""

LONGEST_FAREWELL_S = 2.0
"""A lost source has this long to let go of its device before it is opened again."""

MOST_STUCK = 3
"""Reads that never came back. Each holds a thread, and perhaps the device: a new process is needed."""

ASSUMED_SIZE, ASSUMED_FRAME_RATE = (1280, 720), 25.0
"""What is said of a camera that has not been there yet."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReconnectConfig:
    """When a source counts as lost, and how long to wait for it.

    Attributes
    ----------
    first_wait_s, longest_wait_s : float
        Before it is opened again: the first time, and at most. What has run for the longest wait without a
        loss begins with the first again.
    stall_s : float
        Without a frame for so long it is lost.
    frozen_s : float
        With the same picture, to the bit, for so long it is lost too; 0 never.
    give_up_s : float
        After so long without a frame the run ends with an error; 0 never.

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


class ReconnectingSource(AbstractContextManager["ReconnectingSource"]):
    """Gives the frames of a live source over all its losses; ends only when it is closed.

    The source is lost when it fails, ends, says nothing or shows the same picture for too long. It is then
    opened again until it is back. ``index`` goes on, and so does ``time_s``, which is on
    ``time.monotonic``'s clock whatever the source's is: a gap is as long as it was.

    The first opening is waited for, so that :attr:`info` is the source's own; where that fails because the
    source is not there (yet), ``info`` is an assumption, and the iteration goes on trying.

    Parameters
    ----------
    name : str
        As it may be shown.
    opener : callable
        Opens the source anew; called in a thread of its own.
    config : ReconnectConfig, optional

    Raises
    ------
    EdgeFairmotError
        What opening it failed with, where trying again would not mend that: a missing package, a wrong
        option.
    """

    def __init__(
        self, name: str, opener: Callable[[], Source], config: ReconnectConfig | None = None
    ) -> None:
        self._name, self._opener = name, opener
        self._config = config or ReconnectConfig()
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
            self._info = replace(self._connection.wait_open(LONGEST_OPENING_S), name=name)
        except (SourceError, OSError) as error:
            self._lose(_told(error, LONGEST_OPENING_S))

    @property
    def info(self) -> SourceInfo:
        """What the source says since it was last opened; an assumption before that."""
        return self._info

    def state(self) -> SourceState:
        """Tell how it is doing; from any thread."""
        return self._state

    def __iter__(self) -> Iterator[Frame]:
        """Frames as they come.

        Raises
        ------
        SourceError
            If it was away for longer than ``give_up_s``, or its driver does not let go of it any more.
        EdgeFairmotError
            As when it was first opened.
        """
        while not self._closed.is_set():
            yield from self._try()

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the iteration. May be called twice, from any thread; does not wait for the driver."""
        self._closed.set()
        connection = self._connection
        if connection is not None:
            connection.close()
        self._turn("ended")

    def _try(self) -> Iterator[Frame]:
        connection = self._connection or self._connect()
        try:
            yield from self._frames(connection)
        except (SourceError, OSError) as error:
            self._lose(_told(error, self._config.stall_s))
        except ChannelClosedError:
            self._lose(f"{self._name} ended")

    def _connect(self) -> Connection:
        self._wait()
        connection = self._connection = Connection(self._opener)
        if self._closed.is_set():  # meanwhile, by one who could not know of it
            connection.close()
        return connection

    def _frames(self, connection: Connection) -> Iterator[Frame]:
        self._info = replace(connection.wait_open(LONGEST_OPENING_S), name=self._name)
        began_s, first_index = time.monotonic(), self._next_index
        self._clock.restart()
        self._freeze.restart(began_s)
        while not self._closed.is_set():
            frame = connection.next_frame(self._config.stall_s)
            now_s = time.monotonic()
            self._heard_s = now_s
            if self._state.status != "running":
                self._greet()
            if now_s - began_s > self._config.longest_wait_s:
                self._wait_s = self._config.first_wait_s
            if self._freeze.is_frozen(frame.image, now_s):
                raise SourceError(
                    f"{self._name} shows the same picture for {self._config.frozen_s:g} s or more"
                )
            self._next_index = first_index + frame.index + 1
            yield replace(
                frame, index=first_index + frame.index, time_s=self._clock.time_of(frame.time_s, now_s)
            )

    def _greet(self) -> None:
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
            connection.join(LONGEST_FAREWELL_S)
            return_unused_memory()
            self._stuck = [one for one in (*self._stuck, connection) if one.is_stuck]

    def _wait(self) -> None:
        """Wait before the next try; raise where it makes no sense to go on."""
        away_s = time.monotonic() - self._heard_s
        if 0 < self._config.give_up_s < away_s:
            raise SourceError(f"given up after {away_s:.0f} s: {self._state.message}")
        if len(self._stuck) >= MOST_STUCK:
            raise SourceError(
                f"{self._name}: the driver does not let go of it: start again ({self._state.message})"
            )
        wait_s = self._wait_s * random.uniform(1 - JITTER, 1 + JITTER)
        self._wait_s = min(self._wait_s * GROWTH, self._config.longest_wait_s)
        _log.warning("%s; next try in %.1f s", self._state.message, wait_s)
        self._closed.wait(wait_s)

    def _turn(self, status: SourceStatus, message: str = "") -> None:
        since_s = self._state.since_s if status == self._state.status else time.monotonic()
        self._state = SourceState(status, since_s, self._reconnects, message)


def _told(error: Exception, timeout_s: float) -> str:
    if isinstance(error, SourceError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"nothing came for {timeout_s:g} s"  # a TimeoutError of our own, which says nothing


# FOLDED live.py: Any source as a live one: a camera so that it comes back, anything else at its own speed.

LiveSource: TypeAlias = ReconnectingSource | PacedSource

ENDLESS_STREET = "frames=endless"
"""What a street without a length gets here: as a file's it would end after 20 seconds."""


def open_live_source(
    spec: str, reconnect: ReconnectConfig | None = None, network: NetworkOptions | None = None
) -> LiveSource:
    """Open a source for as long as it is let.

    Parameters
    ----------
    spec : str
        As :func:`edge_fairmot.sources.open_source` takes it. A street without a length is endless.
    reconnect : ReconnectConfig, optional
        When a camera is lost, and how long it is waited for.
    network : NetworkOptions, optional
        For an address.

    Returns
    -------
    ReconnectingSource or PacedSource
        ``time_s`` of its frames is on ``time.monotonic``'s clock; ``state()`` says how it is doing.

    Raises
    ------
    EdgeFairmotError
        What opening it failed with, where trying again would not mend that.
    """
    if is_camera(spec):
        return ReconnectingSource(shown_name(spec), lambda: open_source(spec, network), reconnect)
    if spec.startswith(SPEC_PREFIX) and "frames=" not in spec:
        spec = f"{spec}{'' if spec.endswith((':', ',')) else ','}{ENDLESS_STREET}"
    return PacedSource(open_source(spec))
