from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_fairmot.errors import SinkError
from edge_fairmot.protocols import Sink
from edge_fairmot.sinks import GroundTruthSink, JsonLinesHeader, JsonLinesSink, MotTextSink, VideoSink
from edge_fairmot.types import Frame, FrameResult, GroundTruth, Tracks

from .late_disk import late_disk

SIZE = (320, 240)


def open_text(path: Path) -> Sink:
    return MotTextSink(path)


def open_json_lines(path: Path) -> Sink:
    return JsonLinesSink(path, JsonLinesHeader("x", SIZE, 25.0))


def open_video(path: Path) -> Sink:
    pytest.importorskip("av", reason="video is written with PyAV")
    return VideoSink(path, SIZE, 25.0)


def open_truth(path: Path) -> Sink:
    def truth(index: int) -> GroundTruth:
        ids = np.arange(1, 100)
        xyxy = np.full((99, 4), index, np.float32)
        return GroundTruth(ids, xyxy, np.ones(99, np.float32), xyxy[:, :2])

    return GroundTruthSink(path, truth)


all_sinks = pytest.mark.parametrize("open_sink", [open_text, open_json_lines, open_video, open_truth])


def noise(index: int) -> Frame:
    pixels = np.random.default_rng(index).integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    return Frame(pixels, index, index / 25)


@all_sinks
@pytest.mark.parametrize("place", ["/proc/tracks", "/proc/new/folder/tracks", "a file/tracks", "."])
def test_a_place_that_takes_no_file_is_named(
    open_sink: Callable[[Path], Sink], place: str, tmp_path: Path
) -> None:
    (tmp_path / "a file").write_text("in the way")
    path = tmp_path / place
    with pytest.raises(SinkError, match="cannot be written") as caught:
        open_sink(path)
    assert str(path) in str(caught.value)
    assert "or choose another place" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_device_is_told_at_the_first_write(make_tracks: Callable[..., Tracks]) -> None:
    complaint = r"/dev/full cannot be written \(No space left on device\): free space"
    with MotTextSink("/dev/full") as sink, pytest.raises(SinkError, match=complaint):
        sink.write(FrameResult(noise(0), make_tracks([(1, 0, 0, 9, 9)])))
    with pytest.raises(SinkError, match=complaint):
        open_json_lines(Path("/dev/full"))
    with pytest.raises(SinkError, match=complaint):
        open_video(Path("/dev/full"))


@pytest.fixture
def small_disk(disk_of: Callable[[str], Path]) -> Path:
    return disk_of("64k")


@all_sinks
def test_a_disk_that_fills_up_is_told_once_and_closing_is_quiet(
    open_sink: Callable[[Path], Sink],
    small_disk: Path,
    make_tracks: Callable[..., Tracks],
    capfd: pytest.CaptureFixture[str],
) -> None:
    path = small_disk / "tracks"
    many = make_tracks([(track_id, 0, 0, 99, 99) for track_id in range(1, 200)])
    sink = open_sink(path)
    sink.write(FrameResult(noise(0), many))

    def fill() -> None:
        for index in range(1, 200):
            sink.write(FrameResult(noise(index), many))

    with pytest.raises(SinkError, match="No space left on device") as caught:
        fill()
    assert str(path) in str(caught.value)
    sink.close()
    sink.close()
    assert path.stat().st_size > 30_000
    assert capfd.readouterr() == ("", "")


def test_lines_that_fit_in_part_are_told_at_once(
    small_disk: Path, make_tracks: Callable[..., Tracks]
) -> None:
    rows = [(track_id, 0, 0, 99, 99) for track_id in range(1, 3000)]
    with (
        MotTextSink(small_disk / "tracks.txt") as sink,
        pytest.raises(SinkError, match="No space left on device"),
    ):
        sink.write(FrameResult(noise(0), make_tracks(rows)))


def test_a_disk_that_is_too_small_for_the_last_fragment_is_told_by_closing(
    small_disk: Path, make_tracks: Callable[..., Tracks]
) -> None:
    # FFmpeg by itself would leave half a file and say nothing.
    pytest.importorskip("av", reason="video is written with PyAV")
    sink = VideoSink(small_disk / "tracks.mp4", (640, 480), 25.0)
    sink.write(
        FrameResult(
            Frame(cv2.resize(noise(0).image, (640, 480), interpolation=cv2.INTER_NEAREST), 0, 0.0),
            make_tracks([]),
        ),
    )
    with pytest.raises(SinkError, match="No space left on device"):
        sink.close()
    sink.close()


@all_sinks
def test_a_disk_that_complains_only_at_the_end_is_heard(
    open_sink: Callable[[Path], Sink], tmp_path: Path, make_tracks: Callable[..., Tracks]
) -> None:
    with late_disk():
        sink = open_sink(tmp_path / "tracks")
    sink.write(FrameResult(noise(0), make_tracks([(1, 0, 0, 9, 9)])))
    with pytest.raises(SinkError, match=r"tracks cannot be written \(No space left on device\)"):
        sink.close()
    sink.close()


@all_sinks
def test_closing_twice_is_fine_and_writing_after_it_is_not(
    open_sink: Callable[[Path], Sink], tmp_path: Path, make_tracks: Callable[..., Tracks]
) -> None:
    with closing(open_sink(tmp_path / "tracks")) as sink:
        sink.write(FrameResult(noise(0), make_tracks([(1, 0, 0, 9, 9)])))
        sink.close()
        with pytest.raises(SinkError, match="is closed"):
            sink.write(FrameResult(noise(1), make_tracks([(1, 0, 0, 9, 9)])))


@all_sinks
def test_an_older_file_is_replaced(
    open_sink: Callable[[Path], Sink], tmp_path: Path, make_tracks: Callable[..., Tracks]
) -> None:
    path = tmp_path / "tracks"
    path.write_bytes(b"old" * 100_000)
    with closing(open_sink(path)) as sink:
        sink.write(FrameResult(noise(0), make_tracks([(1, 0, 0, 9, 9)])))
    assert b"oldold" not in path.read_bytes()
