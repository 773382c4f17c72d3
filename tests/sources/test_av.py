"""Video files: small ones that are made here, and the ones of the cases beside the project."""

from __future__ import annotations

import os
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from edge_fairmot.errors import InvalidInputError, SourceError
from edge_fairmot.sources import SourceOptions, VideoSource
from edge_fairmot.types import Frame

Make = Callable[..., Path]
needs_pyav_18 = pytest.mark.skipif(av.__version__ < "18", reason="PyAV before 18 cannot write or tell it")
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
IN_FRONT = {"movflags": "faststart"}
HEALTHY = {
    "index_at_end.mp4": {},
    "index_in_front.mp4": {"muxer": IN_FRONT},
    "fragmented.mp4": {"muxer": FRAGMENTED},
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
GAP_MS = [index * 40 + (5000 if index >= 30 else 0) for index in range(60)]
UNEVEN_MS = np.cumsum(10 + np.arange(60) % 7 * 13).tolist()


def read(source: Iterable[Frame]) -> tuple[list[Frame], str]:
    """The frames, and the error after them."""
    frames: list[Frame] = []
    message = ""
    try:
        frames.extend(source)
    except SourceError as error:
        message = str(error)
    assert "\n" not in message
    return frames, message


def assert_sound(frames: list[Frame]) -> None:
    assert (np.diff([frame.index for frame in frames]) > 0).all()
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
def test_a_healthy_video_is_read_whole_as_opencv_reads_it(name: str, make_video: Make) -> None:
    path = make_video(name, **HEALTHY[name])
    with VideoSource(path) as source:
        frames = list(source)
    assert [frame.index for frame in frames] == list(range(60))
    np.testing.assert_allclose([frame.time_s for frame in frames], np.arange(60) / 25, atol=1e-9)
    assert (source.info.frame_size, source.info.frame_rate) == ((64, 48), 25)
    assert source.info.frame_count in {"raw.h264": (None,), "clip.mpg": range(55, 61)}.get(name, (60,))
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    assert all(np.array_equal(frame.image, capture.read()[1]) for frame in frames)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
@pytest.mark.parametrize("times_ms", [UNEVEN_MS, GAP_MS], ids=["uneven", "gap"])
def test_times_follow_a_variable_frame_rate(name: str, times_ms: list[int], make_video: Make) -> None:
    frames, message = read(VideoSource(make_video(name, times_ms=times_ms, options={"bf": "0"})))
    expected = (np.array(times_ms) - times_ms[0]) / 1000
    np.testing.assert_allclose([frame.time_s for frame in frames], expected, atol=1.1e-3)
    assert message == ""


def test_a_rate_that_is_a_clock_s_is_replaced(make_video: Make) -> None:
    # Browsers record WebM so: the header says a frame every millisecond.
    times_ms = [33 * index + index % 3 for index in range(40)]
    source = VideoSource(make_video("ticks.mkv", 40, rate=1000, times_ms=times_ms))
    assert source.info.frame_rate <= 60
    frames, message = read(source)
    np.testing.assert_allclose([frame.time_s for frame in frames], np.array(times_ms) / 1000, atol=1e-6)
    assert message == ""


@pytest.mark.parametrize("name", ["raw.h264", "raw.hevc"])
def test_a_raw_stream_has_the_rate_that_it_states(name: str, make_video: Make) -> None:
    codec, options = (
        ("libx264", None) if name == "raw.h264" else ("libx265", {"x265-params": "log-level=none"})
    )
    path = make_video(name, 20, codec, rate=10, sizes=[(128, 96)], options=options)
    with VideoSource(path) as source:
        assert source.info.frame_rate == 10
        assert [frame.time_s for frame in source] == [index / 10 for index in range(20)]


@pytest.mark.parametrize(
    "sound_s", [None, (0, 0.5), (0, 4), (1.5, 4)], ids=["no sound", "short", "long", "late sound"]
)
@pytest.mark.parametrize("late_ms", [0, 3000], ids=["from 0", "from 3 s"])
@pytest.mark.parametrize("name", ["a.mp4", "f.mp4", "a.mkv", "a.ts", "a.flv", "a.webm"])
def test_a_whole_video_is_never_called_cut_off(
    name: str, late_ms: int, sound_s: tuple[float, float] | None, make_video: Make
) -> None:
    if name == "a.webm":
        if sound_s:
            pytest.skip("WebM holds no AAC")
        options, codec = {"deadline": "realtime", "cpu-used": "8"}, "libvpx"
    else:
        options, codec = {"bf": "0"}, "libx264"
    times_ms = [late_ms + 40 * index for index in range(30)]
    muxer = FRAGMENTED if name == "f.mp4" else None
    path = make_video(name, 30, codec, times_ms=times_ms, options=options, sound_s=sound_s, muxer=muxer)
    frames, message = read(VideoSource(path))
    assert (len(frames), message) == (30, "")
    # A fragmented file begins with what the encoder of the sound puts in front of it.
    np.testing.assert_allclose(np.diff([frame.time_s for frame in frames])[1:], 1 / 25, atol=1.1e-3)


@pytest.mark.parametrize("form", ["matroska", "mpegts", "mp4"])
def test_the_pieces_of_a_recorder_are_whole(form: str, tmp_path: Path, make_video: Make) -> None:
    """Their times go on from the first to the last, which is how ``-f segment`` writes them."""
    make_video(
        "part_%d", form="segment", muxer={"segment_time": "1", "segment_format": form}, sound_s=(0, 2.4)
    )
    pieces = sorted(tmp_path.glob("part_*"))
    results = [read(VideoSource(piece)) for piece in pieces]
    assert len(pieces) > 1
    assert sum(len(frames) for frames, _ in results) == 60
    assert [message for _, message in results] == [""] * len(pieces)
    assert all(frames[0].time_s == 0 for frames, _ in results)


@pytest.mark.parametrize("start_s", [1, 40, 3600])
def test_a_transport_stream_whose_clock_goes_back_goes_on(start_s: int, make_video: Make) -> None:
    late = make_video("late.ts", 30, muxer={"output_ts_offset": str(start_s + 2)}).read_bytes()
    path = make_video("clip.ts", 30)
    path.write_bytes(late + path.read_bytes())
    frames, message = read(VideoSource(path))
    assert message == ""
    np.testing.assert_allclose([frame.time_s for frame in frames], np.arange(60) / 25, atol=1e-6)


def stripes(index: int, size: tuple[int, int]) -> np.ndarray:
    """A square that moves by 8 pixels a frame; its lower rows were taken half a frame later."""
    image = np.full((size[1], size[0], 3), 60, np.uint8)
    for field in (0, 1):
        image[16 + field : 48 : 2, 8 * index + 4 * field :][:, :24] = 220
    return image


def combing(image: np.ndarray) -> float:
    """Mean difference of neighbouring rows where the square's edge is."""
    rows = image[20:44].astype(float)
    return float(np.abs(rows[1:] - rows[:-1]).mean())


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mp4", "libx264", {"flags": "+ildct+ilme", "x264-params": "tff=1", "preset": "veryfast"}),
        ("a.ts", "mpeg2video", {"flags": "+ildct+ilme", "b": "2000000"}),
    ],
)
def test_interlaced_frames_are_deinterlaced(
    name: str, codec: str, options: dict[str, str], make_video: Make
) -> None:
    path = make_video(name, 12, codec, options=options, sizes=[(128, 64)], draw=stripes)
    with VideoSource(path) as source:
        frames = list(source)
    assert [frame.index for frame in frames] == list(range(12))
    np.testing.assert_allclose([frame.time_s for frame in frames], np.arange(12) / 25, atol=1e-6)
    with av.open(str(path)) as container:
        coded = list(container.decode(video=0))
        assert all(frame.interlaced_frame for frame in coded)
        combed = [combing(frame.to_ndarray(format="bgr24")) for frame in coded]
    assert np.mean([combing(frame.image) for frame in frames]) < 0.4 * np.mean(combed)


