"""Clips: video of an event, with the seconds before it."""

from __future__ import annotations

import importlib.util
import logging
import math
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic
from typing import TypeAlias

import cv2
import numpy as np

from edge_fairmot.errors import MissingDependencyError, SinkError
from edge_fairmot.service.recording.config import RecordingConfig
from edge_fairmot.sinks.video import VideoSink
from edge_fairmot.types import FrameResult

NICENESS = 10
"""Niceness of the encoding thread and of the encoder's threads: tracking has priority."""

IDLE_S = 5.0
"""A clip is finished if no frame comes for ``after_s`` and this time: the source is gone."""

CLOSE_S = 0.6
"""Time for encoding at the end of the run."""

_log = logging.getLogger(__name__)


class FrameRing:
    """The results of the last ``before_s`` seconds, in half of the memory; the other half is for the encoder.

    For a source faster than ``rate`` it keeps only some frames. If ``before_s`` of them do not fit, they are
    scaled down to a half, a third ... of their width. ``capacity`` is their number, ``size`` their size.
    """

    def __init__(self, config: RecordingConfig) -> None:
        self._config = config
        self._results: deque[FrameResult] = deque()
        self._source_size = (0, 0)
        self._due_s = -math.inf
        self._step = self.capacity = 1
        self.size = (0, 0)

    def add(self, result: FrameResult) -> FrameResult | None:
        """Store a result; returns it as stored, or None if ``rate`` leaves it out.

        A frame of another size, or with a time that does not rise, empties the ring first.
        """
        frame = result.frame
        if frame.size != self._source_size or frame.time_s <= self._newest_s:
            self._restart(frame.size)
        if frame.time_s < self._due_s:
            return None
        # Counted from the due time, so that 15 frames per second become 10 and not 7.5.
        period_s = 1 / self._config.rate
        self._due_s = max(self._due_s, frame.time_s - period_s) + period_s
        stored = self._shrink(result)
        oldest_s = frame.time_s - self._config.before_s
        while self._results and (
            len(self._results) >= self.capacity or self._results[0].frame.time_s < oldest_s
        ):
            self._results.popleft()
        self._results.append(stored)
        return stored

    def since(self, time_s: float) -> list[FrameResult]:
        """Return the stored results from a time on, oldest first."""
        return [result for result in self._results if result.frame.time_s >= time_s]

    @property
    def _newest_s(self) -> float:
        return self._results[-1].frame.time_s if self._results else -math.inf

    def _restart(self, source_size: tuple[int, int]) -> None:
        self._results.clear()
        self._source_size, self._due_s = source_size, -math.inf
        width, height = source_size
        budget = self._config.bytes_of("memory") / 2
        wanted = max(1, math.ceil(self._config.before_s * self._config.rate))
        fitting = budget / (3 * width * height)
        # A whole number: means over 2x2 or 3x3 whole pixels take a tenth of the time of other means.
        self._step = min(width, height, max(1, math.ceil(math.sqrt(wanted / fitting))))
        self.size = (width // self._step, height // self._step)
        self.capacity = max(1, int(budget / (3 * self.size[0] * self.size[1])))

    def _shrink(self, result: FrameResult) -> FrameResult:
        step, (width, height), frame, tracks = self._step, self.size, result.frame, result.tracks
        image = frame.image
        if step > 1:
            whole = image[: height * step, : width * step]
            image = np.asarray(cv2.resize(whole, self.size, interpolation=cv2.INTER_AREA), np.uint8)
            tracks = replace(tracks, xyxy=tracks.xyxy / np.float32(step))
        return replace(result, frame=replace(frame, image=image, reduced=None), tracks=tracks)


@dataclass(frozen=True, slots=True)
class _Begin:
    size: tuple[int, int]


class _End:
    pass


_Item: TypeAlias = "_Begin | _End | FrameResult | None"


OnClip: TypeAlias = Callable[[Path, float, float], None]


class ClipRecorder:
    """Encodes clips in its own thread. Each frame is drawn with its own tracks and counts.

    ``on_error`` is called from that thread when the disk fails, ``on_clip`` when a clip is finished, with the
    times of its first and last frame.
    """

    def __init__(
        self,
        config: RecordingConfig,
        frame_rate: float,
        new_path: Callable[[], Path],
        on_error: Callable[[SinkError], None],
        on_clip: OnClip | None = None,
    ) -> None:
        if importlib.util.find_spec("av") is None:
            raise MissingDependencyError("av", "video", "to write video")
        self._config, self._new_path = config, new_path
        self._on_error, self._on_clip = on_error, on_clip
        self._shown_s = (math.inf, -math.inf)  # times of the first and the last frame of the open clip
        self._rate = min(config.rate, frame_rate)
        self._ring = FrameRing(config)
        self._queue: SimpleQueue[_Item] = SimpleQueue()
        self._put = self._taken = 0  # each is counted by one thread only
        self._size: tuple[int, int] | None = None  # of the clip in progress
        self._begun_s = self._last_s = self._until_s = -math.inf
        self._path: Path | None = None
        self._deadline_s = math.inf
        self.dropped = 0
        self._thread = threading.Thread(target=self._encode, name="edge-fairmot clips", daemon=True)
        self._thread.start()

    @property
    def path(self) -> Path | None:
        """Path of the clip that is being written; from any thread."""
        return self._path

    def write(self, result: FrameResult) -> None:
        """Take the next result, for the clip in progress and for later ones. Its events trigger a clip."""
        if result.events:
            self._trigger(result.frame.time_s)
        stored = self._ring.add(result)
        if stored is None:
            return
        time_s = stored.frame.time_s
        in_time = self._last_s < time_s <= self._until_s
        too_long = time_s > self._begun_s + self._config.longest_s
        if self._size is not None and (not in_time or too_long or self._size != self._ring.size):
            self._end()
        if self._size is not None:
            self._send(stored)
        elif in_time:
            self._begin((stored,))

    def _trigger(self, time_s: float) -> None:
        """Begin a clip, or extend the one in progress."""
        self._until_s = time_s + self._config.after_s
        if self._size is None:
            self._begin(self._ring.since(time_s - self._config.before_s))

    def _begin(self, results: Sequence[FrameResult]) -> None:
        if not results:
            return
        self._size, self._begun_s = self._ring.size, results[0].frame.time_s
        self._queue.put(_Begin(self._size))
        for result in results[max(0, len(results) - self._room()) :]:
            self._send(result)

    def _room(self) -> int:
        return self._ring.capacity - (self._put - self._taken)

    def _send(self, result: FrameResult) -> None:
        self._last_s = result.frame.time_s
        if self._room() <= 0:
            self.dropped += 1  # the encoder is too slow; the times of the other frames stay right
            return
        self._put += 1
        self._queue.put(result)

    def _end(self) -> None:
        self._size = None
        self._queue.put(_End())

    def _encode(self) -> None:
        with suppress(OSError, AttributeError):  # only Linux has priorities of single threads
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        idle_s = self._config.after_s + IDLE_S
        video: VideoSink | None = None
        while True:
            try:
                item = self._queue.get(timeout=None if video is None else idle_s)
            except Empty:
                item = _End()
            if isinstance(item, FrameResult):
                self._taken += 1
            try:
                video = self._take(item, video)
            except Exception as error:  # no error may end this thread
                video, self._path = None, None
                if isinstance(error, SinkError) and isinstance(error.__cause__, OSError):
                    self._on_error(error)
                else:
                    _log.warning("a clip cannot be recorded: %s", error)
            if item is None:
                return

    def _take(self, item: _Item, video: VideoSink | None) -> VideoSink | None:
        """Process one item of the queue; returns the open clip."""
        if isinstance(item, FrameResult):
            if monotonic() > self._deadline_s:
                self.dropped += 1
            elif video is not None:
                video.write(item)
                time_s = item.frame.time_s
                self._shown_s = min(self._shown_s[0], time_s), max(self._shown_s[1], time_s)
            return video
        if video is not None:
            video.close()
            finished, self._path = self._path, None
            if self._on_clip is not None and finished is not None and self._shown_s[0] <= self._shown_s[1]:
                self._on_clip(finished, *self._shown_s)
        self._shown_s = math.inf, -math.inf
        if not isinstance(item, _Begin):
            return None
        path = self._new_path()
        self._path = path
        return VideoSink(path, item.size, self._rate)

    def close(self) -> None:
        """Finish the clip in progress, as far as there is time. May be called twice."""
        if self._size is not None:
            self._end()
        self._deadline_s = min(self._deadline_s, monotonic() + CLOSE_S)
        self._queue.put(None)
        self._thread.join()
