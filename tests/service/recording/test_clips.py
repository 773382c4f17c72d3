"""Clips of events: their frames, their counts, and their memory."""

import threading
import time
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from edge_fairmot.counting import Counter, CountingConfig, parse_line
from edge_fairmot.service.recording import RecordingConfig
from edge_fairmot.service.recording.clips import ClipRecorder, FrameRing
from edge_fairmot.sinks import VideoSink
from edge_fairmot.sources import VideoSource
from edge_fairmot.types import Frame, FrameResult, Tracks

from .conftest import EVENT, SIZE, fill, index_of, result, trouble

pytest.importorskip("av", reason="video is written with PyAV")


def config(**settings):
    return RecordingConfig(**{"path": Path("unused"), "before_s": 1} | settings)


def recorder(folder, on_clip=None, **settings):
    paths = (folder / f"{number}.mp4" for number in range(100))
    return ClipRecorder(config(**settings), 10.0, lambda: next(paths), pytest.fail, on_clip)


def run(clips, count, events, size=lambda _: SIZE):
    """Write results in order, with an event in some of them."""
    with closing(clips):
        for index in range(count):
            clips.write(result(index, 0, size=size(index), events=(EVENT,) if index in events else ()))
            while clips._put - clips._taken > 20:
                time.sleep(0.001)


def indices(path):
    """Which frames are in a clip; their times are checked."""
    with VideoSource(path) as source:
        frames = list(source)
    found = [index_of(frame.image) for frame in frames]
    np.testing.assert_allclose(
        [frame.time_s for frame in frames], (np.array(found) - found[0]) / 10, atol=1e-3
    )
    return found


@pytest.mark.parametrize(
    ("settings", "events", "expected"),
    [
        ({"after_s": 2}, [], []),
        ({"after_s": 2}, [30], [range(20, 51)]),
        ({"after_s": 2}, [30, 45, 60], [range(20, 81)]),  # events that follow each other
        (
            {"after_s": 3, "longest_s": 4},
            [20, 40, 60],
            [range(10, 51), range(51, 91)],
        ),  # one that is too long
        ({"after_s": 1}, [0], [range(11)]),  # at the very beginning
        ({"after_s": 2}, [99], [range(89, 100)]),  # at the very end
    ],
)
def test_a_clip_begins_before_its_event_and_ends_after_it(settings, events, expected, tmp_path):
    told = []
    clips = recorder(tmp_path, lambda *clip: told.append(clip), **settings)
    run(clips, 100, events)
    paths = sorted(tmp_path.iterdir())
    assert ([indices(path) for path in paths], clips.dropped) == ([list(part) for part in expected], 0)
    assert told == [
        (path, pytest.approx(100 + part[0] / 10), pytest.approx(100 + part[-1] / 10))
        for path, part in zip(paths, expected, strict=True)
    ]


def test_another_frame_size_ends_a_clip(tmp_path):
    run(recorder(tmp_path), 30, [15, 25], lambda index: SIZE if index < 20 else (32, 24))
    assert [indices(tmp_path / f"{number}.mp4") for number in range(2)] == [
        list(range(5, 20)),
        list(range(20, 30)),
    ]


def test_a_clip_of_a_source_that_is_gone_is_finished(tmp_path, monkeypatch):
    monkeypatch.setattr("edge_fairmot.service.recording.clips.IDLE_S", 0.05)
    with closing(recorder(tmp_path, after_s=0.15, longest_s=5)) as clips:
        for index in range(13):
            clips.write(result(index, 0, events=(EVENT,) if index == 11 else ()))
        for _ in range(1000):
            if clips.path is None and (tmp_path / "0.mp4").exists():
                break
            time.sleep(0.01)
        assert indices(tmp_path / "0.mp4") == list(range(1, 13))


