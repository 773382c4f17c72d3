"""Cameras of the kernel (``/dev/videoN``: USB cameras, capture cards) through OpenCV's V4L2."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge_fairmot.errors import SourceError
from edge_fairmot.protocols import SourceInfo
from edge_fairmot.sources.address import read_options, read_rate, read_size
from edge_fairmot.sources.base import ReadingGuard
from edge_fairmot.sources.decoding import RisingClock
from edge_fairmot.types import Frame, UInt8Array

DEVICE_PREFIX = "/dev/video"

DEFAULT_FRAME_RATE = 30.0
"""For a driver that does not tell its rate."""

MOTION_JPEG = cv2.VideoWriter.fourcc(*"MJPG")
"""Asked for first: USB 2 has no room for uncompressed pictures of 720 lines at more than a few a second."""

MAX_BROKEN_PICTURES = 30
"""In a row that cannot be decoded: a cable that is bent breaks one now and then, and that is no loss."""

SAME_CLOCK_S = 10.0
"""The kernel stamps frames on its monotonic clock. A stamp further from it is of another clock, or none."""


@dataclass(frozen=True, slots=True)
class DeviceOptions:
    """What a camera is asked for; the driver gives what is nearest.

    Attributes
    ----------
    size : (int, int) or None
        Width and height, pixels; None leaves the driver's.
    fps : float or None
        Frames per second; None leaves the driver's.
    """

    size: tuple[int, int] | None = None
    fps: float | None = None


def parse_device(spec: str) -> tuple[Path, DeviceOptions]:
    """Read ``/dev/video0?size=1280x720&fps=30``; any option may be left out.

    Raises
    ------
    InvalidInputError
        If an option is unknown or cannot be read.
    """
    path, _, query = spec.partition("?")
    readers = {"size": read_size, "fps": read_rate}
    options = read_options(spec, query.split("&"), readers, "/dev/video0?size=1280x720&fps=30")
    return Path(path), DeviceOptions(**options)


class DeviceSource(AbstractContextManager["DeviceSource"]):
    """Frames of one camera, with the kernel's time stamps.

    Parameters
    ----------
    path : str or Path
        As in ``/dev/video0``.
    options : DeviceOptions, optional

    Raises
    ------
    SourceError
        If it is not there, not allowed, in use, or gives no picture.
    """

    def __init__(self, path: str | Path, options: DeviceOptions | None = None) -> None:
        options = options or DeviceOptions()
        self._path = Path(path)
        _check_access(self._path)
        self._capture = cv2.VideoCapture(str(self._path), cv2.CAP_V4L2)
        self._guard = ReadingGuard(self._capture.release)
        if self._capture.isOpened():
            self._ask(options)
        self._first = self._take()
        if self._first is None:
            self._guard.close()
            raise SourceError(
                f"{path} gives no picture: see what it can do with v4l2-ctl -d {path} --list-formats-ext, "
                f"and what else uses it with fuser -v {path}"
            )
        height, width = self._first[0].shape[:2]
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self._info = SourceInfo(
            str(path), (width, height), rate if 0 < rate <= 1000 else DEFAULT_FRAME_RATE, None, live=True
        )

    @property
    def info(self) -> SourceInfo:
        """Size of the first picture, and the rate that the driver says it gives."""
        return self._info

    def __iter__(self) -> Iterator[Frame]:
        """Frames as they come, once.

        Raises
        ------
        SourceError
            If the camera gives no more; at once, if the source was read or closed before.
        """
        first, self._first = self._first, None
        if first is None or self._guard.closed:
            raise SourceError(f"{self._path} was read or closed already: open it again")
        return self._read(first)

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the iteration and let go of the camera, after the read that goes on. May be called twice."""
        self._guard.close()

    def _ask(self, options: DeviceOptions) -> None:
        # In this order: a size that only Motion JPEG has is refused before it.
        self._capture.set(cv2.CAP_PROP_FOURCC, MOTION_JPEG)
        if options.size is not None:
            self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, options.size[0])
            self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, options.size[1])
        if options.fps is not None:
            self._capture.set(cv2.CAP_PROP_FPS, options.fps)

    def _take(self) -> tuple[UInt8Array, float] | None:
        for _ in range(MAX_BROKEN_PICTURES):
            with self._guard.reading() as is_open:
                if not is_open or not self._capture.grab():
                    return None
                now_s = time.monotonic()
                stamp_s = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                decoded, image = self._capture.retrieve()
            if decoded:
                return np.asarray(image, np.uint8), stamp_s if abs(stamp_s - now_s) < SAME_CLOCK_S else now_s
        return None

    def _read(self, taken: tuple[UInt8Array, float] | None) -> Iterator[Frame]:
        clock = RisingClock(1 / self._info.frame_rate)
        count = 0
        while taken is not None:
            image, time_s = taken
            yield Frame(image, count, clock.advance(time_s))
            count += 1
            taken = self._take()
        if not self._guard.closed:
            raise SourceError(f"{self._path} gives no more pictures after {count}: was the camera unplugged?")


def _check_access(path: Path) -> None:
    """Say what OpenCV would not: it opens, or it does not."""
    if not path.exists():
        raise SourceError(f"{path} is not there: plug the camera in; ls /dev/video* shows what there is")
    if not os.access(path, os.R_OK | os.W_OK):
        raise SourceError(f"{path} may not be used: sudo usermod -aG video $USER, and log in again")
