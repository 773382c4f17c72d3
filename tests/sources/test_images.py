"""Folders of images, and MOTChallenge sequences."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fairmot.errors import SourceError
from edge_fairmot.sources import SourceOptions, open_images, open_source
from edge_fairmot.sources.images import (
    Gaps,
    ImageFolderSource,
    SequenceInfo,
    SequenceSource,
    natural_order,
    read_image,
    read_seqinfo,
)

Make = Callable[..., Path]
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


def test_names_are_ordered_as_people_count() -> None:
    expected = ["a.png", "img01.png", "img1.png", "img2.png", "img10.png", "img10b.png", "img00100.png"]
    shuffled = random.Random(0).sample(expected, len(expected))
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


def test_images_come_in_order_with_times(
    tmp_path: Path, make_images: Make, index_of: Callable[..., int]
) -> None:
    folder = make_images(tmp_path / "in", ["img1.png", "img2.JPG", "img3.bmp", "img10.webp", "img11.jpeg"])
    (folder / "._img0.png").write_bytes(b"macOS leaves such files")
    (folder / "notes.txt").write_text("not an image")
    (folder / "img4.png").mkdir()
    with ImageFolderSource(folder, SourceOptions(frame_rate=10)) as source:
        assert (source.info.frame_count, source.info.frame_rate) == (5, 10)
        assert (source.info.frame_size, source.info.name) == ((64, 48), str(folder))
        frames = list(source)
    assert [index_of(frame.image) for frame in frames] == [0, 1, 2, 3, 4]
    assert [(frame.index, frame.time_s) for frame in frames] == [(n, n / 10) for n in range(5)]
    assert ImageFolderSource(folder).info.frame_rate == 25


@pytest.mark.parametrize("numbered", [True, False])
def test_a_part_has_the_frames_of_the_whole(numbered: bool, tmp_path: Path, make_images: Make) -> None:
    folder = make_images(tmp_path, [f"{number:06d}.png" for number in range(1, 12)])
    options = SourceOptions(frame_rate=10, start_s=0.3, duration_s=0.5, max_frames=4)
    with ImageFolderSource(folder, options, numbered=numbered) as source:
        assert source.info.frame_count == 4
        assert [(frame.index, frame.time_s) for frame in source] == [(n, n / 10) for n in range(3, 7)]
    with pytest.raises(SourceError, match=r"ends at 0\.44 s: start before 9 s"):
        ImageFolderSource(folder, SourceOptions(start_s=9))


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(SourceError, match=r"holds no images \(.*\.png"):
        ImageFolderSource(tmp_path)


def test_an_image_of_another_size_is_a_fault_in_a_video_and_none_among_photos(
    tmp_path: Path, make_images: Make
) -> None:
    make_images(tmp_path, ["1.png", "2.png"])
    make_images(tmp_path, ["3.png"], size=(32, 20))
    frames = iter(ImageFolderSource(tmp_path))
    assert (next(frames).index, next(frames).index) == (0, 1)
    with pytest.raises(SourceError, match=r"3\.png is 32x20 pixels where 1\.png is 64x48"):
        next(frames)
    with open_images(tmp_path) as source:
        assert [frame.image.shape[:2] for frame in source] == [(48, 64), (48, 64), (20, 32)]


def make_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("not_there.png")


def make_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def rewrite(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        path.write_bytes(change(path.read_bytes()))

    return spoil


@pytest.mark.parametrize(
    ("name", "spoil", "complaint"),
    [
        ("2.png", make_link, "is a link to a file that is not there"),
        ("2.png", make_fifo, "is not a file"),
        ("2.png", lambda path: os.truncate(path, 2 << 30), "is larger than 1 GiB"),
        ("2.png", rewrite(lambda data: b""), "cut off after 0 bytes"),
        ("2.jpg", rewrite(lambda data: data[:-2]), "is cut off"),
        ("2.jpg", rewrite(lambda data: data[:-40]), "is cut off"),
        ("2.png", rewrite(lambda data: data[:-40]), "is cut off"),
        ("2.jpg", rewrite(lambda data: b"\xff\xd8\xff\xe0" + b"x" * 99), "is cut off"),
        ("2.png", rewrite(lambda data: b"text" * 9), "cannot be decoded"),
        (
            "2.jpg",
            rewrite(lambda data: data[:1200] + np.random.default_rng(0).bytes(900) + data[2100:]),
            "is damaged inside",
        ),
        ("2.jpg", rewrite(lambda data: data[: len(data) // 2] + b"\xff\xd9"), "is damaged inside"),
    ],
)
def test_an_image_that_cannot_be_read_is_named_after_the_good_ones(
    name: str, spoil: Callable[[Path], None], complaint: str, *, tmp_path: Path, make_images: Make
) -> None:
    make_images(tmp_path, ["1.png", name, "3.png"])
    spoil(tmp_path / name)
    frames = iter(ImageFolderSource(tmp_path))
    assert next(frames).index == 0
    with pytest.raises(SourceError, match=complaint) as caught:
        next(frames)
    assert str(tmp_path / name) in str(caught.value)
    assert "remove it or replace it" in str(caught.value)


@pytest.mark.parametrize("progressive", [0, 1])
def test_every_legal_jpeg_is_read(progressive: int, tmp_path: Path, make_images: Make) -> None:
    """With fill bytes before markers (T.81 B.1.1.2), a thumbnail, a broken EXIF header, or a trailer."""
    image = cv2.imread(str(make_images(tmp_path, ["1.png"]) / "1.png"))
    flags = [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive, cv2.IMWRITE_JPEG_RST_INTERVAL, 2]
    data = cv2.imencode(".jpg", image, flags)[1].tobytes()
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    tables = data.index(b"\xff\xdb")
    thumbnail = b"\xff\xe1" + (2 + len(data)).to_bytes(2, "big") + data
    broken = b"\xff\xe1\x00\x10Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff"
    path = tmp_path / "1.jpg"
    for variant in (
        data[:tables] + b"\xff" * 5 + data[tables:],
        data[:2] + thumbnail + data[2:] + b"\xff\xda trailer",
        data[:2] + broken + data[2:],
    ):
        path.write_bytes(variant)
        assert np.array_equal(read_image(path), expected)
    # The end of the thumbnail is not the end of the image.
    path.write_bytes(data[:2] + thumbnail + data[2:-60])
    with pytest.raises(SourceError, match="is cut off"):
        read_image(path)


def test_16_bit_images_are_scaled_by_their_range(tmp_path: Path) -> None:
    grey = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64) % 256
    cv2.imwrite(str(tmp_path / "thermal.png"), 7000 + 8 * grey)
    cv2.imwrite(str(tmp_path / "colour.png"), np.dstack([257 * grey] * 3))
    cv2.imwrite(str(tmp_path / "flat.png"), np.full((48, 64), 7000, np.uint16))
    for name in ("thermal.png", "colour.png"):
        assert np.array_equal(read_image(tmp_path / name), np.dstack([grey] * 3).astype(np.uint8))
    assert not read_image(tmp_path / "flat.png").any()


@pytest.mark.parametrize(
    ("numbers", "gaps"),
    [
        ([1, 2, 3, 5], Gaps(1, 4)),
        ([1, 3], Gaps(1, 2)),
        ([1, 6, 11, 21, 26], Gaps(1, 16)),
        ([1, 6, 11, 16], None),
        ([301, 302], None),
        ([0, 1, 2], None),
        ([7], None),
    ],
)
def test_gaps_in_a_row_of_numbers(numbers: list[int], gaps: Gaps | None) -> None:
    assert Gaps.find(numbers) == gaps


@pytest.mark.parametrize(
    ("numbers", "length", "indices"),
    [
        ([1, 2, 3], "3", [0, 1, 2]),
        ([1, 6, 11], "3", [0, 5, 10]),
        ([1, 6, 11], "11", [0, 5, 10]),
        ([301, 302, 303], "3", [300, 301, 302]),
        ([0, 1, 2], "3", [0, 1, 2]),
        ([1, 2, 4], None, [0, 1, 3]),
    ],
    ids=["all", "every fifth", "every fifth of 11", "second half", "from 0", "one is missing"],
)
def test_the_numbers_of_a_sequence_s_images_are_those_of_the_frames(
    numbers: list[int],
    length: str | None,
    indices: list[int],
    *,
    tmp_path: Path,
    make_images: Make,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write_seqinfo(tmp_path, seqLength=length)
    make_images(tmp_path / "img1", [f"{number:06d}.png" for number in numbers])
    for spec in (tmp_path, tmp_path / "img1"):
        with open_source(spec) as source:
            assert (source.info.frame_count, source.info.frame_rate) == (3, 10)
            assert [(frame.index, frame.time_s) for frame in source] == [(n, n / 10) for n in indices]
    warned = "lacks 1 images, first number 3: the others keep their numbers" in caplog.text
    assert warned is (length is None)


def test_a_missing_image_of_a_sequence_is_told_at_the_end(tmp_path: Path, make_images: Make) -> None:
    write_seqinfo(tmp_path, seqLength="4")
    make_images(tmp_path / "img1", ["000001.png", "000002.png", "000004.png"])
    frames = iter(SequenceSource(tmp_path))
    assert [next(frames).index for _ in range(3)] == [0, 1, 3]
    with pytest.raises(
        SourceError, match="says seqLength=4, but there are 3 frames, and number 3 is missing"
    ):
        next(frames)


@pytest.mark.parametrize(
    "names", [["000001.png", "000002.png", "cover.png"], ["a_1.png", "b_1.png"], ["1.png", "01.png"]]
)
def test_names_that_are_no_row_of_numbers_are_refused_in_a_sequence(
    names: list[str], tmp_path: Path, make_images: Make
) -> None:
    write_seqinfo(tmp_path, seqLength=None)
    make_images(tmp_path / "img1", names)
    with pytest.raises(SourceError, match="does not fit among the frame numbers"):
        SequenceSource(tmp_path)
    assert len(list(ImageFolderSource(make_images(tmp_path / "plain", names)))) == len(names)


def test_a_gap_in_a_plain_folder_is_told(
    tmp_path: Path, make_images: Make, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_images(tmp_path, ["1.png", "2.png", "4.png"])
    assert [frame.index for frame in ImageFolderSource(folder)] == [0, 1, 2]
    assert "lacks 1 images, first number 3: frames are counted by their position" in caplog.text
    caplog.clear()
    with open_images(folder):
        assert caplog.text == ""


def test_seqinfo_is_read(tmp_path: Path) -> None:
    path = write_seqinfo(tmp_path)
    assert read_seqinfo(path) == SequenceInfo("Street-01", "img1", 10.0, (64, 48), 3)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n").replace(b"=", b" = "))
    assert read_seqinfo(path) == SequenceInfo("Street-01", "img1", 10.0, (64, 48), 3)  # of another editor
    path = write_seqinfo(tmp_path, name=None, imDir=None, seqLength=None, frameRate="29.97")
    assert read_seqinfo(path) == SequenceInfo(tmp_path.name, "img1", 29.97, (64, 48), None)


@pytest.mark.parametrize("key", ["frameRate", "imWidth", "imHeight", "seqLength"])
def test_a_missing_or_malformed_key_is_named(key: str, tmp_path: Path) -> None:
    for value in ("", "many", "0", "-3", "nan", "inf"):
        with pytest.raises(SourceError, match=f"{key}={value}, which is no positive number"):
            read_seqinfo(write_seqinfo(tmp_path, **{key: value}))
    if key != "frameRate":
        with pytest.raises(SourceError, match=rf"{key}=64\.5, which is no whole number"):
            read_seqinfo(write_seqinfo(tmp_path, **{key: "64.5"}))
    if key != "seqLength":
        with pytest.raises(SourceError, match=f"lacks the key {key}"):
            read_seqinfo(write_seqinfo(tmp_path, **{key: None}))


@pytest.mark.parametrize(
    "content", [b"", b"[Other]\nname=x", b"name=x", b"\xff\xfe\x00", b"[Sequence]\nname=1\nname=2"]
)
def test_what_is_no_seqinfo_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "seqinfo.ini"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"section \[Sequence\]") as caught:
        read_seqinfo(path)
    assert "\n" not in str(caught.value)
    path.unlink()
    with pytest.raises(SourceError, match="cannot be read"):
        read_seqinfo(path)


def test_the_frames_of_a_sequence_may_be_a_video(tmp_path: Path, make_video: Make) -> None:
    folder = tmp_path / "sequence"
    write_seqinfo(folder)
    make_video("Street-01.mp4", 3).rename(folder / "Street-01.mp4")
    with SequenceSource(folder) as source:
        assert (source.info.frame_count, source.info.frame_rate) == (3, 10)
        assert [frame.time_s for frame in source] == [0.0, 0.1, 0.2]
    with open_source(folder, SourceOptions(frame_rate=5, start_s=0.2)) as source:
        assert [(frame.index, frame.time_s) for frame in source] == [(1, 0.2), (2, 0.4)]


def test_a_sequence_that_is_not_what_it_says_is_told(tmp_path: Path, make_images: Make) -> None:
    write_seqinfo(tmp_path)
    with pytest.raises(SourceError, match=r"neither the images .*img1 nor the video .*Street-01\.mp4"):
        SequenceSource(tmp_path)
    make_images(tmp_path / "img1", ["000001.jpg", "000002.jpg", "000003.jpg"])
    write_seqinfo(tmp_path, imWidth="640")
    with pytest.raises(SourceError, match="says 640x48 pixels, but the frames are 64x48"):
        SequenceSource(tmp_path)
    for length in ("2", "5"):
        write_seqinfo(tmp_path, seqLength=length)
        frames = iter(SequenceSource(tmp_path))
        assert [next(frames).index for _ in range(3)] == [0, 1, 2]
        with pytest.raises(SourceError, match=f"says seqLength={length}, but there are 3 frames"):
            next(frames)


@pytest.mark.parametrize("kind", [ImageFolderSource, SequenceSource])
def test_a_source_is_read_once_and_closing_ends_it(kind: type, tmp_path: Path, make_images: Make) -> None:
    write_seqinfo(tmp_path)
    folder = make_images(tmp_path / "img1", ["1.png", "2.png", "3.png"])
    source = kind(folder)
    frames = iter(source)
    next(frames)
    with pytest.raises(SourceError, match="open it again"):
        iter(source)
    source.close()
    source.close()
    assert list(frames) == []


@pytest.mark.parametrize(("name", "count"), [("TUD-Campus", 71), ("TUD-Stadtmitte", 179)])
def test_real_sequences_are_read_whole(name: str, count: int, shared: Path) -> None:
    with SequenceSource(shared / "mot15" / name) as source:
        assert source.info.frame_count == count
        frames = list(source)
    assert [frame.time_s for frame in frames] == [index / 25 for index in range(count)]
    assert frames[0].image.shape == (480, 640, 3)


def test_the_folders_of_the_cases_are_read(shared: Path, caplog: pytest.LogCaptureFixture) -> None:
    cases = shared / "cases"
    if not cases.is_dir():
        pytest.skip(f"needs {cases}")
    with open_source(cases / "05-frame-numbers-of-files-ignored" / "every5th") as source:
        assert [frame.index for frame in source] == [0, 5, 10, 15, 20]
    fill, plain = (
        list(open_source(cases / "11-jpeg-fill-bytes-refused" / name)) for name in ("fillbytes",) * 2
    )
    assert len(fill) == len(plain) == 2
    thermal, eight = (
        list(open_source(cases / "12-16-bit-pictures-black" / name)) for name in ("th16", "th8")
    )
    for one, other in zip(thermal, eight, strict=True):
        assert np.corrcoef(one.image.ravel(), other.image.ravel())[0, 1] > 0.99
    assert caplog.record_tuples == [] or all(level < logging.WARNING for _, level, _ in caplog.record_tuples)
