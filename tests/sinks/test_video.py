from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_fairmot.errors import InvalidInputError, MissingDependencyError, SinkError
from edge_fairmot.sinks import VideoSink
from edge_fairmot.sinks.video import FragmentedMp4
from edge_fairmot.types import Frame, FrameResult, Tracks

av = pytest.importorskip("av", reason="video is written with PyAV")


def read(path: Path) -> tuple[list[float], list[np.ndarray]]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return [float(frame.time) for frame in frames], [frame.to_ndarray(format="bgr24") for frame in frames]


@pytest.mark.parametrize(
    "times_s",
    [
        [index / 25 for index in range(30)],
        [index * 1001 / 30000 for index in range(30)],
        [0.0, 0.01, 0.5, 0.503, 2.0, 7.25, 7.3],
    ],
    ids=["25", "29.97", "uneven"],
)
def test_frames_keep_their_times(
    times_s: list[float], tmp_path: Path, make_frame: Callable[..., Frame], make_tracks: Callable[..., Tracks]
) -> None:
    path = tmp_path / "made" / "out.mp4"
    start_s = 1.7e9  # a camera's clock; the file begins at 0
    with VideoSink(path, (64, 48), 25.0) as sink:
        for index, time_s in enumerate(times_s):
            sink.write(FrameResult(make_frame(index, time_s=start_s + time_s), make_tracks([])))
    np.testing.assert_allclose(read(path)[0], times_s, atol=2e-5)


def test_times_that_do_not_rise_are_written_in_order(
    tmp_path: Path, make_frame: Callable[..., Frame], make_tracks: Callable[..., Tracks]
) -> None:
    with VideoSink(tmp_path / "out.mp4", (64, 48), 25.0) as sink:
        for index, time_s in enumerate([0.0, 0.0, -3.0, 0.04]):
            sink.write(FrameResult(make_frame(index, time_s=time_s), make_tracks([])))
    times_s, images = read(tmp_path / "out.mp4")
    assert (np.diff(times_s) > 0).all()
    assert len(images) == 4


def test_colours_come_back(tmp_path: Path) -> None:
    colors = [(30, 60, 200), (200, 90, 40), (60, 180, 70), (128, 128, 128), (16, 16, 16), (235, 235, 235)]
    file = FragmentedMp4(tmp_path / "out.mp4", (64, 48), 25.0)
    for index, color in enumerate(colors):
        file.write(np.full((48, 64, 3), color, np.uint8), index / 25)
    file.close()
    for color, image in zip(colors, read(tmp_path / "out.mp4")[1], strict=True):
        assert np.abs(image.astype(int) - color).max() <= 8
    with av.open(str(tmp_path / "out.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert (context.colorspace, context.color_range) == (6, 1)


@pytest.mark.parametrize("size", [(64, 48), (63, 47), (65, 48), (1, 1), (2, 33)])
def test_odd_sizes_grow_by_one_pixel(
    size: tuple[int, int],
    tmp_path: Path,
    make_frame: Callable[..., Frame],
    make_tracks: Callable[..., Tracks],
) -> None:
    with VideoSink(tmp_path / "out.mp4", size, 25.0) as sink:
        for index in range(3):
            sink.write(FrameResult(make_frame(index, size=size), make_tracks([])))
    _, images = read(tmp_path / "out.mp4")
    width, height = size
    assert {image.shape for image in images} == {(height + height % 2, width + width % 2, 3)}
    assert images[0].std() < 3


def test_tracks_are_drawn_and_the_frame_is_left_alone(
    tmp_path: Path, make_frame: Callable[..., Frame], make_tracks: Callable[..., Tracks]
) -> None:
    frame = make_frame(0, size=(320, 240))
    frame.image.flags.writeable = False
    with VideoSink(tmp_path / "out.mp4", (320, 240), 25.0) as sink:
        sink.write(FrameResult(frame, make_tracks([(1, 50, 60, 150, 200)])))
    (image,) = read(tmp_path / "out.mp4")[1]
    assert image[150, 45:55].std() > 10
    assert image[150, 200:300].std() < 3


def boxes(data: bytes) -> list[bytes]:
    kinds, position = [], 0
    while position + 8 <= len(data):
        kinds.append(data[position + 4 : position + 8])
        position += int.from_bytes(data[position : position + 4], "big")
    return kinds


def test_a_fragment_ends_each_second_and_is_on_disk_at_once(
    tmp_path: Path, make_frame: Callable[..., Frame], make_tracks: Callable[..., Tracks]
) -> None:
    path = tmp_path / "out.mp4"
    sink = VideoSink(path, (64, 48), 10.0)
    for index in range(60):
        sink.write(FrameResult(make_frame(index, time_s=index / 10), make_tracks([])))
    kinds = boxes(path.read_bytes())
    assert kinds[:2] == [b"ftyp", b"moov"]
    assert kinds.count(b"moof") >= 3
    before = len(read(path)[0])
    assert before >= 30
    sink.close()
    assert len(read(path)[0]) == 60


def test_a_video_without_frames_is_still_a_file(tmp_path: Path) -> None:
    VideoSink(tmp_path / "out.mp4", (64, 48), 25.0).close()
    assert boxes((tmp_path / "out.mp4").read_bytes())[:2] == [b"ftyp", b"moov"]


def test_a_frame_of_another_size_is_refused(
    tmp_path: Path, make_frame: Callable[..., Frame], make_tracks: Callable[..., Tracks]
) -> None:
    sink = VideoSink(tmp_path / "out.mp4", (64, 48), 25.0)
    with pytest.raises(SinkError, match="takes 64x48 pixels, not 32x48"):
        sink.write(FrameResult(make_frame(0, size=(32, 48)), make_tracks([])))
    sink.close()


@pytest.mark.parametrize(
    ("size", "rate"), [((0, 48), 25.0), ((64, -2), 25.0), ((64, 48), 0.0), ((64, 48), np.nan)]
)
def test_a_size_or_rate_that_is_not_positive_is_refused(
    size: tuple[int, int], rate: float, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInputError, match="must be positive"):
        VideoSink(tmp_path / "out.mp4", size, rate)


def test_without_pyav_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'edge-fairmot\[video\]'"):
        VideoSink(tmp_path / "out.mp4", (64, 48), 25.0)
    assert not (tmp_path / "out.mp4").exists()


def test_the_room_is_entered_without_pyav() -> None:
    code = "import sys, edge_fairmot.sinks, edge_fairmot.sources; sys.exit('av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
