from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fairmot.errors import InvalidInputError, SourceError
from edge_fairmot.sources import ImageFolderSource, open_pictures
from edge_fairmot.sources.images import natural_order


def test_names_are_ordered_as_people_count() -> None:
    names = ["a.png", "img1.png", "img01.png", "img2.png", "img10.png", "img10b.png", "img00100.png"]
    shuffled = random.Random(0).sample(names, len(names))
    expected = ["a.png", "img01.png", "img1.png", "img2.png", "img10.png", "img10b.png", "img00100.png"]
    assert sorted(shuffled, key=natural_order) == expected


@given(st.lists(st.integers(0, 10**30), unique=True), st.integers(0, 12))
def test_numbered_names_are_ordered_by_number(numbers: list[int], width: int) -> None:
    names = [f"frame_{number:0{width}d}.jpg" for number in numbers]
    ordered = [f"frame_{number:0{width}d}.jpg" for number in sorted(numbers)]
    assert sorted(names, key=natural_order) == ordered


@given(st.lists(st.text()))
def test_any_names_have_one_order(names: list[str]) -> None:
    backwards = names[::-1]
    assert sorted(names, key=natural_order) == sorted(backwards, key=natural_order)


def test_pictures_come_in_order_with_times(
    tmp_path: Path, make_pictures: Callable[..., Path], picture_at: Callable[..., int]
) -> None:
    names = ["img1.png", "img2.JPG", "img3.bmp", "img10.webp", "img11.jpeg"]
    folder = make_pictures(tmp_path / "in", names)
    (folder / "._img0.png").write_bytes(b"macOS leaves such files")
    (folder / "notes.txt").write_text("not a picture")
    (folder / "img4.png").mkdir()
    with ImageFolderSource(folder, frame_rate=10) as source:
        assert (source.info.frame_count, source.info.frame_rate) == (5, 10)
        assert source.info.frame_size == (64, 48)
        assert source.info.name == str(folder)
        frames = list(source)
    assert [picture_at(frame.image) for frame in frames] == [0, 1, 2, 3, 4]
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 4]
    assert [frame.time_s for frame in frames] == [0.0, 0.1, 0.2, 0.3, 0.4]


def test_the_rate_is_25_where_none_is_given(tmp_path: Path, make_pictures: Callable[..., Path]) -> None:
    assert ImageFolderSource(make_pictures(tmp_path, ["1.png"])).info.frame_rate == 25


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_a_rate_that_is_not_positive_is_refused(rate: float, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="frame_rate must be positive"):
        ImageFolderSource(tmp_path, rate)


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(SourceError, match=r"holds no pictures \(.*\.png"):
        ImageFolderSource(tmp_path)


def test_a_picture_of_another_size_is_named_with_its_size(
    tmp_path: Path, make_pictures: Callable[..., Path]
) -> None:
    make_pictures(tmp_path, ["1.png", "2.png"])
    make_pictures(tmp_path, ["3.png"], size=(32, 20))
    frames = iter(ImageFolderSource(tmp_path))
    assert (next(frames).index, next(frames).index) == (0, 1)
    with pytest.raises(SourceError, match=r"3\.png is 32x20 pixels where 1\.png is 64x48"):
        next(frames)


def test_photos_may_be_of_many_sizes(tmp_path: Path, make_pictures: Callable[..., Path]) -> None:
    make_pictures(tmp_path, ["1.png"])
    make_pictures(tmp_path, ["2.png"], size=(32, 20))
    with open_pictures(tmp_path) as source:
        assert [frame.image.shape[:2] for frame in source] == [(48, 64), (20, 32)]


def test_a_sequence_is_read_by_its_own_rules_among_pictures_too(
    tmp_path: Path, make_pictures: Callable[..., Path]
) -> None:
    make_pictures(tmp_path / "img1", ["1.png"])
    (tmp_path / "seqinfo.ini").write_text(
        "[Sequence]\nname=s\nimDir=img1\nframeRate=10\nseqLength=1\nimWidth=64\nimHeight=48\nimExt=.png\n"
    )
    with open_pictures(tmp_path) as source:
        assert source.info.frame_rate == 10


@pytest.mark.parametrize(
    ("name", "spoil", "complaint"),
    [
        ("2.png", lambda data: b"", "cut off after 0 bytes"),
        ("2.jpg", lambda data: data[:-40], "is cut off"),
        ("2.png", lambda data: data[:-40], "is cut off"),
        ("2.png", lambda data: b"text" * 9, "cannot be decoded"),
        ("2.jpg", lambda data: b"\xff\xd8\xff\xe0" + b"x" * 99, "is cut off"),
    ],
)
def test_an_unreadable_picture_is_named_after_the_good_ones(
    name: str,
    spoil: Callable[[bytes], bytes],
    complaint: str,
    *,
    tmp_path: Path,
    make_pictures: Callable[..., Path],
    capfd: pytest.CaptureFixture[str],
) -> None:
    make_pictures(tmp_path, ["1.png", name, "3.png"])
    bad = tmp_path / name
    bad.write_bytes(spoil(bad.read_bytes()))
    frames = iter(ImageFolderSource(tmp_path))
    assert next(frames).index == 0
    with pytest.raises(SourceError, match=complaint) as caught:
        next(frames)
    assert str(bad) in str(caught.value)
    assert "remove it or replace it" in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_whole_jpeg_with_a_thumbnail_or_a_trailer_is_read(
    tmp_path: Path, make_pictures: Callable[..., Path]
) -> None:
    make_pictures(tmp_path, ["1.jpg"])
    data = (tmp_path / "1.jpg").read_bytes()
    thumbnail = b"\xff\xe1" + (2 + len(data)).to_bytes(2, "big") + data
    (tmp_path / "1.jpg").write_bytes(data[:2] + thumbnail + data[2:] + b"\xff\xda trailer")
    assert len(list(ImageFolderSource(tmp_path))) == 1
    # The end of the thumbnail is not the end of the picture.
    (tmp_path / "1.jpg").write_bytes(data[:2] + thumbnail + data[2:-60])
    with pytest.raises(SourceError, match="is cut off"):
        ImageFolderSource(tmp_path)


def test_a_source_is_read_once_and_closing_ends_it(
    tmp_path: Path, make_pictures: Callable[..., Path]
) -> None:
    source = ImageFolderSource(make_pictures(tmp_path, ["1.png", "2.png"]))
    frames = iter(source)
    next(frames)
    with pytest.raises(SourceError, match="open it again"):
        iter(source)
    source.close()
    source.close()
    assert list(frames) == []