def test_in_a_mixed_stream_only_interlaced_frames_are_changed(make_video: Make) -> None:
    parts = [
        make_video(f"{flags}.h264", 6, options={"flags": flags, "bf": "0"}, sizes=[(128, 64)], draw=stripes)
        for flags in ("0", "+ildct+ilme")
    ]
    path = parts[0].with_name("mixed.h264")
    path.write_bytes(parts[0].read_bytes() + parts[1].read_bytes() + parts[0].read_bytes())
    progressive = [frame.image for frame in VideoSource(parts[0])]
    frames, message = read(VideoSource(path))
    assert (len(frames), message) == (18, "")
    for first in (0, 12):
        assert all(
            np.array_equal(frame.image, image)
            for frame, image in zip(frames[first : first + 6], progressive, strict=True)
        )
    assert len({frame.image.tobytes() for frame in frames[6:12]}) == 6  # nothing stands still


@pytest.mark.parametrize(
    ("aspect", "width"),
    [(Fraction(2), 128), (Fraction(64, 45), 91), (Fraction(1280, 1281), 64), (Fraction(1), 64)],
)
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_pixels_are_made_square(name: str, aspect: Fraction, width: int, make_video: Make) -> None:
    with VideoSource(make_video(name, 3, pixel_aspect=aspect)) as source:
        assert source.info.frame_size == (width, 48)
        assert {frame.image.shape for frame in source} == {(48, width, 3)}


