"""Cameras of the kernel (``/dev/videoN``: USB cameras, capture cards) through OpenCV's V4L2."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge_fairmot.errors import SourceError
from edge_fairmot.protocols import SourceInfo
from edge_fairmot.sources.address import parse_rate, parse_size, read_options
from edge_fairmot.sources.base import FrameSource
from edge_fairmot.sources.clock import StreamClock
from edge_fairmot.types import Frame, UInt8Array

DEVICE_PREFIX = "/dev/video"

DEFAULT_FRAME_RATE = 30.0
"""Frame rate for a driver that reports none."""

MOTION_JPEG = cv2.VideoWriter.fourcc(*"MJPG")
"""Requested first: USB 2 carries only a few uncompressed frames of 720 lines per second."""

MOST_BROKEN_FRAMES = 30
"""Maximum number of frames in a row that cannot be decoded. A bent cable damages single frames."""

SAME_CLOCK_S = 10.0
"""The kernel stamps frames with its monotonic clock. A stamp farther from it is not valid."""


@dataclass(frozen=True, slots=True)
class DeviceOptions:
    """Requested size (width, height) and rate, or None; the driver chooses the nearest."""

    size: tuple[int, int] | None = None
    fps: float | None = None


def parse_device(spec: str) -> tuple[Path, DeviceOptions]:
    """Read ``/dev/video0?size=1280x720&fps=30``; any option may be left out."""
    path, _, query = spec.partition("?")
    readers = {"size": parse_size, "fps": parse_rate}
    options = read_options(spec, query.split("&"), readers, "/dev/video0?size=1280x720&fps=30")
    return Path(path), DeviceOptions(**options)


class DeviceSource(FrameSource):
    """Frames of one camera, such as ``/dev/video0``, with the kernel's time stamps."""

    def __init__(self, path: str | Path, options: DeviceOptions | None = None) -> None:
        self._path = Path(path)
        _check_access(self._path)
        self._capture = cv2.VideoCapture(str(path), cv2.CAP_V4L2)
        super().__init__(str(path))
        if self._capture.isOpened():
            self._ask(options or DeviceOptions())
        self._first = self._take()
        if self._first is None:
            self.close()
            raise SourceError(
                f"{path} gives no frame: see what it can do with v4l2-ctl -d {path} --list-formats-ext, "
                f"and what else uses it with fuser -v {path}"
            )
        height, width = self._first[0].shape[:2]
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self._info = SourceInfo(
            self._name, (width, height), rate if 0 < rate <= 1000 else DEFAULT_FRAME_RATE, None, live=True
        )

    def _ask(self, options: DeviceOptions) -> None:
        # In this order: a size that only Motion JPEG has is refused before it.
        self._capture.set(cv2.CAP_PROP_FOURCC, MOTION_JPEG)
        if options.size is not None:
            self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, options.size[0])
            self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, options.size[1])
        if options.fps is not None:
            self._capture.set(cv2.CAP_PROP_FPS, options.fps)

    def _take(self) -> tuple[UInt8Array, float] | None:
        for _ in range(MOST_BROKEN_FRAMES):
            with self._guard.reading() as is_open:
                if not is_open or not self._capture.grab():
                    return None
                now_s = time.monotonic()
                stamp_s = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                decoded, image = self._capture.retrieve()
            if decoded:
                return np.asarray(image, np.uint8), stamp_s if abs(stamp_s - now_s) < SAME_CLOCK_S else now_s
        return None

    def _release(self) -> None:
        self._capture.release()

    def _frames(self) -> Iterator[Frame]:
        clock = StreamClock(1 / self._info.frame_rate)
        taken, self._first = self._first, None
        count = 0
        while taken is not None:
            image, time_s = taken
            yield Frame(image, count, clock.advance(time_s))
            count += 1
            taken = self._take()
        if not self._guard.closed:
            raise SourceError(f"{self._path} gives no more frames after {count}: was the camera unplugged?")


def _check_access(path: Path) -> None:
    """Raise with a reason; OpenCV gives none."""
    if not path.exists():
        raise SourceError(f"{path} is not there: plug the camera in; ls /dev/video* shows what there is")
    if not os.access(path, os.R_OK | os.W_OK):
        raise SourceError(f"{path} may not be used: sudo usermod -aG video $USER, and log in again")
