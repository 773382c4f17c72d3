"""Sources as measurements need them: first frames, chunks, live or endless playback, letterboxed frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from time import perf_counter, sleep

import numpy as np

from edge_fairmot.errors import EvaluationError, InvalidInputError
from edge_fairmot.letterbox import Letterbox
from edge_fairmot.protocols import Source, SourceInfo
from edge_fairmot.types import Frame, UInt8Array


class FirstFrames:
    """The first ``count`` frames of a source, which is closed with this one. Later errors are not reached."""

    def __init__(self, source: Source, count: int) -> None:
        self._source, self._count = source, count
        known = source.info.frame_count
        self.info = replace(source.info, frame_count=count if known is None else min(known, count))

    def __iter__(self) -> Iterator[Frame]:
        return islice(self._source, self._count)

    def close(self) -> None:
        """Close the source."""
        self._source.close()


class FrameChunk:
    """The next ``count`` frames of an iteration that goes on after them."""

    def __init__(self, info: SourceInfo, frames: Iterator[Frame], count: int) -> None:
        self.info = replace(info, frame_count=count)
        self._frames = islice(frames, count)

    def __iter__(self) -> Iterator[Frame]:
        return self._frames

    def close(self) -> None:
        """Do nothing: the iteration belongs to another object."""


class LivePlayback:
    """The first ``seconds`` of a source, live and at its own pace. The source is closed with this one.

    A frame is decoded before its time, if possible, and yielded at its time. So its time is that of the
    exposure, as if reading the sensor took no time.
    """

    def __init__(self, source: Source, seconds: float) -> None:
        self._source, self._seconds = source, seconds
        self.info = replace(source.info, live=True)
        self._start_s = 0.0
        self.played = 0

    def __iter__(self) -> Iterator[Frame]:
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
        """Return the seconds since the moment of a frame."""
        return perf_counter() - (self._start_s + frame.time_s)

    def close(self) -> None:
        """Close the source."""
        self._source.close()


class LoopedSource:
    """Repeats a source for ``seconds`` of wall clock; frame numbers and times continue."""

    def __init__(self, open_again: Callable[[], Source], seconds: float) -> None:
        self._open_again, self._seconds = open_again, seconds
        self._source = open_again()
        self._closed = False
        self.info = replace(self._source.info, frame_count=None)

    def __iter__(self) -> Iterator[Frame]:
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
            if self._closed or index == first:  # the source is empty
                return
            time_s += 1 / self.info.frame_rate
            self._source = self._open_again()

    def close(self) -> None:
        """Close the source and end the iteration."""
        self._closed = True
        self._source.close()


def letterboxed(
    source: Source, input_size: tuple[int, int], max_frames: int | None = None, first_frame: int = 0
) -> Iterator[tuple[Frame, Letterbox, UInt8Array]]:
    """Yield frames from ``first_frame`` (from 0) on, with their letterbox and uint8 (1, H, W, 3).

    The array is valid until the next frame.
    """
    if max_frames is not None and max_frames < 1:
        raise EvaluationError(f"--max-frames must be at least 1, not {max_frames}")
    batch = np.empty((1, *input_size[::-1], 3), np.uint8)
    end = None if max_frames is None else first_frame + max_frames
    for frame in islice(source, first_frame, end):
        letterbox = Letterbox(frame.size, input_size)
        letterbox.apply(frame.image, out=batch[0])
        yield frame, letterbox, batch


def sample_frames(source: Source, input_size: tuple[int, int], count: int) -> UInt8Array:
    """Return up to ``count`` letterboxed frames at equal distances over the source, uint8 (N, H, W, 3), BGR.

    The first frames are taken where the source does not know its length.
    """
    if count < 1:
        raise InvalidInputError(f"at least 1 frame must be sampled, not {count}")
    length = source.info.frame_count
    part = -1
    taken: list[UInt8Array] = []
    for position, frame in enumerate(source):  # the numbers of frames may have gaps
        # The first frame of each of ``count`` parts, whose lengths differ by one at most.
        before, part = part, position * count // length if length else position
        if part > before:
            taken.append(Letterbox(frame.size, input_size).apply(frame.image))
        if len(taken) == count:
            break
    return np.stack(taken) if taken else np.empty((0, *input_size[::-1], 3), np.uint8)
