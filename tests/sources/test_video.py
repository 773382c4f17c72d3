from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from edge_fairmot.errors import SourceError
from edge_fairmot.sources import VideoSource
from edge_fairmot.types import Frame

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
FRAGMENTED = "frag_keyframe+empty_moov+default_base_moof"
HEALTHY = {
    "index_at_end.mp4": {},
    "index_in_front.mp4": {"movflags": "faststart"},
    "fragmented.mp4": {"movflags": FRAGMENTED},
    "b_frames.mp4": {"options": {"bf": "3", "preset": "veryfast"}},
    "clip.mov": {},
    "clip.mkv": {},
    "clip.avi": {"codec": "mpeg4", "options": {"b": "4000000"}},
    "b_frames.avi": {"options": {"bf": "3", "preset": "veryfast"}},
    "clip.webm": {"codec": "libvpx", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "clip.ts": {},
    "clip.mpg": {"codec": "mpeg1video"},
    "clip.flv": {"codec": "flv"},
    "raw.h264": {},
}
LATE = 5000
GAP_MS = [index * 40 + (LATE if index >= 30 else 0) for index in range(60)]
UNEVEN_MS = np.cumsum(10 + np.arange(60) % 7 * 13).tolist()


def read_until_error(source: VideoSource) -> tuple[list[Frame], str]:
    frames: list[Frame] = []
    try:
        frames.extend(source)
    except SourceError as error:
        return frames, str(error)
    return frames, ""


def assert_sound(frames: list[Frame]) -> None:
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert (np.diff([frame.time_s for frame in frames]) > 0).all()


def cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def spoil(path: Path, start: float, end: float) -> Path:
    data = bytearray(path.read_bytes())
    first, last = int(len(data) * start), int(len(data) * end)
    data[first:last] = np.random.default_rng(0).bytes(last - first)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_video_is_read_whole_and_without_complaint(
    name: str, make_video: Callable[..., Path], picture_at: Callable[..., int]
) -> None:
    with VideoSource(make_video(name, **HEALTHY[name])) as source:
        frames = list(source)
    assert_sound(frames)
    assert len(frames) == 60
    assert source.info.frame_size == (64, 48)
    assert source.info.frame_rate == 25
    assert source.info.frame_count in {"raw.h264": (None,), "clip.mpg": range(55, 61)}.get(name, (60,))
    seen = [picture_at(frame.image) for frame in frames]
    assert np.abs(np.subtract(seen, range(60))).max() <= 1


def test_times_are_the_files_where_the_rate_is_constant(make_video: Callable[..., Path]) -> None:
    frames = list(VideoSource(make_video("clip.mp4")))
    np.testing.assert_allclose([frame.time_s for frame in frames], np.arange(60) / 25, atol=1e-9)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
@pytest.mark.parametrize("times_ms", [UNEVEN_MS, GAP_MS], ids=["uneven", "gap"])
def test_times_follow_a_variable_frame_rate(
    name: str, times_ms: list[int], make_video: Callable[..., Path]
) -> None:
    frames = list(VideoSource(make_video(name, times_ms=times_ms, options={"bf": "0"})))
    assert len(frames) == 60
    expected = (np.array(times_ms) - times_ms[0]) / 1000
    np.testing.assert_allclose([frame.time_s for frame in frames], expected, atol=1.1e-3)


def test_a_rate_that_is_a_clocks_is_replaced(make_video: Callable[..., Path]) -> None:
    # Browsers record WebM so: the header says a frame every millisecond.
    times_ms = [33 * index + index % 3 for index in range(40)]
    source = VideoSource(make_video("ticks.mkv", 40, rate=1000, times_ms=times_ms))
    assert (source.info.frame_rate, source.info.frame_count) == (25, None)
    frames, message = read_until_error(source)
    assert message == ""
    np.testing.assert_allclose([frame.time_s for frame in frames], np.array(times_ms) / 1000, atol=1e-6)


def trim(source: Path, target: Path, first_frame: int) -> Path:
    """Cut by an edit list, as phones do: the frames stay in the file and are not shown."""
    av = pytest.importorskip("av")
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        shift = int(Fraction(first_frame, 25) / old.streams.video[0].time_base)
        for packet in old.demux(old.streams.video[0]):
            if packet.dts is not None:
                packet.pts -= shift
                packet.dts -= shift
                packet.stream = stream
                new.mux(packet)
    return target


def test_frames_hidden_by_an_edit_list_are_not_missed(
    make_video: Callable[..., Path], tmp_path: Path
) -> None:
    path = trim(make_video("long.mp4", options={"g": "60"}), tmp_path / "trimmed.mp4", 30)
    source = VideoSource(path)
    assert source.info.frame_count == 60  # what OpenCV believes
    frames, message = read_until_error(source)
    assert (len(frames), message) == (30, "")


def test_an_upright_picture_comes_out_of_a_turned_video(make_video: Callable[..., Path]) -> None:
    path = make_video("turned.mp4", movflags="faststart")
    data = path.read_bytes()
    upright = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    quarter = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    track = data.index(b"tkhd")
    path.write_bytes(data[:track] + data[track:].replace(upright, quarter, 1))
    source = VideoSource(path)
    assert source.info.frame_size == (48, 64)
    assert next(iter(source)).image.shape == (64, 48, 3)
    source.close()


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        ("index_in_front.mp4", "of 60 frames"),
        ("fragmented.mp4", "is cut off"),
        ("clip.mkv", "is cut off"),
        ("clip.webm", "is cut off"),
        ("clip.avi", "is cut off"),
        ("clip.flv", "s of 2.40 s"),
    ],
)
def test_a_video_cut_off_gives_what_it_has_and_then_an_error(
    name: str, ending: str, make_video: Callable[..., Path]
) -> None:
    frames, message = read_until_error(VideoSource(cut(make_video(name, **HEALTHY[name]), 0.6)))
    assert_sound(frames)
    assert 20 <= len(frames) <= 45
    assert ending in message
    assert f"{len(frames)} " in message
    assert "ffmpeg -i" in message
    assert "\n" not in message


