"""Several cameras with one runtime: the tracks of single runs, fair turns, and no camera stops another."""

from __future__ import annotations

import random
import threading
import time
from contextlib import closing

import numpy as np
import pytest

import edge_fairmot.stages
from edge_fairmot import Frame, Pipeline, RawDetections, SharedRuntime, Tracker, TrackerConfig
from edge_fairmot.channel import ChannelClosedError
from edge_fairmot.detector import FairMotDetector
from edge_fairmot.errors import InferenceError, InvalidInputError, SourceError
from edge_fairmot.manifest import ModelManifest
from edge_fairmot.protocols import SourceInfo
from edge_fairmot.schedule import DetectionSchedule

SIZES = [(96, 64), (64, 64), (128, 64), (96, 96)]
PATIENCE_S = 60


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert [one.name for one in threading.enumerate() if one.name.startswith("edge-fairmot")] == []


class Runtime:
    """Finds in each image one walker, at a place that depends on its grey; NaN in a white one."""

    name = "grey"

    def __init__(self, batch_size=1, cost_s=0.0):
        self.manifest = ModelManifest((64, 64), 4, 2, ("person",), 2, "0" * 64, "0", batch_size=batch_size)
        self.cost_s = cost_s
        self.batches = []
        self.hangs = threading.Event()
        self.goes_on = threading.Event()

    def infer(self, images):
        assert images.shape == (self.manifest.batch_size, 64, 64, 3)
        if self.hangs.is_set():
            self.goes_on.wait(PATIENCE_S)
        time.sleep(self.cost_s)
        greys = images[:, 32, 32, 0].astype(np.float32)
        self.batches.append(greys.tolist())
        left = np.where(greys == 255, np.nan, 10 + greys % 16)[:, None]
        boxes = np.concatenate([left, left * 0 + 20, left + 10, left * 0 + 40], axis=1)[:, None]
        count = len(images)
        return RawDetections(
            boxes.astype(np.float32),
            np.full((count, 1), 0.9, np.float32),
            np.zeros((count, 1), np.int64),
            np.tile(np.float32([1, 0]), (count, 1, 1)),
        )

    def close(self):
        pass


class Camera:
    """Frames whose grey is their index, and the first grey of the camera."""

    def __init__(self, frames, *, rate=None, size=(96, 64), grey=0, fails_at=None, hangs_at=None):
        self.info = SourceInfo("camera", size, rate or 25.0, frames, live=rate is not None)
        self.grey, self.fails_at, self.hangs_at, self.pause_s = grey, fails_at, hangs_at, 1 / (rate or np.inf)
        self.closed = threading.Event()

    def __iter__(self):
        for index in range(self.info.frame_count):
            if index == self.fails_at:
                raise SourceError("the camera is dead")
            self.closed.wait(PATIENCE_S if index == self.hangs_at else self.pause_s)
            if self.closed.is_set():
                return
            width, height = self.info.frame_size
            yield Frame(np.full((height, width, 3), (self.grey + index) % 250, np.uint8), index, index / 25)

    def close(self):
        self.closed.set()


class Rows:
    def __init__(self, pause_s=0.0):
        self.rows, self.pause_s = [], pause_s

    def write(self, result):
        tracks = result.tracks
        boxes = tracks.xyxy.tobytes()
        self.rows.append((result.frame.index, tracks.track_id.tobytes(), boxes, tracks.predicted.tobytes()))
        time.sleep(self.pause_s)

    def close(self):
        pass


class Group:
    """Pipelines that run at once, each with its sink, until :meth:`end`."""

    def __init__(self, runtime):
        self.shared = SharedRuntime(runtime)
        self.members, self.errors = [], {}

    def add(self, camera, *, weight=1.0, sink=None, schedule=None):
        detector = self.shared.detector(weight=weight, frame_rate=camera.info.frame_rate)
        pipeline = Pipeline(camera, detector, Tracker(TrackerConfig(frame_rate=25)), schedule=schedule)
        sink = sink or Rows()
        thread = threading.Thread(target=self._run, args=(pipeline, sink), daemon=True)
        self.members.append((camera, pipeline, thread))
        return pipeline, sink

    def _run(self, pipeline, sink):
        try:
            pipeline.run([sink])
        except Exception as error:
            self.errors[pipeline] = error

    def start(self):
        for _, _, thread in self.members:
            thread.start()
        return self

    def wait(self):
        for _, _, thread in self.members:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()
        self.shared.close()

    def end(self):
        for camera, pipeline, _ in self.members:
            camera.close()
            pipeline.stop()
        self.wait()