def test_frames_of_a_clip_show_the_counts_of_their_own_moment(tmp_path, record, monkeypatch):
    """Clips are encoded later, in a thread: the frames before the crossing must not show it."""
    drawn: list[tuple[int, int]] = []
    write = VideoSink.write

    def spy(self, result):
        assert result.counts is not None
        drawn.append((result.frame.number, result.counts.lines["door"].inwards))
        write(self, result)

    monkeypatch.setattr(VideoSink, "write", spy)
    counter = Counter(CountingConfig(lines=(parse_line("door:0,0.5,1,0.5"),)), (320, 240))
    crossed = 0
    with record(path=tmp_path, before_s=5, after_s=1) as sink:
        for index in range(40):
            frame = Frame(np.full((240, 320, 3), 90, np.uint8), index, index / 10)
            xyxy = np.array([[100, 4 * index, 140, 60 + 4 * index]], np.float32)
            tracks = Tracks(
                np.array([1]), xyxy, np.ones(1, np.float32), np.zeros(1, np.int64), np.zeros(1, bool)
            )
            events = counter.update(tracks, frame.time_s, frame.size)
            crossed = crossed or (frame.number if events else 0)
            sink.write(FrameResult(frame, tracks, events, counter.counts))
    assert crossed > 5
    assert dict(drawn) == {number: int(number >= crossed) for number in range(1, crossed + 11)}
    (clip,) = tmp_path.glob("*.mp4")
    with VideoSource(clip) as source:
        images = [frame.image.astype(int) for frame in source]
    # The label of the line, at its start, changes in the frame of the crossing and in no other.
    labels = [image[90:119, :60] for image in images]
    changes = [np.abs(after - before).max() > 60 for before, after in pairwise(labels)]
    assert np.flatnonzero(changes).tolist() == [crossed - 2]


def test_frames_are_thinned_evenly_to_the_rate():
    ring = FrameRing(config(before_s=2))
    kept = [index for index in range(150) if ring.add(result(index, 0, rate=15))]
    assert len(kept) in (100, 101)
    assert max(np.diff(kept)) == 2
    assert len(ring.since(0)) in (20, 21)


def test_frames_are_kept_as_they_are_if_they_fit_and_smaller_if_not():
    fitting = FrameRing(config(memory="2MB"))
    first = result(3)
    reduced = replace(first.frame, reduced=np.zeros((24, 32, 3), np.uint8))
    stored = fitting.add(replace(first, frame=reduced))
    assert stored is not None
    assert stored.frame.image is first.frame.image
    assert stored.frame.reduced is None  # it counts in no memory
    ring = FrameRing(config(before_s=5, memory="4MB"))
    for index in range(200):
        ring.add(result(index, size=(640, 360)))
    results = ring.since(0)
    assert sum(stored.frame.image.nbytes for stored in results) <= 2_000_000
    assert results[-1].frame.time_s - results[0].frame.time_s == pytest.approx(5, abs=0.11)
    assert ring.size == (640 // 5, 360 // 5)
    np.testing.assert_allclose(results[-1].tracks.xyxy[0], [2, 2, 6, 8], rtol=1e-6)
    assert index_of(results[-1].frame.image) == 199 % 100


def test_an_encoder_that_is_too_slow_costs_frames_and_no_memory(tmp_path, monkeypatch):
    gate, write = threading.Event(), VideoSink.write

    def slowly(self, result):
        gate.wait()
        write(self, result)

    monkeypatch.setattr(VideoSink, "write", slowly)
    clips = recorder(tmp_path, after_s=60, longest_s=100, memory="1MB")
    for index in range(300):
        clips.write(result(index, 0, events=(EVENT,) if index == 0 else ()))
        assert clips._queue.qsize() * 48 * 64 * 3 <= 500_000 + 4 * 48 * 64 * 3
    assert clips.dropped > 200
    gate.set()
    clips.close()
    with VideoSource(tmp_path / "0.mp4") as source:
        assert len(list(source)) == 300 - clips.dropped


def test_a_full_disk_costs_the_clip_and_pauses_the_recording_once(small_disk, record, caplog):
    sink = record(path=small_disk, before_s=1, after_s=1)
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    fill(small_disk / "others")
    for index in range(60):
        noisy = result(index, size=(640, 480), events=(EVENT,) if index == 10 else ())
        noisy.frame.image[:] = noise
        sink.write(noisy)
    assert "No space left" in trouble(sink)
    assert caplog.text.count("recording is paused") == 1