def test_a_video_that_lacks_only_its_last_frames_is_told(make_video: Callable[..., Path]) -> None:
    path = cut(make_video("clip.mp4", movflags="faststart", options={"bf": "0"}), 0.97)
    frames, message = read_until_error(VideoSource(path))
    assert 50 < len(frames) < 60
    assert f"ended after {len(frames)} of 60 frames" in message


@pytest.mark.parametrize(
    ("options", "end"),
    # With B-frames the decoder brings up pictures of before the damage late.
    [({"bf": "0", "g": "6"}, 0.6), ({"bf": "3", "g": "12", "preset": "veryfast"}, 0.5)],
)
def test_frames_on_both_sides_of_damage_are_given_and_the_loss_is_told(
    options: dict[str, str], end: float, make_video: Callable[..., Path], picture_at: Callable[..., int]
) -> None:
    path = make_video("clip.mp4", movflags="faststart", options=options)
    frames, message = read_until_error(VideoSource(spoil(path, 0.4, end)))
    assert_sound(frames)
    assert 30 <= len(frames) <= 55
    assert f"is damaged: {60 - len(frames)} of 60 frames cannot be decoded, the first after frame" in message
    assert picture_at(frames[-1].image) >= 57
    # Time keeps the place that the index loses.
    assert frames[-1].time_s == pytest.approx(59 / 25)


def test_damage_up_to_the_end_is_an_early_end(make_video: Callable[..., Path]) -> None:
    path = make_video("clip.mp4", movflags="faststart", options={"bf": "0"})
    frames, message = read_until_error(VideoSource(spoil(path, 0.5, 1.0)))
    assert f"ended after {len(frames)} of 60 frames" in message