def alone(camera, schedule=None):
    sink = Rows()
    with closing(SharedRuntime(Runtime())) as shared:
        Pipeline(camera, shared.detector(), Tracker(TrackerConfig(frame_rate=25)), schedule=schedule).run(
            [sink]
        )
    return sink.rows


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("every", [1, 3])
def test_tracks_of_files_are_those_of_single_runs(batch_size, every):
    schedule = DetectionSchedule(every=every)
    group = Group(Runtime(batch_size))
    greys = range(0, 80, 20)
    sinks = [
        group.add(Camera(40 + grey, size=size, grey=grey), schedule=schedule)[1]
        for grey, size in zip(greys, SIZES, strict=True)
    ]
    group.start().wait()
    for grey, size, sink in zip(greys, SIZES, sinks, strict=True):
        assert sink.rows == alone(Camera(40 + grey, size=size, grey=grey), schedule)
    assert group.errors == {}


class Crowded(Runtime):
    """Takes as long as it takes until every camera waits for the next turn."""

    def infer(self, images):
        until_s = time.monotonic() + PATIENCE_S
        while not all(place.waiting for place in self.shared._places) and time.monotonic() < until_s:
            time.sleep(0.0005)
        return super().infer(images)


@pytest.mark.parametrize(
    ("batch_size", "weights"),  # a batch has one frame of each camera at most
    [(1, (1, 1, 1)), (1, (3, 1)), (1, (4, 2, 1, 1)), (2, (1, 1, 1)), (2, (2, 1, 1)), (2, (4, 2, 1, 1))],
)
def test_turns_are_shared_by_weight_where_there_are_too_few(batch_size, weights):
    runtime = Crowded(batch_size)
    group = Group(runtime)
    runtime.shared = group.shared
    pipelines = [group.add(Camera(10**6, rate=400), weight=weight)[0] for weight in weights]
    group.start()
    while sum(one.summary().frames for one in pipelines) < 200:
        time.sleep(0.01)
    summaries = [one.summary() for one in pipelines]
    group.end()
    total = sum(one.frames for one in summaries)
    for weight, one in zip(weights, summaries, strict=True):
        assert one.frames / total == pytest.approx(weight / sum(weights), rel=0.1)
        assert one.stage_ms["turn"] > 0
    assert summaries[-1].dropped > 0  # the first may have every turn that it can use


def test_a_target_is_kept_by_prediction_and_a_second_brings_a_detection():
    """The other camera has the turn and does not use it."""
    with closing(SharedRuntime(Runtime())) as shared:
        other = shared.detector()
        camera, sink = Camera(10**6, rate=100), Rows()
        pipeline = Pipeline(camera, shared.detector(), Tracker(), schedule=DetectionSchedule(target_fps=10))
        thread = threading.Thread(target=pipeline.run, args=([sink],))
        assert other.take_turn()
        thread.start()
        wait_until(lambda: len(sink.rows) == 9)  # of the ten frames of a second
        wait_until(lambda: pipeline.summary().dropped > 200)
        assert pipeline.summary().predicted == len(sink.rows) == 9
        other.prepare(Frame(np.zeros((64, 64, 3), np.uint8), 0, 0.0))()
        wait_until(lambda: pipeline.summary().detected > 3)
        camera.close()
        pipeline.stop()
        thread.join(PATIENCE_S)


def test_no_camera_stops_another():
    """One hangs, one dies, one floods, and one has an output that does not return; two are well."""
    group = Group(Runtime(cost_s=0.002))
    stuck = threading.Event()

    class Stuck(Rows):
        def write(self, result):
            super().write(result)
            stuck.wait(PATIENCE_S)

    well = [group.add(Camera(10**6, rate=25))[0] for _ in range(2)]
    frozen = group.add(Camera(60, rate=25, hangs_at=3))[0]
    dead = group.add(Camera(60, rate=25, fails_at=3))[0]
    flooding = group.add(Camera(10**6, rate=500))[0]
    blocked, sink = group.add(Camera(10**6, rate=25), sink=Stuck())
    aiming = group.add(Camera(10**6, rate=25), sink=Stuck(), schedule=DetectionSchedule(target_fps=20))[0]
    group.start()
    wait_until(lambda: min(blocked.summary().dropped, aiming.summary().dropped) > 20)
    wait_until(lambda: dead in group.errors)
    before = [pipeline.summary() for pipeline in well]
    wait_until(lambda: min(one.summary().frames for one in well) > 60)
    assert "dead" in str(group.errors[dead])
    assert frozen.summary().frames <= 3
    assert flooding.summary().frames > 30
    assert [len(sink.rows), blocked.summary().frames] == [1, 0]
    after = [pipeline.summary() for pipeline in well]
    lost = [late.dropped - early.dropped for early, late in zip(before, after, strict=True)]
    assert max(lost) <= 0.2 * min(one.frames for one in after)  # they have a turn for each frame
    stuck.set()
    group.end()


