"""Video of events: what is in it, and that it costs no more memory than allowed."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from edge_fairmot.counting import Event
from edge_fairmot.service.recording import ClipConfig, RecordingSink
from edge_fairmot.service.recording.clips import ClipRecorder
from edge_fairmot.service.recording.ring import PictureRing
from edge_fairmot.sources import VideoSource

from .conftest import SIZE, fill, index_of, people, picture

pytest.importorskip("av", reason="video is written with PyAV")

NOBODY = people(0)


def run(folder: Path, config: ClipConfig, count: int, events: list[int], rate: float = 10.0) -> ClipRecorder:
    """Pictures in order, with events in some of them."""
    paths = (folder / f"{number}.mp4" for number in range(100))
    with closing(ClipRecorder(config, rate, lambda: next(paths), pytest.fail)) as clips:
        for index in range(count):
            if index in events:
                clips.trigger(picture(index, rate=rate).time_s)
            clips.offer(picture(index, rate=rate), NOBODY)
            while clips._put - clips._taken > 20:
                time.sleep(0.001)
    return clips


def indices(path: Path) -> list[int]:
    """Which pictures are in a clip; their times are checked on the way."""
    with VideoSource(path) as source:
        frames = list(source)
    found = [index_of(frame.image) for frame in frames]
    np.testing.assert_allclose(
        [frame.time_s for frame in frames], (np.array(found) - found[0]) / 10, atol=1e-3
    )
    return found


def test_a_clip_begins_before_its_event_and_ends_after_it(tmp_path: Path) -> None:
    clips = run(tmp_path, ClipConfig(before_s=1, after_s=2), 80, [30])
    assert indices(tmp_path / "0.mp4") == list(range(20, 51))
    assert (len(list(tmp_path.iterdir())), clips.dropped) == (1, 0)


def test_events_that_follow_each_other_are_one_clip(tmp_path: Path) -> None:
    run(tmp_path, ClipConfig(before_s=1, after_s=2), 100, [30, 45, 60])
    assert indices(tmp_path / "0.mp4") == list(range(20, 81))
    assert len(list(tmp_path.iterdir())) == 1


def test_a_clip_that_is_too_long_goes_on_in_another(tmp_path: Path) -> None:
    run(tmp_path, ClipConfig(before_s=1, after_s=3, longest_s=4), 100, [20, 40, 60])
    parts = [indices(path) for path in sorted(tmp_path.iterdir())]
    assert parts == [list(range(10, 51)), list(range(51, 91))]


def test_an_event_at_the_very_beginning_and_one_at_the_very_end_have_clips(tmp_path: Path) -> None:
    run(tmp_path, ClipConfig(before_s=1, after_s=1), 40, [0])
    assert indices(tmp_path / "0.mp4") == list(range(11))
    paths = iter([tmp_path / "last.mp4"])
    with closing(ClipRecorder(ClipConfig(before_s=1), 10, lambda: next(paths), pytest.fail)) as clips:
        for index in range(20):
            clips.offer(picture(index), NOBODY)
        clips.trigger(picture(19).time_s)
    assert indices(tmp_path / "last.mp4") == list(range(9, 20))


def test_no_event_is_no_clip(tmp_path: Path) -> None:
    run(tmp_path, ClipConfig(), 50, [])
    assert list(tmp_path.iterdir()) == []


def test_another_size_of_pictures_ends_a_clip(tmp_path: Path) -> None:
    paths = (tmp_path / f"{number}.mp4" for number in range(5))
    with closing(ClipRecorder(ClipConfig(before_s=1), 10, lambda: next(paths), pytest.fail)) as clips:
        for index in range(30):
            clips.offer(picture(index, SIZE if index < 20 else (32, 24)), NOBODY)
            if index in (15, 25):
                clips.trigger(picture(index).time_s)
    assert [indices(tmp_path / f"{number}.mp4") for number in range(2)] == [
        list(range(5, 20)),
        list(range(20, 30)),
    ]


def test_a_source_that_is_gone_does_not_leave_a_clip_unfinished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_fairmot.service.recording.clips.IDLE_S", 0.05)
    config = ClipConfig(before_s=1, after_s=0.15, longest_s=5)
    with closing(ClipRecorder(config, 10, lambda: tmp_path / "clip.mp4", pytest.fail)) as clips:
        for index in range(12):
            clips.offer(picture(index), NOBODY)
        clips.trigger(picture(11).time_s)
        clips.offer(picture(12), NOBODY)
        for _ in range(1000):
            if clips.path is None and (tmp_path / "clip.mp4").exists():
                break
            time.sleep(0.01)
        assert indices(tmp_path / "clip.mp4") == list(range(1, 13))


def test_pictures_are_thinned_to_the_rate_evenly() -> None:
    ring = PictureRing(ClipConfig(before_s=2, rate=10))
    kept = [index for index in range(150) if ring.offer(picture(index, rate=15), NOBODY)]
    assert len(kept) in (100, 101)
    assert max(np.diff(kept)) == 2
    assert len(ring.pictures()) in (20, 21)


def test_pictures_that_fit_are_kept_as_they_are_and_others_made_smaller() -> None:
    fitting = PictureRing(ClipConfig(before_s=1, rate=10, memory_bytes=2_000_000))
    frame = picture(3)
    assert fitting.offer(frame, NOBODY)[0] is frame
    config = ClipConfig(before_s=5, rate=10, memory_bytes=4_000_000)
    ring = PictureRing(config)
    for index in range(200):
        ring.offer(picture(index, (640, 360)), people())
    pictures = ring.pictures()
    used = sum(frame.image.nbytes for frame, _ in pictures)
    assert used <= config.memory_bytes / 2
    assert pictures[-1][0].time_s - pictures[0][0].time_s == pytest.approx(5, abs=0.11)
    assert ring.size == (640 // 5, 360 // 5)
    np.testing.assert_allclose(pictures[-1][1].xyxy[0], [2, 2, 6, 8], rtol=1e-6)
    assert index_of(pictures[-1][0].image) == 199 % 100


def test_an_encoder_that_is_too_slow_costs_pictures_and_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    from edge_fairmot.sinks import VideoSink

    gate = threading.Event()
    write = VideoSink.write

    def slowly(self, frame, tracks):
        gate.wait()
        write(self, frame, tracks)

    monkeypatch.setattr(VideoSink, "write", slowly)
    config = ClipConfig(before_s=1, after_s=60, longest_s=100, memory_bytes=1_000_000)
    clips = ClipRecorder(config, 10, lambda: tmp_path / "clip.mp4", pytest.fail)
    clips.offer(picture(0), NOBODY)
    clips.trigger(picture(0).time_s)
    for index in range(1, 300):
        clips.offer(picture(index), NOBODY)
        assert clips._queue.qsize() * 48 * 64 * 3 <= config.memory_bytes / 2 + 4 * 48 * 64 * 3
    assert clips.dropped > 200
    gate.set()
    clips.close()
    with VideoSource(tmp_path / "clip.mp4") as source:
        assert len(list(source)) == 300 - clips.dropped


def test_a_full_disk_costs_the_clip_and_stops_the_recording_once(
    small_disk: Path, record: Callable[..., RecordingSink], caplog: pytest.LogCaptureFixture
) -> None:
    sink = record(folder=small_disk, clips=ClipConfig(before_s=1, after_s=1))
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    fill(small_disk / "others")
    for index in range(60):
        frame = picture(index, (640, 480))
        frame.image[:] = noise
        sink.write(frame, people())
        if index == 10:
            sink.take_event(frame, Event("in", "door", 1, 0.0))
    assert "No space left" in sink.trouble
    assert caplog.text.count("recording has stopped") == 1


def test_a_clip_of_an_event_is_recorded_with_everything_else(
    record: Callable[..., RecordingSink], tmp_path: Path
) -> None:
    sink = record(clips=ClipConfig(before_s=1, after_s=1))
    for index in range(40):
        sink.write(picture(index), people())
        if index == 20:
            sink.take_event(picture(index), Event("in", "door", 1, 0.0))
    sink.close()
    (clip,) = tmp_path.glob("tracks-*Z.mp4")
    with VideoSource(clip) as source:
        frames = list(source)
    assert len(frames) == 21
    # The box is drawn: not one brightness over the whole picture.
    assert np.ptp(frames[10].image.astype(int)) > 60
