"""Track people before a Jetson's CSI camera: ``python csi_camera.py MODEL [RUNTIME [CACHE_FOLDER]]``.

GStreamer hands the pictures over through a pipe, because the OpenCV that pip installs has no GStreamer in it.
Prints the identities in view, and writes tracks.txt (MOTChallenge) until Ctrl-C.
"""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

import numpy as np

from edge_fairmot import Frame, Pipeline, Tracker, TrackerConfig
from edge_fairmot.contracts import SourceInfo
from edge_fairmot.errors import SourceError
from edge_fairmot.runtimes import RuntimeOptions, open_runtime
from edge_fairmot.sinks import MotTextSink

SIZE, RATE = (1280, 720), 30  # one of the modes that nvarguscamerasrc lists when it starts
CAMERA = (
    f"nvarguscamerasrc sensor-id=0 ! video/x-raw(memory:NVMM),width={SIZE[0]},height={SIZE[1]},"
    f"framerate={RATE}/1,format=NV12 ! nvvidconv ! video/x-raw,format=BGRx ! videoconvert ! "
    "video/x-raw,format=BGR ! fdsink fd=1"
)


class RawVideo:
    """A source of raw pictures that a command writes to its output: BGR, one after the other.

    Parameters
    ----------
    command : sequence of str
    size : (int, int)
        Width and height, pixels; the width a multiple of 4, or GStreamer pads the rows.
    rate : float
        Pictures a second.
    """

    def __init__(self, command: Sequence[str], size: tuple[int, int], rate: float) -> None:
        self.info = SourceInfo(command[0], size, rate, None, live=True)
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)

    def __iter__(self) -> Iterator[Frame]:
        (width, height), start, index = self.info.frame_size, time.monotonic(), 0
        while len(data := self._read(3 * width * height)) == 3 * width * height:
            image = np.frombuffer(data, np.uint8).reshape(height, width, 3)
            yield Frame(image, index, time.monotonic() - start)
            index += 1
        if self._process.wait() > 0:  # less than 0: ended by close()
            raise SourceError(f"the camera ended after {index} frames: see what {self.info.name} said above")

    def _read(self, count: int) -> bytes:
        assert self._process.stdout is not None
        try:
            return self._process.stdout.read(count)
        except ValueError:  # closed meanwhile
            return b""

    def close(self) -> None:
        """End the command."""
        assert self._process.stdout is not None
        self._process.terminate()
        self._process.wait()
        self._process.stdout.close()


def main(model: str, runtime: str = "tensorrt", cache_folder: str = "engines") -> None:
    """Track until Ctrl-C."""
    options = RuntimeOptions(cache_folder=Path(cache_folder) if runtime == "tensorrt" else None)
    with (
        suppress(KeyboardInterrupt),
        closing(open_runtime(model, runtime, options)) as opened,
        closing(RawVideo(["gst-launch-1.0", "-q", *CAMERA.split()], SIZE, RATE)) as camera,
        closing(MotTextSink("tracks.txt")) as sink,
    ):
        for frame, tracks in Pipeline(camera, opened, Tracker(TrackerConfig(frame_rate=RATE)), [sink]):
            print(f"{frame.time_s:8.2f} s", *tracks.track_id.tolist(), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
