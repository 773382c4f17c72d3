"""Files as cameras: frames that come when they are due, taken or not, and frames without end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from time import perf_counter, sleep

from edge_fairmot.protocols import Source, SourceInfo
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


class LivePlayback:
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


class LoopedSource:
    """Plays a source over and over, with frame numbers and times that go on.

    Parameters
    ----------
    open_again : callable
        Opens the source.
    seconds : float
        Wall clock; after them it ends.
    """

    def __init__(self, open_again: Callable[[], Source], seconds: float) -> None:
        self._open_again, self._seconds = open_again, seconds
        self._source = open_again()
        self._closed = False
        self._info = replace(self._source.info, frame_count=None)

    @property
    def info(self) -> SourceInfo:
        """The source's, with nothing said of its length."""
        return self._info

    def __iter__(self) -> Iterator[Frame]:
        """Frames in order, once."""
        index, time_s, end_s = 0, 0.0, perf_counter() + self._seconds
        while True:
            first = index
            start_s = time_s
            for frame in self._source:
                if perf_counter() > end_s:
                    return
                time_s = start_s + frame.time_s
                yield replace(frame, index=index, time_s=time_s)
                index += 1
            self._source.close()
            if self._closed or index == first:  # there is nothing in it
                return
            time_s += 1 / self._info.frame_rate
            self._source = self._open_again()

    def close(self) -> None:
        """Close the source, and end."""
        self._closed = True
        self._source.close()
