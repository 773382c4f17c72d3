from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import edge_fairmot.sources
from edge_fairmot.contracts import Source
from edge_fairmot.errors import SourceError
from edge_fairmot.sources import ImageFolderSource, SequenceSource, VideoSource, open_source


def test_exported_names_are_what_the_room_promises() -> None:
    expected = [
        *("ImageFolderSource", "SequenceSource", "SyntheticSource", "TapeSource", "VideoSource"),
        "open_source",
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
        ("rtsp://camera/1", "is an address"),
        ("http://host/video.mp4", "is an address"),
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