def test_damage_in_a_matroska_is_told_where_it_ends_the_file(make_video: Callable[..., Path]) -> None:
    frames, message = read_until_error(VideoSource(spoil(make_video("clip.mkv"), 0.4, 1.0)))
    assert 0 < len(frames) < 30
    assert "s of 2.40 s" in message


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is empty"),
        (b"a shopping list\n" * 40, "is a text file"),
        (struct.pack(">I4s", 24, b"ftyp") + bytes(16) + struct.pack(">I4s", 9999, b"mdat"), "has no index"),
    ],
)
def test_what_is_no_video_is_refused_in_one_quiet_line(
    content: bytes, complaint: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=complaint) as caught:
        VideoSource(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_ffmpeg_is_silent_about_damage_where_the_environment_says_so(make_video: Callable[..., Path]) -> None:
    path = cut(make_video("clip.mp4", movflags="faststart"), 0.6)
    code = f"from edge_fairmot.sources import VideoSource\nlist(VideoSource({str(path)!r}))"
    environment = os.environ | {"OPENCV_FFMPEG_LOGLEVEL": "-8"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    assert "SourceError" in done.stderr
    assert "h264" not in done.stderr.replace("libx264", "")


def test_a_binary_file_of_no_known_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(np.random.default_rng(0).bytes(4000))
    with pytest.raises(SourceError, match="holds no video that can be decoded"):
        VideoSource(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is not a file"):
        VideoSource(tmp_path / "nothing.mp4")


def test_a_source_is_read_once(make_video: Callable[..., Path]) -> None:
    source = VideoSource(make_video("clip.mp4", 5))
    assert len(list(source)) == 5
    with pytest.raises(SourceError, match="open it again"):
        iter(source)


def test_closing_ends_the_iteration_without_complaint(make_video: Callable[..., Path]) -> None:
    source = VideoSource(make_video("clip.mp4"))
    frames = iter(source)
    next(frames)
    source.close()
    source.close()
    assert list(frames) == []
    with pytest.raises(SourceError, match="open it again"):
        iter(source)


@pytest.mark.skipif(not SHARED.exists(), reason="no shared/ beside the project")
@pytest.mark.parametrize(
    ("name", "count", "rate", "size"),
    [
        ("street-crowd-720p.mp4", 341, 25, (1280, 720)),
        ("one-by-one-432p.mp4", 1394, 10, (768, 432)),
    ],
)
def test_real_videos_are_read_whole(name: str, count: int, rate: float, size: tuple[int, int]) -> None:
    with VideoSource(SHARED / "videos" / name) as source:
        assert (source.info.frame_count, source.info.frame_rate, source.info.frame_size) == (
            count,
            rate,
            size,
        )
        (last,) = deque(source, maxlen=1)
    assert last.index == count - 1
    assert last.time_s == pytest.approx((count - 1) / rate)


@pytest.mark.skipif(not SHARED.exists(), reason="no shared/ beside the project")
def test_a_real_video_cut_off_gives_its_first_frames(tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    path.write_bytes((SHARED / "videos" / "street-crowd-720p.mp4").read_bytes())
    with VideoSource(cut(path, 0.2)) as source:
        frames, message = read_until_error(source)
    assert 40 < len(frames) < 100
    assert f"ended after {len(frames)} of 341 frames" in message


def test_every_frame_keeps_its_picture_while_the_next_are_read(make_video: Callable[..., Path]) -> None:
    with VideoSource(make_video("clip.mp4")) as source:
        frames, copies = [], []
        for frame in source:
            frames.append(frame)
            copies.append(frame.image.copy())
    assert all(np.array_equal(frame.image, copy) for frame, copy in zip(frames, copies, strict=True))
    assert not np.array_equal(copies[0], copies[30])


def test_it_can_be_closed_while_another_thread_reads(make_video: Callable[..., Path]) -> None:
    path = make_video("clip.mp4")
    for count in range(12):
        source, read, errors = VideoSource(path), threading.Semaphore(0), []

        def read_all(source: VideoSource = source, read: threading.Semaphore = read) -> None:
            try:
                for _ in source:
                    read.release()
            except BaseException as error:
                errors.append(error)  # noqa: B023

        thread = threading.Thread(target=read_all)
        thread.start()
        for _ in range(count):
            read.acquire()
        source.close()
        thread.join()
        assert errors == []