@pytest.mark.parametrize("aspect", [Fraction(2), Fraction(1)])
@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turned_video_is_upright(quarters: int, aspect: Fraction, make_video: Make) -> None:
    path = make_video("turned.mp4", 3, muxer=IN_FRONT, pixel_aspect=aspect)
    upright = next(iter(VideoSource(path))).image
    one = 1 << 16
    a, b, c, d = {1: (0, one, -one, 0), 2: (-one, 0, 0, -one), 3: (0, -one, one, 0)}[quarters]
    data, identity = path.read_bytes(), struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    track = data.index(b"tkhd")
    turned = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    at = data.index(identity, track)
    path.write_bytes(data[:at] + turned + data[at + len(turned) :])
    with VideoSource(path) as source:
        image = next(iter(source)).image
        assert source.info.frame_size == image.shape[1::-1]
    assert np.array_equal(image, np.rot90(upright, -quarters))


def test_the_largest_video_stream_is_read(make_video: Make) -> None:
    for name in ("a.mp4", "a.mkv"):
        with VideoSource(make_video(name, 3, sizes=[(32, 24), (128, 96), (128, 96)])) as source:
            assert source.info.frame_size == (128, 96)
            assert [frame.index for frame in source] == [0, 1, 2]


@needs_pyav_18
def test_a_cover_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.m4a"
    with av.open(str(path), "w", format="mp4") as container:
        sound = container.add_stream("aac", rate=44100, layout="mono")
        cover = container.add_stream("png")
        cover.width, cover.height, cover.pix_fmt = 640, 480, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        container.mux(cover.encode(av.VideoFrame(640, 480, "rgb24")))
        for start in range(0, 20480, 1024):
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            silence.sample_rate, silence.pts, silence.time_base = 44100, start, Fraction(1, 44100)
            container.mux(sound.encode(silence))
        container.mux([*cover.encode(None), *sound.encode(None)])
    with av.open(str(path)) as container:
        assert len(container.streams.video) == 1
    with pytest.raises(SourceError, match="has no video stream"):
        VideoSource(path)


