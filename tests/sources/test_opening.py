"""Which source a path or an address means."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import edge_fairmot.sources
from edge_fairmot.errors import InvalidInputError, SourceError
from edge_fairmot.protocols import Source
from edge_fairmot.sources import (
    SourceOptions,
    VideoSource,
    is_camera,
    open_source,
    redacted_name,
)
from edge_fairmot.sources.images import ImageFolderSource, SequenceSource


def test_exported_names_are_what_the_room_promises() -> None:
    expected = [
        *("NetworkOptions", "PacedSource", "ReconnectConfig", "ReconnectingSource", "SourceOptions"),
        *("SourceState", "VideoSource", "is_camera", "open_images", "open_live_source", "open_source"),
        "redacted_name",
    ]
    assert sorted(edge_fairmot.sources.__all__) == expected


def test_pyav_is_imported_where_a_video_is_opened() -> None:
    code = "import sys, edge_fairmot.sources; sys.exit('av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_path_means_one_source(
    tmp_path: Path, make_images: Callable[..., Path], make_video: Callable[..., Path]
) -> None:
    images = make_images(tmp_path / "sequence" / "img1", ["1.png"])
    plain = make_images(tmp_path / "plain", ["1.png"])
    seqinfo = "[Sequence]\nframeRate=25\nimWidth=64\nimHeight=48\n"
    (tmp_path / "sequence" / "seqinfo.ini").write_text(seqinfo)
    meant = {
        str(make_video("clip.mp4", 3)): VideoSource,
        plain: ImageFolderSource,
        images: SequenceSource,
        tmp_path / "sequence": SequenceSource,
    }
    for spec, kind in meant.items():
        with open_source(spec, SourceOptions(max_frames=1)) as source:
            typed: Source = source
            assert isinstance(typed, kind)
            assert (source.info.name, source.info.frame_count) == (str(spec), 1)
            assert [frame.index for frame in source] == [0]


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ("ftp://host/video.mp4", "is an address"),
        ("rtps://admin:hunter2@camera/1", r"rtps://\*\*\*@camera/1 is an address"),
        ("rtsp:/admin:hunter2@camera/1", r"rtsp:/\*\*\*@camera/1 does not exist"),
        ("/dev/null", "is a device"),
        ("no/such/file.mp4", "does not exist"),
        ("0", "does not exist"),
        ("", "is empty"),
    ],
)
def test_what_is_no_source_is_told_what_is(spec: str, complaint: str) -> None:
    with pytest.raises(SourceError, match=complaint) as caught:
        open_source(spec)
    assert "a video file, a folder of images, a MOTChallenge sequence" in str(caught.value)


def test_a_single_image_is_sent_to_its_folder(tmp_path: Path, make_images: Callable[..., Path]) -> None:
    folder = make_images(tmp_path, ["000001.jpg", "000002.jpg"])
    with pytest.raises(SourceError, match="give the folder that holds it"):
        open_source(folder / "000001.jpg")


@pytest.mark.parametrize(
    ("spec", "camera"),
    [
        ("rtsp://camera/1", True),
        ("HTTP://camera/video", True),
        ("picamera2:", True),
        ("/dev/video0?fps=5", True),
        ("gstreamer:videotestsrc", True),
        ("synthetic:", False),
        ("street.mp4", False),
        ("/dev/null", False),
    ],
)
def test_what_is_a_camera(spec: str, camera: bool) -> None:
    assert is_camera(spec) is camera


@pytest.mark.parametrize(
    ("spec", "error", "complaint"),
    [
        ("/dev/video99", SourceError, "/dev/video99 is not there: plug the camera in"),
        ("/dev/video0?speed=3", InvalidInputError, "'speed=3' is no option"),
        ("picamera2:speed=3", InvalidInputError, "'speed=3' is no option"),
        ("gstreamer:videotestsrc", InvalidInputError, "must say width and height and framerate"),
        ("rtsp://camera?transport=smoke", InvalidInputError, "transport must be one of tcp, udp"),
    ],
)
def test_a_camera_that_is_asked_for_wrongly_is_told_how(
    spec: str, error: type[Exception], complaint: str
) -> None:
    with pytest.raises(error, match=complaint):
        open_source(spec)
    with pytest.raises(InvalidInputError, match="is no file or folder: rate and part"):
        open_source(spec, SourceOptions(frame_rate=5))


def test_a_source_is_shown_without_passwords() -> None:
    assert redacted_name("gstreamer:rtspsrc location=rtsp://u:hunter2@cam ! decodebin") == "gstreamer:rtspsrc"
    assert redacted_name("rtsp://u:hunter2@cam/live") == "rtsp://***@cam/live"


def test_an_entry_point_names_the_source_of_another_package() -> None:
    from edge_fairmot.benchmarks.street.source import SyntheticSource

    with open_source("synthetic:seed=3,frames=2,size=64x64,people=1") as source:
        assert isinstance(source, SyntheticSource)
        assert [frame.index for frame in source] == [0, 1]
    with pytest.raises(InvalidInputError, match="one of seed, frames"):
        open_source("synthetic:speed=3")
    with pytest.raises(InvalidInputError, match="synthetic: is no file or folder: rate and part"):
        open_source("synthetic:", SourceOptions(max_frames=3))
