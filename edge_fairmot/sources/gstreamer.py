"""Cameras behind a GStreamer pipeline, such as a Jetson's CSI cameras; frames come through a pipe.

The OpenCV that pip installs has no GStreamer in it; ``gst-launch-1.0`` is on every Jetson.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from threading import Timer

import numpy as np

from edge_fairmot.errors import InvalidInputError, SourceError
from edge_fairmot.protocols import SourceInfo
from edge_fairmot.sources.base import FrameSource
from edge_fairmot.types import Frame, UInt8Array

GSTREAMER_PREFIX = "gstreamer:"
LAUNCHER = "gst-launch-1.0"
EXAMPLE = (
    "gstreamer:nvarguscamerasrc ! video/x-raw(memory:NVMM),width=1280,height=720,framerate=30/1 "
    "! nvvidconv ! video/x-raw,format=BGRx"
)
LONGEST_OPENING_S = 15.0
"""Maximum wait for the first frame."""

ROW_BYTES = 4
"""GStreamer begins every row of an image at a multiple of this."""


class GStreamerSource(FrameSource):
    """Frames of a pipeline in the syntax of ``gst-launch-1.0``, with the times of their arrival.

    The last ``width``, ``height`` and ``framerate`` of the pipeline state its output. It has no sink: a
    conversion to BGR is appended.
    """

    def __init__(self, spec: str) -> None:
        super().__init__(pipeline_name(spec))
        pipeline = spec.removeprefix(GSTREAMER_PREFIX).strip()
        width, height, rate = stated_format(pipeline)
        self._row_bytes = -(-3 * width // ROW_BYTES) * ROW_BYTES
        caps = f"video/x-raw,format=BGR,width={width},height={height}"
        command = [LAUNCHER, "-q", *shlex.split(pipeline), *f"! videoconvert ! {caps} ! fdsink fd=1".split()]
        if shutil.which(LAUNCHER) is None:
            raise SourceError(f"{LAUNCHER} is not installed: sudo apt install gstreamer1.0-tools")
        self._info = SourceInfo(self._name, (width, height), rate, None, live=True)
        # Its complaints go to our stderr: a pipe of their own would fill in months, and block it.
        # Its own session: otherwise Ctrl-C would end the pipeline, which looks like a lost camera.
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True
        )
        limit = Timer(LONGEST_OPENING_S, self._process.kill)
        limit.start()
        self._first: UInt8Array | None = self._take()
        limit.cancel()
        if self._first is None:
            self.close()
            raise SourceError(f"the GStreamer pipeline gives no frame: see what {LAUNCHER} said above")

    def close(self) -> None:
        """End the pipeline, and with it a read that is going on. May be called twice."""
        self._process.kill()
        super().close()

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

    def _frames(self) -> Iterator[Frame]:
        image, self._first = self._first, None
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
    """Return the name of a pipeline to show: its first element. Others may contain passwords.

    Examples
    --------
    >>> pipeline_name("gstreamer:rtspsrc location=rtsp://cam user-pw=secret ! decodebin")
    'gstreamer:rtspsrc'
    """
    return GSTREAMER_PREFIX + " ".join(spec.removeprefix(GSTREAMER_PREFIX).split()[:1])


def stated_format(pipeline: str) -> tuple[int, int, float]:
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
