from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import edge_fairmot.sources
from edge_fairmot.errors import InvalidInputError, SourceError
from edge_fairmot.protocols import Source
from edge_fairmot.sources import ImageFolderSource, SequenceSource, VideoSource, is_camera, open_source


def test_exported_names_are_what_the_room_promises() -> None:
    expected = [
        *("DeviceOptions", "DeviceSource", "GStreamerSource", "ImageFolderSource"),
        *("NetworkOptions", "NetworkSource", "PacedSource", "PicameraOptions", "PicameraSource"),
        *("ReconnectConfig", "ReconnectingSource", "SequenceSource", "SourceState"),
        *("SyntheticSource", "TapeSource", "VideoSource", "is_camera", "open_live_source"),
        *("open_pictures", "open_source", "shown_name"),
    ]
    assert sorted(edge_fairmot.sources.__all__) == expected


def test_a_path_means_one_source(
    tmp_path: Path, make_pictures: Callable[..., Path], make_video: Callable[..., Path]
) -> None:
    pictures = make_pictures(tmp_path / "sequence" / "img1", ["1.png"])
    seqinfo = "[Sequence]\nframeRate=25\nimWidth=64\nimHeight=48\n"
    (tmp_path / "sequence" / "seqinfo.ini").write_text(seqinfo)
    meant = {
        str(make_video("clip.mp4", 3)): VideoSource,
        pictures: ImageFolderSource,
        tmp_path / "sequence": SequenceSource,
    }
    for spec, kind in meant.items():
        with open_source(spec) as source:
            typed: Source = source
            assert isinstance(typed, kind)
            assert source.info.name == str(spec)
            assert next(iter(source)).index == 0


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ("ftp://host/video.mp4", "is an address"),
        ("rtps://admin:hunter2@camera/1", r"rtps://\*\*\*@camera/1 is an address"),
        ("/dev/null", "is a device"),
        ("no/such/file.mp4", "does not exist"),
        ("0", "does not exist"),
        ("", "is empty"),
    ],
)
def test_what_is_no_source_is_told_what_is(spec: str, complaint: str) -> None:
    with pytest.raises(SourceError, match=complaint) as caught:
        open_source(spec)
    assert "a video file, a folder of pictures, a MOTChallenge sequence" in str(caught.value)


def test_a_single_picture_is_sent_to_its_folder(tmp_path: Path, make_pictures: Callable[..., Path]) -> None:
    folder = make_pictures(tmp_path, ["000001.jpg", "000002.jpg"])
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