@pytest.mark.parametrize(("codec", "options"), [("libsvtav1", {"svtav1-params": "rc=0"}), ("libx265", {})])
def test_av1_and_10_bit_are_read(codec: str, options: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    # SVT-AV1 makes a process of root a real-time one, which would take the processor from all other tests.
    ordinary = os.sched_getscheduler(0), os.sched_getparam(0)
    with av.open(str(path), "w") as container:
        if codec == "libx265":
            options = {"x265-params": "log-level=none"}
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p10le"
        for grey in range(0, 250, 25):
            image = np.full((96, 128, 3), grey, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, "bgr24").reformat(format="yuv420p10le")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    os.sched_setscheduler(0, *ordinary)
    with VideoSource(path) as source:
        greys = [float(frame.image.mean()) for frame in source]
    np.testing.assert_allclose(greys, range(0, 250, 25), atol=3)


@pytest.mark.parametrize(
    "name",
    [
        b"2026-11-30T10:15:00.mp4",
        b"http:x.mp4",
        b"cache:a.mp4",
        b"%03d.mp4",
        b"caf\xe9.mp4",
        b"a b?#&.mp4",
        b"-i.mp4",
    ],
)
def test_any_file_name_is_read(
    name: bytes, tmp_path: Path, make_video: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(name.decode("utf-8", "surrogateescape"))
    make_video("clip.mp4", 3).rename(path)
    for spec in (path, tmp_path / path):
        with VideoSource(spec) as source:
            assert len(list(source)) == 3


CUT = [
    "index_in_front.mp4",
    "fragmented.mp4",
    "b_frames.mp4",
    "clip.mkv",
    "clip.webm",
    "clip.avi",
    "clip.flv",
]


@pytest.mark.parametrize("share", [0.52, 0.61, 0.9])
@pytest.mark.parametrize("name", [*CUT, "b_frames.avi", "clip.mpg", "clip.ts", "raw.h264"])
def test_a_video_cut_off_gives_what_it_has_and_then_an_error(
    name: str, share: float, make_video: Make
) -> None:
    path = cut(
        make_video(name, **HEALTHY[name] | ({"muxer": IN_FRONT} if name == "b_frames.mp4" else {})), share
    )
    if name == "clip.ts":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 188 * 188 + 100])
    frames, message = read(VideoSource(path))
    assert_sound(frames)
    assert 60 * share - 15 <= len(frames) <= 60 * share + 10
    assert f"is cut off: it ended after {len(frames)} " in message
    assert "re-encode what is readable with: ffmpeg -i" in message


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.flv", "a.mov"])
def test_a_cut_in_the_sound_is_told_too(name: str, make_video: Make) -> None:
    muxer = IN_FRONT if name in ("a.mp4", "a.mov") else None
    path = make_video(name, sound_s=(0, 2.4), muxer=muxer)
    whole = path.read_bytes()
    for share in np.linspace(0.4, 0.9, 11):
        path.write_bytes(whole[: int(len(whole) * share)])
        assert "is cut off" in read(VideoSource(path))[1], share


