"""The loop turns frames into tracks in source pixels, hands them on and counts what it did."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from edge_fairmot import Frame, Pipeline, RawDetections, Tracker, TrackerConfig
from edge_fairmot.detector import FairMotDetector, select_detections
from edge_fairmot.errors import InvalidInputError, SourceError
from edge_fairmot.letterbox import Letterbox
from edge_fairmot.manifest import ModelManifest
from edge_fairmot.protocols import SourceInfo
from edge_fairmot.schedule import DetectionSchedule
from edge_fairmot.sinks import JsonLinesHeader, JsonLinesSink
from edge_fairmot.stages import STAGES

SOURCE_SIZE = (200, 100)
INPUT_SIZE = (128, 96)


class TwoWalkers:
    """A source of dark frames; where the walkers are, only the runtime knows."""

    def __init__(self, frames: int, fails_after: int | None = None) -> None:
        self.info = SourceInfo("walkers", SOURCE_SIZE, 10.0, frames)
        self.fails_after = fails_after

    def __iter__(self):
        for index in range(self.info.frame_count):
            if index == self.fails_after:
                raise SourceError("walkers ended early")
            yield Frame(np.zeros((100, 200, 3), np.uint8), index, index / 10)

    def close(self) -> None:
        pass


class WalkerRuntime:
    """Finds two walkers, 1 px further at each call."""

    name = "walkers"

    def __init__(self, batch_size: int = 1) -> None:
        self.manifest = ModelManifest(INPUT_SIZE, 4, 2, ("person",), 18, "0" * 64, "0", batch_size=batch_size)
        self.seen = []
        self.calls = 0

    def infer(self, images):
        self.seen.append(images.copy())
        at = Letterbox(SOURCE_SIZE, INPUT_SIZE).to_input(
            np.float32([[20, 20, 40, 80], [150, 20, 170, 80], [90, 20, 110, 80], [0, 0, 9, 9]])
            + np.float32([self.calls, 0, self.calls, 0])
        )
        self.calls += 1
        embeddings = np.float32([[1, 0], [0, 1], [1, 0], [1, 0]])
        scores = np.float32([0.9, 0.8, 0.4, 0.1])
        return RawDetections(at[None], scores[None], np.zeros((1, 4), np.int64), embeddings[None])

    def close(self) -> None:
        pass


def pipeline_of(source, runtime, tracker=None, **options):
    tracker = tracker or Tracker()
    return Pipeline(source, FairMotDetector(runtime, tracker.config.lowest_score), tracker, **options)


class ListSink:
    def __init__(self, fails_at: int | None = None) -> None:
        self.rows = []
        self.closed = 0

    def write(self, result) -> None:
        tracks = result.tracks
        self.rows.append((result.frame.index, tracks.track_id.tolist(), tracks.xyxy.copy()))

    def close(self) -> None:
        self.closed += 1


def test_tracks_come_out_in_source_pixels_and_in_order():
    sink, seen = ListSink(), []
    pipeline = pipeline_of(TwoWalkers(5), WalkerRuntime(), Tracker(TrackerConfig(frame_rate=10)))
    summary = pipeline.run([sink], lambda result: seen.append((result.frame.index, len(result.tracks))))
    assert [row[0] for row in sink.rows] == [0, 1, 2, 3, 4]
    assert all(ids == [1, 2] for _, ids, _ in sink.rows)
    np.testing.assert_allclose(sink.rows[-1][2], [[24, 20, 44, 80], [154, 20, 174, 80]], atol=0.5)
    assert seen == [(index, 2) for index in range(5)]
    assert sink.closed == 1
    # a score of exactly the threshold does not count
    assert (summary.frames, summary.identities, summary.detections) == (5, 2, 10)
    assert (summary.detected, summary.predicted, summary.dropped) == (5, 0, 0)
    assert set(summary.stage_ms) == set(STAGES)
    # Each stage is one thread's, so none can be busy for longer than the run.
    assert all(0 < ms * 5 <= summary.wall_s * 1e3 + 1e-6 for ms in summary.stage_ms.values())


def test_the_runtime_sees_letterboxed_images():
    runtime = WalkerRuntime()
    pipeline_of(TwoWalkers(1), runtime).run()
    (images,) = runtime.seen
    assert images.shape == (1, 96, 128, 3)
    assert (images[0, 0] == 128).all()
    assert (images[0, 48] == 0).all()


def test_iterating_gives_frames_with_their_tracks():
    pipeline = pipeline_of(TwoWalkers(3), WalkerRuntime())
    assert [(result.frame.index, len(result.tracks)) for result in pipeline] == [(0, 2), (1, 2), (2, 2)]
    assert pipeline.summary().frames == 3


def test_what_the_network_gave_is_seen_before_its_tracks_are_written():
    happened, runtime = [], WalkerRuntime()

    class Noting(ListSink):
        def write(self, result) -> None:
            happened.append(("tracks", result.frame.index))

    def note(frame, detections):
        best = None if detections is None else round(float(detections.score[0]), 3)
        happened.append(("detections", frame.index, best))

    schedule = DetectionSchedule(every=2)
    pipeline_of(TwoWalkers(4), runtime, schedule=schedule, on_detections=note).run([Noting()])
    assert happened == [
        ("detections", 0, 0.9),
        ("tracks", 0),
        ("detections", 1, None),  # predicted
        ("tracks", 1),
        ("detections", 2, 0.9),
        ("tracks", 2),
        ("detections", 3, None),
        ("tracks", 3),
    ]


class Zooming(TwoWalkers):
    """From its fifth frame on it shows the same in half the size."""

    def __iter__(self):
        for frame in super().__iter__():
            image = frame.image if frame.index < 5 else frame.image[::2, ::2].copy()
            yield Frame(image, frame.index, frame.time_s)


def test_a_source_that_changes_its_size_keeps_its_identities():
    sink = ListSink()
    pipeline_of(Zooming(10), WalkerRuntime(), Tracker(TrackerConfig(frame_rate=10))).run([sink])
    assert [ids for _, ids, _ in sink.rows] == [[1, 2]] * 10
    np.testing.assert_allclose(sink.rows[4][2], [[24, 20, 44, 80], [154, 20, 174, 80]], atol=0.5)
    np.testing.assert_allclose(sink.rows[9][2], [[14.5, 10, 24.5, 40], [79.5, 10, 89.5, 40]], atol=0.5)


class Reducing(TwoWalkers):
    """The camera makes a small image too: white, where the large one is black."""

    def __init__(self, frames, size):
        super().__init__(frames)
        self.size = size

    def __iter__(self):
        for frame in super().__iter__():
            small = np.full((self.size[1], self.size[0], 3), 255, np.uint8)
            yield Frame(frame.image, frame.index, frame.time_s, small)


def test_the_network_sees_the_camera_s_small_image_and_tracks_are_of_the_large_one():
    runtime, sink = WalkerRuntime(), ListSink()
    pipeline_of(Reducing(2, (128, 64)), runtime, Tracker(TrackerConfig(frame_rate=10))).run([sink])
    assert (runtime.seen[0][0, 0] == 128).all()  # the border, as of the large image
    assert (runtime.seen[0][0, 16:80] == 255).all()
    np.testing.assert_allclose(sink.rows[0][2], [[20, 20, 40, 80], [150, 20, 170, 80]], atol=0.5)


def test_a_small_image_of_another_shape_is_refused():
    pipeline = pipeline_of(Reducing(2, (128, 96)), WalkerRuntime())
    with pytest.raises(InvalidInputError, match="128x96, has another shape than its large one, 200x100"):
        pipeline.run()


def test_a_run_is_stopped_between_two_frames_and_its_sinks_are_closed():
    class Stopping(ListSink):
        def write(self, result) -> None:
            super().write(result)
            if result.frame.index == 2:
                pipeline.stop()

    first, second = Stopping(), ListSink()
    pipeline = pipeline_of(TwoWalkers(1000), WalkerRuntime())
    assert pipeline.run([first, second]).frames == 3
    assert [row[0] for row in first.rows] == [row[0] for row in second.rows] == [0, 1, 2]
    assert (first.closed, second.closed) == (1, 1)


def test_a_run_that_is_stopped_before_it_begins_does_nothing():
    pipeline = pipeline_of(TwoWalkers(1000), WalkerRuntime())
    pipeline.stop()
    assert pipeline.run().frames == 0


def test_what_was_tracked_before_an_error_is_in_the_sinks():
    sink = ListSink()
    pipeline = pipeline_of(TwoWalkers(9, fails_after=4), WalkerRuntime())
    with pytest.raises(SourceError, match="ended early"):
        pipeline.run([sink])
    assert len(sink.rows) == 4
    assert sink.closed == 1
    assert pipeline.summary().frames == 4


def test_all_sinks_are_closed_when_one_cannot_be():
    class Stuck(ListSink):
        def close(self) -> None:
            raise OSError("stuck")

    first, last = ListSink(), ListSink()
    with pytest.raises(OSError, match="stuck"):
        pipeline_of(TwoWalkers(1), WalkerRuntime()).run([first, Stuck(), last])
    assert (first.closed, last.closed) == (1, 1)


def test_identities_are_counted_once_over_gaps():
    """Ten walkers come and go; the count needs no memory of them."""

    class ComingAndGoing(WalkerRuntime):
        def infer(self, images):
            raw = super().infer(images)
            shown = (self.calls // 5) % 2 == 0
            return raw if shown else RawDetections(raw.boxes, raw.scores * 0, raw.class_ids, raw.embeddings)

    ids = set()
    pipeline = pipeline_of(TwoWalkers(60), ComingAndGoing(), Tracker(TrackerConfig(track_buffer=3)))
    summary = pipeline.run(on_result=lambda result: ids.update(result.tracks.track_id.tolist()))
    assert summary.identities == len(ids) > 2


@pytest.mark.parametrize("every", [1, 3, 4])
def test_frames_between_detections_are_predicted_and_keep_their_place(every, tmp_path):
    runtime, seen = WalkerRuntime(), []
    path = tmp_path / "tracks.jsonl"
    with JsonLinesSink(path, JsonLinesHeader("walkers", SOURCE_SIZE, 10.0)) as sink:
        pipeline = pipeline_of(TwoWalkers(11), runtime, schedule=DetectionSchedule(every=every))
        summary = pipeline.run(
            [sink], lambda result: seen.append((result.frame.index, result.tracks.predicted.tolist()))
        )
    detected = [index % every == 0 for index in range(11)]
    assert seen == [(index, [not looked] * 2) for index, looked in enumerate(detected)]
    assert runtime.calls == sum(detected)
    assert (summary.frames, summary.detected, summary.dropped) == (11, sum(detected), 0)
    assert summary.predicted == 11 - summary.detected
    assert summary.detections == 2 * summary.detected
    said = [json.loads(line)["predicted"] for line in path.read_text().splitlines()[1:]]
    assert said == [not looked for looked in detected]


@pytest.mark.parametrize(("tick_s", "detected"), [(0.0, range(40)), (1.0, range(0, 40, 10))])
def test_the_schedule_goes_by_the_clock_it_is_given(tick_s, detected):
    """On a clock that stands still nothing is late; on one that leaps at every look everything is."""
    ticks = itertools.count()
    seen = []
    pipeline_of(
        TwoWalkers(40),
        WalkerRuntime(),
        schedule=DetectionSchedule(target_fps=10),
        clock=lambda: next(ticks) * tick_s,
    ).run(on_result=lambda result: seen.append(not result.tracks.predicted.any()))
    assert [index for index, looked in enumerate(seen) if looked] == list(detected)


def test_batches_are_filled_and_each_image_has_its_own_detections():
    class Batches(WalkerRuntime):
        def infer(self, images):
            assert images.shape[0] == 4
            raws = [super(Batches, self).infer(images[n : n + 1]) for n in range(4)]
            names = ("boxes", "scores", "class_ids", "embeddings")
            return RawDetections(*(np.concatenate([getattr(raw, name) for raw in raws]) for name in names))

    detector = FairMotDetector(Batches(batch_size=4), 0.5)
    frames = list(TwoWalkers(3))
    found = detector.detect_batch(frames)
    assert [detections.xyxy[0, 0] for detections in found] == pytest.approx([20, 21, 22], abs=1e-3)
    assert len(detector.detect(frames[0])) == 2
    with pytest.raises(InvalidInputError, match="takes batches of 4, not 5"):
        detector.detect_batch(list(TwoWalkers(5)))


def test_select_detections_copes_with_none():
    letterbox = Letterbox(SOURCE_SIZE, INPUT_SIZE)
    raw = WalkerRuntime().infer(np.zeros((1, 96, 128, 3), np.uint8))
    assert len(select_detections(raw, letterbox, 0.95)) == 0
    assert len(select_detections(raw, letterbox, 0.0)) == 4
