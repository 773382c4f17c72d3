"""Files as cameras: frames come when they are due, whether or not anybody has time for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from time import perf_counter, sleep

from edge_fairmot.contracts import Source, SourceInfo
from edge_fairmot.types import Frame


class FirstFrames:
    """The first frames of a source.

    Parameters
    ----------
    source : Source
        Closed with this.
    count : int
    """

    def __init__(self, source: Source, count: int) -> None:
        self._source, self._count = source, count
        known = source.info.frame_count
        self._info = replace(source.info, frame_count=count if known is None else min(known, count))

    @property
    def info(self) -> SourceInfo:
        """The source's, with fewer frames."""
        return self._info

    def __iter__(self) -> Iterator[Frame]:
        """Frames in order, once; what is wrong with the source after them is not looked at."""
        if self._count < 1:
            return
        for given, frame in enumerate(self._source, start=1):
            yield frame
            if given == self._count:
                return

    def close(self) -> None:
        """Close the source."""
        self._source.close()


class PacedSource:
    """Plays a source at its own pace, live.

    A frame is decoded ahead of its moment where there is time, and given at it: as if the moment were that of
    exposure, and reading the sensor took no time.

    Parameters
    ----------
    source : Source
        Closed with this.
    seconds : float
        Of the source, at most.
    """

    def __init__(self, source: Source, seconds: float) -> None:
        self._source, self._seconds = source, seconds
        self._info = replace(source.info, live=True)
        self._start_s = 0.0
        self.played = 0

    @property
    def info(self) -> SourceInfo:
        """The source's, live."""
        return self._info

    def __iter__(self) -> Iterator[Frame]:
        """Frames in order, each at its time, once."""
        first_s: float | None = None
        for frame in self._source:
            if first_s is None:
                first_s = frame.time_s
                self._start_s = perf_counter() - first_s
            if frame.time_s - first_s > self._seconds:
                return
            sleep(max(0.0, self._start_s + frame.time_s - perf_counter()))
            self.played += 1
            yield frame

    def age_s(self, frame: Frame) -> float:
        """Seconds since the moment of a frame."""
        return perf_counter() - (self._start_s + frame.time_s)

    def close(self) -> None:
        """Close the source."""
        self._source.close()
