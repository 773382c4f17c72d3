"""What all sources share: they are read once, by one thread, and closed by any thread."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Protocol

from edge_fairmot.errors import InvalidInputError, SourceError
from edge_fairmot.protocols import Source, SourceInfo
from edge_fairmot.types import Frame

ROUNDING_S = 1e-6
"""Tolerance: the times of frames are fractions, those of a part are decimals."""


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """Settings of a file or a folder: its properties, and the part to read.

    Attributes
    ----------
    frame_rate : float or None
        Frames per second, where the file or folder states none or a wrong one. ``time_s`` of a frame is then
        ``index / frame_rate``.
    start_s : float
        Frames before this time are passed over. The frames after it keep their index and time.
    duration_s : float or None
        The source ends this many seconds after ``start_s``.
    max_frames : int or None
        The source ends after this many frames.

    Raises
    ------
    InvalidInputError
        If a value is out of range.
    """

    frame_rate: float | None = None
    start_s: float = 0.0
    duration_s: float | None = None
    max_frames: int | None = None

    def __post_init__(self) -> None:
        for name in ("frame_rate", "duration_s"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise InvalidInputError(f"{name} must be positive, not {value}")
        if not 0 <= self.start_s < math.inf:
            raise InvalidInputError(f"start_s must be 0 or more, not {self.start_s}")
        if self.max_frames is not None and self.max_frames < 1:
            raise InvalidInputError(f"max_frames must be 1 or more, not {self.max_frames}")

    @property
    def selects_part(self) -> bool:
        """Whether some frames are left out."""
        return (self.start_s, self.duration_s, self.max_frames) != (0, None, None)

    def is_before(self, time_s: float) -> bool:
        """Whether a frame of this time is passed over."""
        return time_s < self.start_s - ROUNDING_S

    def is_after(self, time_s: float) -> bool:
        """Whether the part ends before a frame of this time."""
        return self.duration_s is not None and time_s > self.start_s + self.duration_s - ROUNDING_S

    def count(self, frame_count: int | None, frame_rate: float) -> int | None:
        """Estimate how many of the ``frame_count`` frames of a source are read."""
        limits = [] if frame_count is None else [max(0, frame_count - self.start_s * frame_rate)]
        limits += [] if self.duration_s is None else [self.duration_s * frame_rate]
        limits += [] if self.max_frames is None else [self.max_frames]
        return round(min(limits)) if limits else None


class ReadingGuard:
    """Releases a device or file once: on :meth:`close`, or right after the read that is going on then.

    Drivers and decoders crash where they are released while another thread reads from them.
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
        """Hold the device for one read; yields False if it was closed."""
        with self._reading:
            yield not self._closed
        if self._closed:
            self._settle()

    def close(self) -> None:
        """Release now or after the current read. Does not wait; may be called twice, from any thread."""
        self._closed = True
        self._settle()

    def _settle(self) -> None:
        if not self._reading.acquire(blocking=False):
            return  # the reading thread settles after its read
        try:
            release, self._release = self._release, None
            if release is not None:
                release()
        finally:
            self._reading.release()


class OpenedSource(Source, Protocol):
    """A source that is also a context manager, as all sources of :func:`open_source` are."""

    def __enter__(self) -> OpenedSource:
        """Return the source."""

    def __exit__(self, *_: object) -> None:
        """Close the source."""


class FrameSource(AbstractContextManager["FrameSource"]):
    """Base of the sources: read once, closed from any thread.

    A subclass sets ``_info`` in its constructor. Its ``_frames`` ends without an error after a close.
    """

    _info: SourceInfo

    def __init__(self, name: str) -> None:
        self._name = name
        self._guard = ReadingGuard(self._release)
        self._was_read = False

    @property
    def info(self) -> SourceInfo:
        """Name, size, rate and number of frames."""
        return self._info

    def __iter__(self) -> Iterator[Frame]:
        """Frames in order, once.

        Raises
        ------
        SourceError
            After the last good frame, if frames are missing; at once, if the source was read or closed.
        """
        if self._was_read or self._guard.closed:
            raise SourceError(f"{self._name} was read or closed already: open it again")
        self._was_read = True
        return self._frames()

    @abstractmethod
    def _frames(self) -> Iterator[Frame]:
        """Frames in order; called once."""

    def _release(self) -> None:
        """Release files and devices; called once, when nothing reads from them."""

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the iteration and release the source. May be called twice, from any thread."""
        self._guard.close()