def test_the_newest_frame_goes_in_when_the_turn_comes():
    """The other camera has the network for long; meanwhile this one shows many frames."""
    with closing(SharedRuntime(Runtime())) as shared:
        other = shared.detector()
        assert other.take_turn()
        camera = Camera(10**6, rate=100)
        pipeline = Pipeline(camera, shared.detector(), Tracker())
        found = []
        thread = threading.Thread(target=lambda: found.append(next(iter(pipeline)).frame.index))
        thread.start()
        wait_until(lambda: pipeline.summary().dropped > 20)
        assert not other.take_turn(0.01)  # there is one turn
        other.prepare(Frame(np.zeros((64, 64, 3), np.uint8), 0, 0.0))()
        thread.join(PATIENCE_S)
        assert found[0] > 20
        camera.close()
        pipeline.stop()


def test_a_batch_leaves_when_it_is_full_or_due_and_is_padded_with_its_last_image():
    runtime = Runtime(4)
    with closing(SharedRuntime(runtime)) as shared:
        slow, quick = shared.detector(frame_rate=2), shared.detector(frame_rate=100)
        frames = {grey: Frame(np.full((64, 64, 3), grey, np.uint8), 0, 0.0) for grey in (1, 2, 3)}
        slow.take_turn()
        first = slow.prepare(frames[1])
        quick.take_turn()
        second = quick.prepare(frames[2])  # with it there is one of each camera
        assert [found().xyxy[0, 0] for found in (first, second)] == [11, 12]
        quick.take_turn()
        assert quick.prepare(frames[3])().xyxy[0, 0] == 13  # half a period of its camera later
    assert runtime.batches == [[1, 2, 2, 2], [3, 3, 3, 3]]


def test_only_the_camera_whose_image_breaks_the_network_ends():
    group = Group(Runtime(3))

    class Glaring(Camera):
        def __iter__(self):
            for frame in super().__iter__():
                yield Frame(frame.image | 255 if frame.index == 9 else frame.image, frame.index, frame.time_s)

    good = [group.add(Camera(30, grey=10))[1] for _ in range(2)]
    bad, sink = group.add(Glaring(30))
    group.start().wait()
    assert [len(one.rows) for one in good] == [30, 30]
    assert len(sink.rows) == 9
    assert list(group.errors) == [bad]
    assert "not finite" in str(group.errors[bad])


def test_cameras_that_come_to_an_end_at_any_moment_take_no_turn_with_them():
    chance = random.Random(3)
    group = Group(Runtime(2, cost_s=0.001))
    pipelines = [group.add(Camera(10**6, rate=300))[0] for _ in range(12)]
    group.start()
    ended = chance.sample(pipelines, 11)
    for pipeline in ended:
        time.sleep(chance.random() / 20)
        pipeline.stop()
    (last,) = set(pipelines) - set(ended)
    before = last.summary().frames
    wait_until(lambda: last.summary().frames >= before + 20)
    group.end()
    assert group.errors == {}


