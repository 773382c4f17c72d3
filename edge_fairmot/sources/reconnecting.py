"""A source that comes back: opened again, with growing waits, whenever it is lost."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from threading import Event

from edge_fairmot.channel import ChannelClosedError
from edge_fairmot.contracts import Source, SourceInfo
from edge_fairmot.errors import InvalidInputError, SourceError
from edge_fairmot.sources.connection import Connection
from edge_fairmot.sources.freeze_watch import FreezeWatch
from edge_fairmot.sources.live_clock import LiveClock
from edge_fairmot.sources.state import SourceState, SourceStatus
from edge_fairmot.sources.unused_memory import return_unused_memory
from edge_fairmot.types import Frame

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
