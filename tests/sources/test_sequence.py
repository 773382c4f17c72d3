from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edge_fairmot.errors import SourceError
from edge_fairmot.sources import SequenceSource
from edge_fairmot.sources.images import SequenceInfo, read_seqinfo

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
SEQINFO = {
    "name": "Street-01",
    "imDir": "img1",
    "frameRate": "10",
    "seqLength": "3",
    "imWidth": "64",
    "imHeight": "48",
    "imExt": ".jpg",
}


def write_seqinfo(folder: Path, **changes: str | None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    keys = {key: value for key, value in (SEQINFO | changes).items() if value is not None}
    path = folder / "seqinfo.ini"
    path.write_text("\n".join(["[Sequence]", *(f"{key}={value}" for key, value in keys.items())]))
    return path


def test_seqinfo_is_read(tmp_path: Path) -> None:
    expected = SequenceInfo("Street-01", "img1", 10.0, (64, 48), 3)
    assert read_seqinfo(write_seqinfo(tmp_path)) == expected
    path = write_seqinfo(tmp_path, name=None, imDir=None, seqLength=None, frameRate="29.97")
    assert read_seqinfo(path) == SequenceInfo(tmp_path.name, "img1", 29.97, (64, 48), None)


def test_seqinfo_of_another_editor_is_read(tmp_path: Path) -> None:
    path = write_seqinfo(tmp_path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n").replace(b"=", b" = "))
    assert read_seqinfo(path) == SequenceInfo("Street-01", "img1", 10.0, (64, 48), 3)


@pytest.mark.parametrize("key", ["frameRate", "imWidth", "imHeight"])
def test_a_missing_key_is_named(key: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=f"lacks the key {key}"):
        read_seqinfo(write_seqinfo(tmp_path, **{key: None}))


@pytest.mark.parametrize("key", ["frameRate", "imWidth", "imHeight", "seqLength"])
@pytest.mark.parametrize("value", ["", "many", "0", "-3", "nan", "inf"])
def test_a_malformed_key_is_named_with_its_value(key: str, value: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=f"{key}={value}, which is no positive number"):
        read_seqinfo(write_seqinfo(tmp_path, **{key: value}))


@pytest.mark.parametrize("key", ["imWidth", "imHeight", "seqLength"])
def test_half_a_pixel_is_refused(key: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=f"{key}=64.5, which is no whole number"):
        read_seqinfo(write_seqinfo(tmp_path, **{key: "64.5"}))


@pytest.mark.parametrize(
    "content", [b"", b"[Other]\nname=x", b"name=x", b"\xff\xfe\x00", b"[Sequence]\nname=1\nname=2"]
)
def test_what_is_no_seqinfo_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "seqinfo.ini"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"section \[Sequence\]") as caught:
        read_seqinfo(path)
    assert "\n" not in str(caught.value)


def test_a_missing_seqinfo_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read"):
        read_seqinfo(tmp_path / "seqinfo.ini")


@pytest.mark.parametrize("as_video", [False, True])
def test_frames_come_from_pictures_or_from_a_video(
    as_video: bool,
    tmp_path: Path,
    make_pictures: Callable[..., Path],
    make_video: Callable[..., Path],
    picture_at: Callable[..., int],
) -> None:
    folder = tmp_path / "sequence"
    write_seqinfo(folder)
    if as_video:
        make_video("Street-01.mp4", 3).rename(folder / "Street-01.mp4")
    else:
        make_pictures(folder / "img1", ["000001.jpg", "000002.jpg", "000003.jpg"])
    with SequenceSource(folder) as source:
        assert (source.info.frame_count, source.info.frame_rate) == (3, 10)
        assert source.info.frame_size == (64, 48)
        frames = list(source)
    assert [picture_at(frame.image) for frame in frames] == [0, 1, 2]
    assert [frame.time_s for frame in frames] == [0.0, 0.1, 0.2]


@pytest.mark.parametrize("length", ["2", "5"])
def test_a_length_that_differs_is_told_after_the_frames(
    length: str, tmp_path: Path, make_pictures: Callable[..., Path]
) -> None:
    write_seqinfo(tmp_path, seqLength=length)
    make_pictures(tmp_path / "img1", ["000001.jpg", "000002.jpg", "000003.jpg"])
    frames = iter(SequenceSource(tmp_path))
    assert [next(frames).index for _ in range(3)] == [0, 1, 2]
    with pytest.raises(SourceError, match=f"says seqLength={length}, but there are 3 frames"):
        next(frames)


def test_a_size_that_differs_is_told(tmp_path: Path, make_pictures: Callable[..., Path]) -> None:
    write_seqinfo(tmp_path, imWidth="640")
    make_pictures(tmp_path / "img1", ["000001.jpg"])
    with pytest.raises(SourceError, match="says 640x48 pixels, but the frames are 64x48"):
        SequenceSource(tmp_path)


def test_a_sequence_without_frames_names_both_places(tmp_path: Path) -> None:
    write_seqinfo(tmp_path)
    with pytest.raises(SourceError, match=r"neither the pictures .*img1 nor the video .*Street-01\.mp4"):
        SequenceSource(tmp_path)


def test_closing_ends_the_iteration_without_complaint(
    tmp_path: Path, make_pictures: Callable[..., Path]
) -> None:
    write_seqinfo(tmp_path)
    make_pictures(tmp_path / "img1", ["000001.jpg", "000002.jpg", "000003.jpg"])
    source = SequenceSource(tmp_path)
    frames = iter(source)
    next(frames)
    source.close()
    source.close()
    assert list(frames) == []
    with pytest.raises(SourceError, match="open it again"):
        iter(source)


@pytest.mark.skipif(not SHARED.exists(), reason="no shared/ beside the project")
@pytest.mark.parametrize(("name", "count"), [("TUD-Campus", 71), ("TUD-Stadtmitte", 179)])
def test_real_sequences_are_read_whole(name: str, count: int) -> None:
    with SequenceSource(SHARED / "mot15" / name) as source:
        assert source.info.frame_count == count
        frames = list(source)
    assert len(frames) == count
    assert frames[-1].time_s == (count - 1) / 25
    assert frames[0].image.shape == (480, 640, 3)
