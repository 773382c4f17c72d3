"""Video of what happened, with the seconds before it."""

from __future__ import annotations

import importlib.util
import logging
import math
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic

from edge_fairmot.errors import MissingDependencyError, SinkError
from edge_fairmot.service.recording.config import ClipConfig
from edge_fairmot.service.recording.ring import PictureRing
from edge_fairmot.sinks.video import VideoSink
from edge_fairmot.types import Frame, Tracks, UInt8Array

log = logging.getLogger(__name__)

NICENESS = 10
"""Of the thread that encodes, and so of the encoder's: tracking goes first."""

IDLE_S = 5.0
"""A clip for which no picture comes for so much longer than it may take is finished: the source is gone."""

FINISH_WITHIN_S = 0.6
"""How long pictures are still encoded when the run has ended."""


@dataclass(frozen=True, slots=True)
class _Begin:
    size: tuple[int, int]


class _End:
    pass


class ClipRecorder:
    """Writes a clip when asked to: some seconds before, and some after.

    Parameters
    ----------
    config : ClipConfig
    frame_rate : float
        Of the source, frames a second.
    new_path : callable
        Gives the path of a new clip.
    on_trouble : callable
        Called, from a thread of its own, when the disk takes no more.
    overlay : callable, optional
        Draws more on each picture, uint8 (H, W, 3) BGR; called from that thread.

    Raises
    ------
    MissingDependencyError
        If PyAV, which the extra ``video`` brings, is not installed.
    """

    def __init__(
        self,
        config: ClipConfig,
        frame_rate: float,
        new_path: Callable[[], Path],
        on_trouble: Callable[[SinkError], None],
        overlay: Callable[[UInt8Array], None] | None = None,
    ) -> None:
        if importlib.util.find_spec("av") is None:
            raise MissingDependencyError("av", "video", "to write video")
        self._config, self._new_path = config, new_path
        self._rate = min(config.rate, frame_rate)
        self._on_trouble, self._overlay = on_trouble, overlay
        self._ring = PictureRing(config)
        self._queue: SimpleQueue[_Begin | _End | tuple[Frame, Tracks] | None] = SimpleQueue()
        self._put = self._taken = 0  # each counted by one thread alone
        self._size: tuple[int, int] | None = None  # of the clip that is going on
        self._begun_s = self._last_s = self._until_s = -math.inf
        self._path: Path | None = None
        self._hurry_s = math.inf
        self.dropped = 0
        self._thread = threading.Thread(target=self._encode, name="edge-fairmot clips", daemon=True)
        self._thread.start()

    @property
    def path(self) -> Path | None:
        """What is being written now, if anything."""
        return self._path

    def offer(self, frame: Frame, tracks: Tracks) -> None:
        """Take a picture, for the clip that is going on and for those to come. Waits for nothing."""
        kept = self._ring.offer(frame, tracks)
        if kept is None:
            return
        in_time = self._last_s < frame.time_s <= self._until_s
        too_long = frame.time_s > self._begun_s + self._config.longest_s
        if self._size is not None and (not in_time or too_long or self._size != self._ring.size):
            self._end()
        if self._size is not None:
            self._send(kept)
        elif in_time:
            self._begin((kept,))

    def trigger(self, time_s: float) -> None:
        """Something happened: begin a clip, or keep the one that is going on for longer."""
        self._until_s = time_s + self._config.after_s
        if self._size is None:
            earliest_s = time_s - self._config.before_s
            self._begin([picture for picture in self._ring.pictures() if picture[0].time_s >= earliest_s])

    def _begin(self, pictures: Sequence[tuple[Frame, Tracks]]) -> None:
        if not pictures:
            return
        self._size, self._begun_s = self._ring.size, pictures[0][0].time_s
        self._queue.put(_Begin(self._size))
        for picture in pictures[max(0, len(pictures) - self._room()) :]:
            self._send(picture)

    def _room(self) -> int:
        return self._ring.capacity - (self._put - self._taken)

    def _send(self, picture: tuple[Frame, Tracks]) -> None:
        self._last_s = picture[0].time_s
        if self._room() <= 0:
            self.dropped += 1  # the encoder does not keep up; the times in the clip stay right
            return
        self._put += 1
        self._queue.put(picture)

    def _end(self) -> None:
        self._size = None
        self._queue.put(_End())

    def _encode(self) -> None:
        with suppress(OSError, AttributeError):  # where threads have no priorities of their own
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        idle_s = self._config.after_s + IDLE_S
        video: VideoSink | None = None
        while True:
            try:
                item = self._queue.get(timeout=None if video is None else idle_s)
            except Empty:
                item = _End()
            if isinstance(item, tuple):
                self._taken += 1
            try:
                video = self._take(item, video)
            except Exception as error:  # this thread is all there is for clips
                video, self._path = None, None
                if isinstance(error, SinkError) and isinstance(error.__cause__, OSError):
                    self._on_trouble(error)
                else:
                    log.warning("a clip cannot be recorded: %s", error)
            if item is None:
                return

    def _take(
        self, item: _Begin | _End | tuple[Frame, Tracks] | None, video: VideoSink | None
    ) -> VideoSink | None:
        if isinstance(item, tuple):
            if monotonic() > self._hurry_s:
                self.dropped += 1
            elif video is not None:
                video.write(*item)
            return video
        if video is not None:
            video.close()
            self._path = None
        if not isinstance(item, _Begin):
            return None
        path = self._new_path()
        self._path = path
        return VideoSink(path, item.size, self._rate, self._overlay)

    def close(self) -> None:
        """Finish what is being encoded, as far as there is time. May be called twice."""
        if self._size is not None:
            self._end()
        self._hurry_s = min(self._hurry_s, monotonic() + FINISH_WITHIN_S)
        self._queue.put(None)
        self._thread.join()
