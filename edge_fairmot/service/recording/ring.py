"""The last few seconds of pictures, in memory that is bounded."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import replace

import cv2
import numpy as np

from edge_fairmot.service.recording.config import ClipConfig
from edge_fairmot.types import Frame, Tracks


class PictureRing:
    """Keeps what may become the beginning of a clip.

    Of more pictures than ``rate`` a second it keeps some. They are kept as they are, at no cost, where
    ``before_s`` of them fit into half of the memory, and half as wide, or a third ..., where not. The other
    half of the memory is for those that are being encoded.

    Parameters
    ----------
    config : ClipConfig
    """

    def __init__(self, config: ClipConfig) -> None:
        self._config = config
        self._pictures: deque[tuple[Frame, Tracks]] = deque()
        self._source_size = (0, 0)
        self._due_s = -math.inf
        self._step = self.capacity = 1
        self.size = (0, 0)

    def offer(self, frame: Frame, tracks: Tracks) -> tuple[Frame, Tracks] | None:
        """Take a picture; returns it as it is kept, None where it is one too many.

        A picture of another size, or from before the last one, begins anew.
        """
        height, width = frame.image.shape[:2]
        if (width, height) != self._source_size or frame.time_s <= self._newest_s:
            self._begin((width, height))
        if frame.time_s < self._due_s:
            return None
        # From when it was due, so that 15 pictures a second become 10 and not 7.5.
        period_s = 1 / self._config.rate
        self._due_s = max(self._due_s, frame.time_s - period_s) + period_s
        kept = self._shrink(frame, tracks)
        while self._pictures and (
            len(self._pictures) >= self.capacity
            or self._pictures[0][0].time_s < frame.time_s - self._config.before_s
        ):
            self._pictures.popleft()
        self._pictures.append(kept)
        return kept

    def pictures(self) -> tuple[tuple[Frame, Tracks], ...]:
        """Give what is kept, oldest first."""
        return tuple(self._pictures)

    @property
    def _newest_s(self) -> float:
        return self._pictures[-1][0].time_s if self._pictures else -math.inf

    def _begin(self, source_size: tuple[int, int]) -> None:
        self._pictures.clear()
        self._source_size, self._due_s = source_size, -math.inf
        width, height = source_size
        wanted = max(1, math.ceil(self._config.before_s * self._config.rate))
        fitting = self._config.memory_bytes / 2 / (3 * width * height)
        # A whole number: means over 2x2 or 3x3 pixels take a tenth of the time of those over parts of pixels.
        self._step = min(width, height, max(1, math.ceil(math.sqrt(wanted / fitting))))
        self.size = (width // self._step, height // self._step)
        self.capacity = max(1, int(self._config.memory_bytes / 2 / (3 * self.size[0] * self.size[1])))

    def _shrink(self, frame: Frame, tracks: Tracks) -> tuple[Frame, Tracks]:
        step, (width, height) = self._step, self.size
        if step == 1:
            return frame, tracks
        whole = frame.image[: height * step, : width * step]
        image = np.asarray(cv2.resize(whole, self.size, interpolation=cv2.INTER_AREA), np.uint8)
        return Frame(image, frame.index, frame.time_s), replace(tracks, xyxy=tracks.xyxy / np.float32(step))