@needs_pyav_18
@pytest.mark.parametrize("name", ["index_in_front.mp4", "fragmented.mp4", "clip.avi", "clip.flv"])
def test_a_video_that_lacks_half_of_its_last_frame_is_told(name: str, make_video: Make) -> None:
    path = make_video(name, **HEALTHY[name], sizes=[(128, 96)])
    with av.open(str(path)) as container:
        last = [packet for packet in container.demux() if packet.size][-1]
        path.write_bytes(path.read_bytes()[: last.pos + last.size // 2])
    frames, message = read(VideoSource(path))
    assert f"is cut off: it ended after {len(frames)} " in message
    assert len(frames) == 59


def test_a_recorder_may_end_a_transport_stream_between_any_two_packets(make_video: Make) -> None:
    path = make_video("clip.ts")
    path.write_bytes(path.read_bytes()[: 188 * 500])
    frames, message = read(VideoSource(path))
    assert (30 < len(frames) < 60, message) == (True, "")


@pytest.mark.parametrize(
    ("options", "end"),
    # With B-frames the decoder brings up frames of before the damage late.
    [({"bf": "0", "g": "6"}, 0.6), ({"bf": "3", "g": "12", "preset": "veryfast"}, 0.5)],
)
def test_frames_on_both_sides_of_damage_keep_their_place_and_the_loss_is_told(
    options: dict[str, str], end: float, make_video: Make, index_of: Callable[..., int]
) -> None:
    path = spoil(make_video("clip.mp4", muxer=IN_FRONT, options=options), 0.4, end)
    frames, message = read(VideoSource(path))
    assert_sound(frames)
    assert 30 <= len(frames) <= 55
    assert "frames cannot be decoded, the first after frame 2" in message
    assert [frame.index for frame in frames[-15:]] == list(range(45, 60))
    assert [index_of(frame.image) for frame in frames[-15:]] == list(range(45, 60))
    assert frames[-1].time_s == pytest.approx(59 / 25)


def test_damage_up_to_the_end_is_an_early_end(make_video: Make) -> None:
    path = spoil(make_video("clip.mp4", muxer=IN_FRONT, options={"bf": "0"}), 0.5, 1.0)
    frames, message = read(VideoSource(path))
    assert f"ended after {len(frames)} of 60 frames" in message


def test_frames_hidden_by_an_edit_list_are_not_missed(make_video: Make, tmp_path: Path) -> None:
    """As phones trim: the frames stay in the file and are not shown."""
    target = tmp_path / "trimmed.mp4"
    with av.open(str(make_video("long.mp4", options={"g": "60"}))) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        shift = int(Fraction(30, 25) / old.streams.video[0].time_base)
        for packet in old.demux(old.streams.video[0]):
            if packet.dts is not None:
                packet.pts -= shift
                packet.dts -= shift
                packet.stream = stream
                new.mux(packet)
    frames, message = read(VideoSource(target))
    assert (len(frames), message) == (30, "")


@pytest.mark.parametrize(
    "name", ["b_frames.mp4", "clip.mkv", "clip.ts", "open_groups.ts", "clip.avi", "raw.h264"]
)
@pytest.mark.parametrize(
    "options",
    [
        SourceOptions(start_s=1.0),
        SourceOptions(start_s=1.02, duration_s=0.4),
        SourceOptions(start_s=0.04, max_frames=3),
        SourceOptions(duration_s=0.2),
        SourceOptions(max_frames=7),
    ],
)
def test_a_part_has_the_frames_of_the_whole(name: str, options: SourceOptions, make_video: Make) -> None:
    open_groups = {"x265-params": "log-level=none:open-gop=1:keyint=12:bframes=3"}
    hevc = {"codec": "libx265", "options": open_groups, "sizes": [(128, 96)]}
    path = make_video(name, **HEALTHY.get(name, hevc))
    expected = [
        frame
        for frame in VideoSource(path)
        if options.start_s <= frame.time_s < options.start_s + (options.duration_s or 9) - 1e-9
    ][: options.max_frames]
    with VideoSource(path, options) as source:
        given = list(source)
    assert [(frame.index, frame.time_s) for frame in given] == [
        (frame.index, frame.time_s) for frame in expected
    ]
    assert all(np.array_equal(one.image, other.image) for one, other in zip(given, expected, strict=True))
    assert source.info.frame_count in (None, len(given), len(given) + 1)


def test_a_stated_rate_goes_before_the_file_s(make_video: Make) -> None:
    with VideoSource(make_video("clip.mp4", 10), SourceOptions(frame_rate=12.5, start_s=0.4)) as source:
        assert source.info.frame_rate == 12.5
        assert [(frame.index, frame.time_s) for frame in source] == [(n, n / 12.5) for n in range(5, 10)]


def test_a_part_behind_the_end_is_told(make_video: Make) -> None:
    source = VideoSource(make_video("clip.mp4", 10), SourceOptions(start_s=3))
    with pytest.raises(SourceError, match=r"ends at 0\.40 s: start before that, not at 3 s"):
        list(source)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"frame_rate": 0}, "frame_rate must be positive"),
        ({"frame_rate": float("nan")}, "frame_rate must be positive"),
        ({"start_s": -1}, "start_s must be 0 or more"),
        ({"duration_s": 0}, "duration_s must be positive"),
        ({"max_frames": 0}, "max_frames must be 1 or more"),
    ],
)
def test_options_out_of_range_are_refused(values: dict[str, float], complaint: str) -> None:
    with pytest.raises(InvalidInputError, match=complaint):
        SourceOptions(**values)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is empty"),
        (b"a shopping list\n" * 40, "is a text file"),
        (b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n" * 20, "is a text file"),
        (struct.pack(">I4s", 24, b"ftyp") + bytes(16) + struct.pack(">I4s", 9999, b"mdat"), "has no index"),
        (np.random.default_rng(0).bytes(4000), "holds no video that can be decoded"),
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


def test_a_source_is_read_once_and_closing_ends_it(make_video: Make) -> None:
    source = VideoSource(make_video("clip.mp4"))
    frames = iter(source)
    next(frames)
    with pytest.raises(SourceError, match="open it again"):
        iter(source)
    source.close()
    source.close()
    assert list(frames) == []


def test_every_frame_keeps_its_image_while_the_next_are_read(make_video: Make) -> None:
    frames, copies = [], []
    for frame in VideoSource(make_video("clip.mp4", 20)):
        frames.append(frame)
        copies.append(frame.image.copy())
        assert frame.image.flags.writeable
    assert all(np.array_equal(frame.image, copy) for frame, copy in zip(frames, copies, strict=True))
    assert not np.array_equal(copies[0], copies[10])


def test_it_can_be_closed_while_another_thread_reads(make_video: Make) -> None:
    path = make_video("clip.mp4")
    for count in range(12):
        source, read_one, errors = VideoSource(path), threading.Semaphore(0), []

        def read_all(source: VideoSource = source, read_one: threading.Semaphore = read_one) -> None:
            try:
                for _ in source:
                    read_one.release()
            except BaseException as error:
                errors.append(error)  # noqa: B023

        thread = threading.Thread(target=read_all)
        thread.start()
        for _ in range(count):
            read_one.acquire()
        source.close()
        thread.join()
        assert errors == []


@pytest.mark.parametrize(
    ("name", "count", "rate", "size"),
    [
        ("videos/street-crowd-720p.mp4", 341, 25, (1280, 720)),
        ("cases/01-interlaced-video-is-black/mbaff.mp4", 6, 25, (640, 360)),
        ("cases/01-interlaced-video-is-black/mix.h264", 18, 25, (640, 360)),
        ("cases/04-mkv-webm-ts-called-cut-off/seg_3.mkv", 25, 25, (320, 180)),
        ("cases/04-mkv-webm-ts-called-cut-off/off.webm", 20, 25, (640, 360)),
        ("cases/04-mkv-webm-ts-called-cut-off/hls_seg2.mp4", 25, 25, (320, 180)),
        ("cases/04-mkv-webm-ts-called-cut-off/vlate.mkv", 100, 25, (320, 180)),
        ("cases/04-mkv-webm-ts-called-cut-off/vlate.ts", 100, 25, (320, 180)),
        ("cases/04-mkv-webm-ts-called-cut-off/vlate.flv", 100, 25, (320, 180)),
        ("cases/04-mkv-webm-ts-called-cut-off/longaudio.mkv", 20, 25, (640, 360)),
        ("cases/07-colon-in-file-name/2026-11-30T10:15:00.mp4", 2, 25, (640, 360)),
        ("cases/08-raw-h264-frame-rate/raw_10.h264", 20, 10, (640, 360)),
        ("cases/08-raw-h264-frame-rate/raw_30.h264", 20, 30, (640, 360)),
        ("cases/10-anamorphic-video-squeezed/sar8.mp4", 8, 25, (640, 360)),
    ],
)
def test_real_videos_are_read_whole(
    name: str, count: int, rate: float, size: tuple[int, int], shared: Path
) -> None:
    if not (shared / name).exists():
        pytest.skip(f"needs {shared / name}")
    with VideoSource(shared / name) as source:
        assert (source.info.frame_rate, source.info.frame_size) == (rate, size)
        (last,) = deque(source, maxlen=1)
    assert last.index == count - 1
    assert last.time_s == pytest.approx((count - 1) / rate)
    assert 20 < last.image.mean() < 240
