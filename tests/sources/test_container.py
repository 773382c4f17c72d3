from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_fairmot.errors import SourceError
from edge_fairmot.sources.container import Container, read_container

FRAGMENTED = "frag_keyframe+empty_moov+default_base_moof"


def box(kind: bytes, payload: bytes = b"") -> bytes:
    return struct.pack(">I4s", 8 + len(payload), kind) + payload


def mp4(media_s: float, edits: list[tuple[float, int]], *, wide: bool = False) -> bytes:
    """An MP4 of nothing but clocks: a movie of 1000, a media of 12800 ticks a second."""
    version, clock = (b"\x01", "16xIQ") if wide else (b"\x00", "8xII")
    entry = ">QqI" if wide else ">IiI"
    movie = version + bytes(3) + struct.pack(">" + clock, 1000, round(media_s * 1000))
    media = version + bytes(3) + struct.pack(">" + clock, 12800, round(media_s * 12800))
    rows = b"".join(struct.pack(entry, round(length_s * 1000), start, 1 << 16) for length_s, start in edits)
    edit_list = version + bytes(3) + struct.pack(">I", len(edits)) + rows
    handler = box(b"hdlr", bytes(8) + b"vide")
    track = box(b"edts", box(b"elst", edit_list)) + box(b"mdia", handler + box(b"mdhd", media))
    return (
        box(b"ftyp", b"isom")
        + box(b"moov", box(b"mvhd", movie) + box(b"trak", track))
        + box(b"mdat", bytes(99))
    )


def read(data: bytes, tmp_path: Path) -> Container:
    path = tmp_path / "file"
    path.write_bytes(data)
    return read_container(path)


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize(
    ("edits", "shown_s"),
    [
        ([(4.0, 0)], None),
        ([(4.0, 1024)], None),  # the delay of B-frames
        ([(3.95, 0)], None),  # rounding
        ([(0.5, -1), (4.0, 0)], None),  # a start that waits for the sound
        ([(2.5, 19200)], 2.5),
        ([(2.0, -1), (2.5, 19200)], 2.5),
        ([(1.0, 0), (1.5, 25600)], 2.5),
    ],
)
def test_an_edit_list_counts_where_it_hides_frames(
    edits: list[tuple[float, int]], shown_s: float | None, wide: bool, tmp_path: Path
) -> None:
    expected = Container(counts_frames=shown_s is None, cut_off=False, shown_s=shown_s)
    assert read(mp4(4.0, edits, wide=wide), tmp_path) == expected


def test_a_box_that_reaches_beyond_the_file_is_cut_off(tmp_path: Path) -> None:
    data = mp4(4.0, [(4.0, 0)])
    assert not read(data, tmp_path).cut_off
    assert read(data[:-1], tmp_path).cut_off


def test_a_box_of_64_bits_and_one_up_to_the_end_are_measured(tmp_path: Path) -> None:
    head = mp4(4.0, [])[: -8 - 99]
    assert not read(head + struct.pack(">I4sQ", 1, b"mdat", 16 + 50) + bytes(50), tmp_path).cut_off
    assert read(head + struct.pack(">I4sQ", 1, b"mdat", 1 << 40) + bytes(50), tmp_path).cut_off
    assert not read(head + struct.pack(">I4s", 0, b"mdat") + bytes(50), tmp_path).cut_off


def test_an_mp4_without_index_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="has no index"):
        read(box(b"ftyp", b"isom") + box(b"mdat", bytes(99)), tmp_path)


@pytest.mark.parametrize(
    ("name", "options", "counts_frames"),
    [
        ("clip.mp4", {}, True),
        ("front.mp4", {"movflags": "faststart"}, True),
        ("fragmented.mp4", {"movflags": FRAGMENTED}, False),
        ("clip.mkv", {}, False),
        ("clip.avi", {"codec": "mpeg4"}, False),
        ("clip.ts", {}, False),
    ],
)
def test_real_containers_are_whole(
    name: str, options: dict[str, str], counts_frames: bool, make_video: Callable[..., Path]
) -> None:
    path = make_video(name, 10, **options)
    assert read_container(path) == Container(counts_frames=counts_frames)


@pytest.mark.parametrize("name", ["clip.mkv", "clip.avi"])
def test_matroska_and_avi_say_how_long_they_are(name: str, make_video: Callable[..., Path]) -> None:
    path = make_video(name, 10, codec="mpeg4")
    path.write_bytes(path.read_bytes()[:-20])
    assert read_container(path).cut_off


def test_a_live_recording_has_no_length_to_fall_short_of(tmp_path: Path) -> None:
    ebml = b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67"
    assert not read(ebml + b"\x01" + b"\xff" * 7 + bytes(9), tmp_path).cut_off
    assert not read(ebml + b"\xff" + bytes(9), tmp_path).cut_off
    assert not read(ebml + b"\x89" + bytes(9), tmp_path).cut_off
    assert read(ebml + b"\x8a" + bytes(9), tmp_path).cut_off
    assert not read(b"RIFF" + b"\xff" * 4 + b"AVI ", tmp_path).cut_off
    assert not read(b"RIFF" + bytes(4) + b"AVI ", tmp_path).cut_off


@pytest.mark.parametrize("kind", [b"mvhd", b"mdhd", b"elst"])
def test_a_clock_or_list_that_is_too_short_promises_no_duration(kind: bytes, tmp_path: Path) -> None:
    data = mp4(4.0, [(2.5, 19200)])
    start = data.index(kind) - 4
    size = int.from_bytes(data[start : start + 4], "big")
    short = struct.pack(">I4s", 10, kind) + bytes(2) + struct.pack(">I4s", size - 10, b"free")
    data = data[:start] + short + data[start + 18 :]
    assert read(data, tmp_path).shown_s is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(place=st.integers(0, 400), junk=st.binary(min_size=1, max_size=12))
def test_a_broken_structure_is_read_or_refused_and_never_trips(
    place: int, junk: bytes, tmp_path: Path
) -> None:
    data = bytearray(mp4(4.0, [(2.5, 19200)]))
    data[place : place + len(junk)] = junk
    try:
        read(bytes(data), tmp_path)
    except SourceError as error:
        assert "has no index" in str(error)  # noqa: PT017
