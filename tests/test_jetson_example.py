"""The camera of examples/jetson, with another command in the place of GStreamer's."""

import importlib.util
import shutil
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from edge_fairmot import Pipeline, Tracker
from edge_fairmot.errors import SourceError
from edge_fairmot.runtimes import open_runtime

EXAMPLE = Path(__file__).parents[1] / "examples" / "jetson" / "csi_camera.py"
WRITER = """
import sys
for n in range({count}):
    sys.stdout.buffer.write(bytes([n]) * (48 * 64 * 3))
sys.exit({status})
"""


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("csi_camera", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def writer(count, status=0):
    return [sys.executable, "-c", WRITER.format(count=count, status=status)]


def test_raw_pictures_become_frames_with_their_time(example):
    with closing(example.RawVideo(writer(3), (64, 48), 30)) as camera:
        frames = list(camera)
    assert camera.info.live
    assert [(frame.index, frame.image.shape, int(frame.image.max())) for frame in frames] == [
        (n, (48, 64, 3), n) for n in range(3)
    ]
    times = [frame.time_s for frame in frames]
    assert times == sorted(times)


def test_a_camera_that_fails_is_an_error_after_its_last_frame(example):
    seen = []
    with (
        closing(example.RawVideo(writer(2, status=1), (64, 48), 30)) as camera,
        pytest.raises(SourceError, match="the camera ended after 2 frames"),
    ):
        seen.extend(frame.index for frame in camera)
    assert seen == [0, 1]


def test_closing_ends_a_camera_that_never_would(example):
    endless = [sys.executable, "-c", "import sys\nwhile True: sys.stdout.buffer.write(bytes(48 * 64 * 3))"]
    began = time.monotonic()
    with closing(example.RawVideo(endless, (64, 48), 30)) as camera:
        assert next(iter(camera)).image.shape == (48, 64, 3)
    camera.close()
    assert time.monotonic() - began < 30


def test_it_is_tracked_live(example, small_model):
    with (
        closing(example.RawVideo(writer(20), (64, 48), 30)) as camera,
        closing(open_runtime(small_model)) as runtime,
    ):
        pipeline = Pipeline(camera, runtime, Tracker())
        indices = [frame.index for frame, _ in pipeline]
    assert indices == sorted(indices)
    assert indices[-1] == 19
    assert pipeline.summary().dropped == 20 - len(indices)


@pytest.mark.skipif(not shutil.which("gst-launch-1.0"), reason="needs gst-launch-1.0")
def test_gstreamer_writes_pictures_as_they_are_read(example):
    """The string of the example, with a test picture for the camera and its converter."""
    start, end = "nvarguscamerasrc sensor-id=0", "nvvidconv ! "
    assert example.CAMERA.startswith(start)
    string = example.CAMERA.replace(start, "videotestsrc pattern=green num-buffers=2").replace(
        end, "videoconvert ! "
    )
    command = ["gst-launch-1.0", "-q", *string.replace("(memory:NVMM)", "").split()]
    with closing(example.RawVideo(command, example.SIZE, example.RATE)) as camera:
        frames = list(camera)
    assert len(frames) == 2
    blue, green, red = frames[1].image.reshape(-1, 3).mean(axis=0)
    assert (green > 200, blue < 60, red < 60) == (True, True, True)
    assert np.ptp(frames[1].image.reshape(-1, 3), axis=0).max() < 10  # no row is shifted
