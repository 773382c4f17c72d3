"""Cameras that a GStreamer pipeline reads, as a Jetson's CSI cameras: pictures come through a pipe.

The OpenCV that pip installs has no GStreamer in it; ``gst-launch-1.0`` is on every Jetson.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from threading import Timer

import numpy as np

from edge_fairmot.errors import InvalidInputError, SourceError
from edge_fairmot.protocols import SourceInfo
from edge_fairmot.sources.base import ReadingGuard
from edge_fairmot.types import Frame, UInt8Array

GSTREAMER_PREFIX = "gstreamer:"
LAUNCHER = "gst-launch-1.0"
EXAMPLE = (
    "gstreamer:nvarguscamerasrc ! video/x-raw(memory:NVMM),width=1280,height=720,framerate=30/1 "
    "! nvvidconv ! video/x-raw,format=BGRx"
)
LONGEST_OPENING_S = 15.0
"""Until the first picture."""

ROW_BYTES = 4
"""GStreamer begins every row of a picture at a multiple of this."""


class GStreamerSource(AbstractContextManager["GStreamerSource"]):
    """Frames of a GStreamer pipeline.

    The pipeline's last ``width``, ``height`` and ``framerate`` say what it gives; it ends before a sink, and
    a conversion to BGR is put there. Frames have the time when they came through.

    Parameters
    ----------
    spec : str
        ``gstreamer:`` and a pipeline in the syntax of ``gst-launch-1.0``.

    Raises
    ------
    InvalidInputError
        If the pipeline does not say width, height and frame rate.
    SourceError
        If there is no GStreamer, or its first picture does not come.
    """

    def __init__(self, spec: str) -> None:
        pipeline = spec.removeprefix(GSTREAMER_PREFIX).strip()
        width, height, rate = _promised(pipeline)
        self._row_bytes = -(-3 * width // ROW_BYTES) * ROW_BYTES
        caps = f"video/x-raw,format=BGR,width={width},height={height}"
        command = [LAUNCHER, "-q", *shlex.split(pipeline), *f"! videoconvert ! {caps} ! fdsink fd=1".split()]
        if shutil.which(LAUNCHER) is None:
            raise SourceError(f"{LAUNCHER} is not installed: sudo apt install gstreamer1.0-tools")
        self._info = SourceInfo(pipeline_name(spec), (width, height), rate, None, live=True)
        # What it complains of goes where ours does: a pipe of its own would fill in months, and block it.
        # A session of its own: Ctrl-C in a terminal is for us, and would look like the camera's end there.
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True
        )
        self._guard = ReadingGuard(self._release)
        hurry = Timer(LONGEST_OPENING_S, self._process.kill)
        hurry.start()
        self._first: UInt8Array | None = self._take()
        hurry.cancel()
        if self._first is None:
            self.close()
            raise SourceError(f"the GStreamer pipeline gives no picture: see what {LAUNCHER} said above")

    @property
    def info(self) -> SourceInfo:
        """What the pipeline says."""
        return self._info

    def __iter__(self) -> Iterator[Frame]:
        """Frames as they come, once.

        Raises
        ------
        SourceError
            If the pipeline ends; at once, if the source was read or closed before.
        """
        first, self._first = self._first, None
        if first is None or self._guard.closed:
            raise SourceError("the pipeline was read or closed already: open it again")
        return self._read(first)

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the pipeline, and with it a read that goes on. May be called twice."""
        self._process.kill()
        self._guard.close()

    def _release(self) -> None:
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process.wait()

    def _take(self) -> UInt8Array | None:
        assert self._process.stdout is not None
        width, height = self._info.frame_size
        with self._guard.reading() as is_open:
            data = self._process.stdout.read(self._row_bytes * height) if is_open else b""
        if len(data) < self._row_bytes * height:
            return None
        rows = np.frombuffer(data, np.uint8).reshape(height, self._row_bytes)
        return np.ascontiguousarray(rows[:, : 3 * width]).reshape(height, width, 3)

    def _read(self, image: UInt8Array | None) -> Iterator[Frame]:
        count = 0
        while image is not None:
            yield Frame(image, count, time.monotonic())
            count += 1
            image = self._take()
        if not self._guard.closed:
            self.close()
            raise SourceError(
                f"the GStreamer pipeline ended after {count} frames: see what {LAUNCHER} said above"
            )


def pipeline_name(spec: str) -> str:
    """Give a pipeline's name as it may be shown: its first element. Others may hold passwords.

    Examples
    --------
    >>> pipeline_name("gstreamer:rtspsrc location=rtsp://cam user-pw=secret ! decodebin")
    'gstreamer:rtspsrc'
    """
    return GSTREAMER_PREFIX + " ".join(spec.removeprefix(GSTREAMER_PREFIX).split()[:1])


def _promised(pipeline: str) -> tuple[int, int, float]:
    """Width, height and frames per second, by the last of each in the pipeline."""
    found = {
        name: re.findall(rf"\b{name}=(?:\((?:int|fraction)\))?(\d+)(?:/(\d+))?", pipeline)
        for name in ("width", "height", "framerate")
    }
    missing = [name for name, values in found.items() if not values or not int(values[-1][0])]
    if missing:
        raise InvalidInputError(f"the pipeline must say {' and '.join(missing)}: write as in {EXAMPLE}")
    (width, _), (height, _), (frames, seconds) = (values[-1] for values in found.values())
    return int(width), int(height), int(frames) / int(seconds or 1)
