"""Frames of a GStreamer pipeline, with a test image for the camera."""

from __future__ import annotations

import re
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from edge_fairmot.errors import InvalidInputError, SourceError
from edge_fairmot.sources import open_source
from edge_fairmot.sources.gstreamer import EXAMPLE, LAUNCHER, GStreamerSource, pipeline_name, stated_format

needs_gstreamer = pytest.mark.skipif(
    not shutil.which(LAUNCHER), reason="needs gst-launch-1.0: apt-get install gstreamer1.0-tools"
)
GREEN = "gstreamer:videotestsrc pattern=green {more} ! video/x-raw,width={width},height=48,framerate=20/1"


@needs_gstreamer
@pytest.mark.parametrize("width", [64, 66], ids=["rows without padding", "rows with padding"])
def test_frames_come_as_the_pipeline_says(width: int) -> None:
    with open_source(GREEN.format(more="num-buffers=3", width=width)) as source:
        assert (source.info.frame_size, source.info.frame_rate) == ((width, 48), 20.0)
        assert source.info.live
        frames = iter(source)
        indices = [next(frames).index for _ in range(3)]
        with pytest.raises(SourceError, match="the GStreamer pipeline ended after 3 frames"):
            next(frames)
    assert indices == [0, 1, 2]
    with open_source(GREEN.format(more="num-buffers=3", width=width)) as source:
        blue, green, red = next(iter(source)).image.reshape(-1, 3).mean(axis=0)
    assert (green > 200, blue < 60, red < 60) == (True, True, True)


@needs_gstreamer
def test_the_camera_of_a_jetson_with_a_test_image_in_its_place() -> None:
    text = (Path(__file__).parents[2] / "docs" / "start" / "jetson.md").read_text()
    (pipeline,) = re.findall(r"^CAMERA='(.*)'$", text, re.MULTILINE)
    assert stated_format(pipeline) == stated_format(EXAMPLE) == (1280, 720, 30.0)
    for theirs, ours in (
        ("nvarguscamerasrc sensor-id=0", "videotestsrc pattern=green num-buffers=2"),
        ("(memory:NVMM)", ""),
        ("nvvidconv", "videoconvert"),
    ):
        assert theirs in pipeline
        pipeline = pipeline.replace(theirs, ours)
    with open_source(f"gstreamer:{pipeline}") as source:
        image = next(iter(source)).image
    assert image.shape == (720, 1280, 3)
    blue, green, red = image.reshape(-1, 3).mean(axis=0)
    assert (green > 200, blue < 60, red < 60) == (True, True, True)


@needs_gstreamer
def test_no_row_is_shifted() -> None:
    spec = "gstreamer:videotestsrc pattern=smpte ! video/x-raw,width=66,height=48,framerate=20/1"
    with open_source(spec) as source:
        image = next(iter(source)).image
    upper = image[: 48 // 2].astype(int)  # vertical bars: all rows alike
    assert np.abs(upper - upper[0]).max() < 12


@needs_gstreamer
def test_what_gstreamer_complains_of_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    spec = "gstreamer:nosuchcamerasrc ! video/x-raw,width=64,height=48,framerate=20/1"
    with pytest.raises(SourceError, match="gives no frame: see what gst-launch-1"):
        GStreamerSource(spec)
    assert "nosuchcamerasrc" in capfd.readouterr().err


@needs_gstreamer
def test_closing_ends_a_read() -> None:
    source = GStreamerSource(GREEN.format(more="is-live=true", width=64))
    reader = threading.Thread(target=lambda: list(source))
    reader.start()
    time.sleep(0.2)
    source.close()
    source.close()
    reader.join(20)
    assert not reader.is_alive()


@pytest.mark.parametrize(
    ("pipeline", "missing"),
    [
        ("v4l2src", "width and height and framerate"),
        ("v4l2src ! video/x-raw,width=64,height=48", "framerate"),
        ("v4l2src ! video/x-raw,width=64,height=48,framerate=0/1", "framerate"),
    ],
)
def test_a_pipeline_must_say_what_it_gives(pipeline: str, missing: str) -> None:
    with pytest.raises(InvalidInputError, match=f"the pipeline must say {missing}: write as in gstreamer:nv"):
        GStreamerSource(f"gstreamer:{pipeline}")


def test_the_last_size_counts() -> None:
    assert stated_format(EXAMPLE) == (1280, 720, 30.0)
    assert stated_format(EXAMPLE + ",width=(int)640,height=360,framerate=(fraction)30000/1001") == (
        640,
        360,
        30000 / 1001,
    )


def test_a_pipeline_is_shown_without_what_may_be_secret() -> None:
    spec = "gstreamer:rtspsrc location=rtsp://u:hunter2@cam user-pw=hunter2 ! decodebin"
    assert pipeline_name(spec) == "gstreamer:rtspsrc"