def test_a_camera_that_leaves_gives_its_turn_back():
    frame = Frame(np.zeros((64, 64, 3), np.uint8), 0, 0.0)
    with closing(SharedRuntime(Runtime(2))) as shared:
        left = [shared.detector(frame_rate=0.01) for _ in range(3)]
        stays, other = shared.detector(frame_rate=0.01), shared.detector(frame_rate=0.01)

        def both_turns_are_there():
            assert stays.take_turn(PATIENCE_S)
            assert other.take_turn(PATIENCE_S)

        assert left[0].take_turn()
        answer = left[0].prepare(frame)  # waits for a second image
        left[0].leave()
        with pytest.raises(ChannelClosedError):
            answer()
        assert left[1].take_turn()
        left[1].leave()  # while its frame is letterboxed
        with pytest.raises(ChannelClosedError):
            left[1].prepare(frame)
        both_turns_are_there()

        def wait_in_vain():
            with pytest.raises(ChannelClosedError):
                left[2].take_turn()

        waiting = threading.Thread(target=wait_in_vain)
        waiting.start()
        wait_until(lambda: left[2]._place.waiting)
        with shared._changed:  # it has its turn, and leaves before it wakes
            shared._give_back(2)
            left[2].leave()
        waiting.join(PATIENCE_S)
        both_turns_are_there()


def test_a_network_that_never_returns_is_abandoned_and_told_of_every_camera(monkeypatch):
    monkeypatch.setattr(edge_fairmot.stages, "STUCK_S", 0.1)
    monkeypatch.setattr("edge_fairmot.sharing.CLOSING_S", 0.1)
    runtime = Runtime()
    group = Group(runtime)
    pipelines = [group.add(Camera(10**6, rate=100))[0] for _ in range(3)]
    group.start()
    while min(one.summary().frames for one in pipelines) < 3:
        time.sleep(0.01)
    runtime.hangs.set()
    wait_until(lambda: all(max(busy(one, "turn"), busy(one, "inference")) > 0.2 for one in pipelines))
    group.end()
    runtime.goes_on.set()
    wait_until(lambda: not any(one.name.startswith("edge-fairmot") for one in threading.enumerate()))


def busy(pipeline, stage):
    return pipeline.busy_s().get(stage, 0.0)


def wait_until(happens):
    until_s = time.monotonic() + PATIENCE_S
    while not happens():
        assert time.monotonic() < until_s
        time.sleep(0.01)


@pytest.fixture(scope="module")
def models(small_model, lively_network, tmp_path_factory):
    """Files of one network, by their batch size."""
    torch = pytest.importorskip("torch", reason="needs the convert extra")
    from edge_fairmot.convert import GraphOptions, convert

    folder = tmp_path_factory.mktemp("batches")
    torch.save(lively_network().state_dict(), folder / "lively.pth")
    options = GraphOptions((128, 96), "native", max_detections=64, batch_size=3)
    return {1: small_model, 3: convert(folder / "lively.pth", folder / "small.onnx", options).path}


@pytest.mark.parametrize(
    ("runtime", "hint"), [("cpu", "latency"), ("openvino", "latency"), ("openvino", "throughput")]
)
@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_real_file_gives_each_camera_the_detections_of_single_images(models, runtime, hint, batch_size):
    from edge_fairmot.runtimes import RuntimeOptions, open_runtime

    if runtime == "openvino":
        pytest.importorskip("openvino")
    noise = np.random.default_rng(3).integers(0, 256, (4, 6, 90, 120, 3), np.uint8)

    class Noise(Camera):
        def __iter__(self):
            for index, image in enumerate(noise[self.grey]):
                yield Frame(image, index, index / 25)

    with closing(open_runtime(models[batch_size], runtime, RuntimeOptions(hint=hint))) as net:
        group = Group(net)
        sinks = [group.add(Noise(6, grey=grey))[1] for grey in range(4)]
        group.start().wait()
        assert group.errors == {}
        for grey, sink in enumerate(sinks):
            single, tracker = FairMotDetector(net), Tracker(TrackerConfig(frame_rate=25))
            for row, image in zip(sink.rows, noise[grey], strict=True):
                (found,) = single.detect_batch([Frame(image, row[0], row[0] / 25)])
                tracks = tracker.update(found, row[0] / 25)
                assert len(found) > 3
                assert row[1:3] == (tracks.track_id.tobytes(), tracks.xyxy.tobytes())


def test_what_a_camera_may_not_ask_for_is_told():
    with closing(SharedRuntime(Runtime())) as shared:
        with pytest.raises(InvalidInputError, match="weight and frame_rate must be positive, not 0 and 30"):
            shared.detector(weight=0)
        detector = shared.detector(0.95)
        assert len(detector.detect(Frame(np.zeros((64, 64, 3), np.uint8), 0, 0.0))) == 0
        with pytest.raises(InferenceError, match="not finite"):
            detector.detect(Frame(np.full((64, 64, 3), 255, np.uint8), 0, 0.0))
