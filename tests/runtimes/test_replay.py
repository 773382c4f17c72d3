"""Played from a tape, a run goes as it went when it was recorded, to the last byte."""

from contextlib import closing

import numpy as np
import pytest

from edge_fairmot import Frame, Pipeline, RawDetections, Tracker, TrackerConfig
from edge_fairmot.errors import InferenceError, InvalidInputError, TapeError
from edge_fairmot.letterbox import Letterbox
from edge_fairmot.manifest import ModelManifest
from edge_fairmot.pipeline import DetectionSchedule
from edge_fairmot.protocols import Runtime, SourceInfo
from edge_fairmot.runtimes import RuntimeOptions, list_runtimes, open_runtime
from edge_fairmot.runtimes.replay import ReplayCheck
from edge_fairmot.sinks import MotTextSink
from edge_fairmot.sources import open_source
from edge_fairmot.tape import TapeHeader, read_tape
from edge_fairmot.tape_recorder import TapeRecorder

SOURCE_SIZE, INPUT_SIZE = (641, 479), (224, 160)
PEOPLE, CAPACITY, DIMENSION, FRAMES, RATE = 12, 20, 8, 60, 25.0
MANIFEST = ModelManifest(INPUT_SIZE, CAPACITY, DIMENSION, ("person",), 18, "ab" * 32, "0.1.0")
IMAGES = np.zeros((1, *INPUT_SIZE[::-1], 3), np.uint8)


class Street:
    """Frames that hold nothing."""

    info = SourceInfo("street", SOURCE_SIZE, RATE, FRAMES)

    def __iter__(self):
        for index in range(FRAMES):
            yield Frame(np.zeros((*SOURCE_SIZE[::-1], 3), np.uint8), index, index / RATE)

    def close(self):
        pass


class Crowd:
    """People who walk, are missed now and then, and look a little different each time."""

    name = "crowd"
    manifest = MANIFEST

    def __init__(self):
        self.generator = np.random.default_rng(5)
        self.at = self.generator.uniform(3, 130, (PEOPLE, 2))
        self.pace = self.generator.normal(size=(PEOPLE, 2))
        self.looks = self.generator.normal(size=(PEOPLE, DIMENSION))

    def infer(self, images):
        draw = self.generator
        self.at += self.pace + draw.normal(scale=0.2, size=self.at.shape)
        low = self.at + draw.normal(scale=0.3, size=self.at.shape)
        boxes = np.zeros((1, CAPACITY, 4), np.float32)
        boxes[0, :PEOPLE] = np.concatenate([low, low + np.float64([8.3, 21.7])], axis=1)
        scores = np.zeros((1, CAPACITY), np.float32)
        scores[0, :PEOPLE] = draw.uniform(0.2, 1.0, PEOPLE)
        embeddings = np.ones((1, CAPACITY, DIMENSION), np.float32)
        embeddings[0, :PEOPLE] = self.looks + draw.normal(scale=0.3, size=self.looks.shape)
        embeddings /= np.linalg.norm(embeddings, axis=2, keepdims=True)
        best = np.argsort(-scores[0], kind="stable")
        return RawDetections(
            boxes[:, best], scores[:, best], np.zeros((1, CAPACITY), np.int64), embeddings[:, best]
        )

    def close(self):
        pass


def tracks_of(path, source, runtime, **settings):
    config = TrackerConfig(frame_rate=source.info.frame_rate, **settings)
    Pipeline(source, runtime, Tracker(config), [MotTextSink(path)]).run()
    return path.read_bytes()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("tape") / "tape.npz"
    crowd = Crowd()
    with TapeRecorder(path, TapeHeader("street", SOURCE_SIZE, RATE, 0.3, MANIFEST)) as recorder:
        for frame in Street():
            recorder.record(frame, crowd.infer(IMAGES))
    return path


@pytest.mark.parametrize("settings", [{"score_threshold": 0.3}, {}, {"track_buffer": 3}])
def test_the_tracks_are_those_of_the_network_byte_for_byte(path, tmp_path, settings):
    expected = tracks_of(tmp_path / "network.txt", Street(), Crowd(), **settings)
    assert expected.count(b"\n") > FRAMES * 3
    with closing(open_runtime(path, "replay")) as runtime:
        assert tracks_of(tmp_path / "replay.txt", Street(), runtime, **settings) == expected
    with closing(open_runtime(path, "replay")) as runtime, open_source(path) as source:
        assert tracks_of(tmp_path / "alone.txt", source, runtime, **settings) == expected


def test_the_way_through_source_pixels_and_back_is_not_always_exact():
    """Why a tape holds boxes twice."""
    letterbox = Letterbox((1275, 225), (192, 128))
    near_a_power_of_two = np.float32(letterbox.to_input(np.full((1, 4), 2.0**-8, np.float32)))
    steps = np.arange(-40, 41, dtype=np.float32)[:, None]
    boxes = near_a_power_of_two + steps * np.spacing(near_a_power_of_two)
    source = letterbox.to_source(boxes)
    assert (letterbox.to_input(source) != boxes).any()
    assert (letterbox.to_source(letterbox.to_input(source)) != source).any()


def test_what_the_network_gave_comes_back_to_the_last_bit(path):
    runtime, crowd = open_runtime(path, "replay"), Crowd()
    for _ in range(FRAMES):
        given, played = crowd.infer(IMAGES), runtime.infer(IMAGES)
        kept = given.scores > 0.3
        for name in ("boxes", "scores", "class_ids", "embeddings"):
            assert getattr(played, name)[kept].tobytes() == getattr(given, name)[kept].tobytes()
        assert not played.scores[~kept].any()


def test_settings_that_matter_make_other_tracks(path, tmp_path):
    made = [
        tracks_of(tmp_path / "t.txt", Street(), open_runtime(path, "replay"), **settings)
        for settings in ({"score_threshold": 0.3}, {"score_threshold": 0.6})
    ]
    assert made[0] != made[1]


def test_a_tracker_alone_can_be_fed_from_a_tape(path, tmp_path):
    tape, tracker = read_tape(path), Tracker(TrackerConfig(score_threshold=0.3, frame_rate=RATE))
    sink = MotTextSink(tmp_path / "fed.txt")
    for n, frame in enumerate(Street()):
        sink.write(frame, tracker.update(tape.detections(n), float(tape.time_s[n])))
    sink.close()
    expected = tracks_of(tmp_path / "t.txt", Street(), open_runtime(path, "replay"), score_threshold=0.3)
    assert (tmp_path / "fed.txt").read_bytes() == expected


def test_outputs_have_the_shapes_and_types_of_the_contract(path):
    runtime: Runtime = open_runtime(path, "replay", RuntimeOptions(threads=2))  # does not matter
    raw = runtime.infer(IMAGES)
    assert [(value.dtype.name, value.shape) for value in (raw.boxes, raw.scores, raw.class_ids)] == [
        ("float32", (1, CAPACITY, 4)),
        ("float32", (1, CAPACITY)),
        ("int64", (1, CAPACITY)),
    ]
    assert (raw.embeddings.dtype, raw.embeddings.shape) == (np.float32, (1, CAPACITY, DIMENSION))
    np.testing.assert_allclose(np.linalg.norm(raw.embeddings, axis=2), 1, rtol=1e-6)
    assert (np.diff(raw.scores) <= 0).all()
    assert (runtime.name, runtime.manifest) == ("replay", MANIFEST)


def test_arrays_are_the_caller_s(path):
    expected = open_runtime(path, "replay").infer(IMAGES)
    runtime = open_runtime(path, "replay")
    first = runtime.infer(IMAGES)
    kept = first.boxes.copy()
    runtime.infer(IMAGES)
    np.testing.assert_array_equal(first.boxes, kept)
    for name in ("boxes", "scores", "embeddings"):
        getattr(first, name)[:] = -1
    np.testing.assert_array_equal(read_tape(path).detections(0).score, expected.scores[expected.scores > 0])
    np.testing.assert_array_equal(runtime.tape.detections(0).score, expected.scores[expected.scores > 0])


def test_past_the_end_is_an_error_that_says_what_to_give(path):
    runtime = open_runtime(path, "replay")
    for _ in range(FRAMES):
        runtime.infer(IMAGES)
    for _ in range(2):
        with pytest.raises(TapeError, match=rf"ends after {FRAMES} frames .*\(street\)"):
            runtime.infer(IMAGES)


def test_pictures_that_do_not_fit_are_refused_and_the_tape_stays_where_it_is(path):
    runtime = open_runtime(path, "replay")
    with pytest.raises(InferenceError, match="letterbox the picture to 224x160"):
        runtime.infer(IMAGES[:, :32])
    np.testing.assert_array_equal(
        runtime.infer(IMAGES).scores, open_runtime(path, "replay").infer(IMAGES).scores
    )


def test_closing_twice_is_fine_and_inference_after_it_is_not(path):
    runtime = open_runtime(path, "replay")
    runtime.close()
    runtime.close()
    with pytest.raises(InferenceError, match="closed"):
        runtime.infer(IMAGES)


def test_what_is_no_tape_is_refused(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"\x08\x0a")
    with pytest.raises(TapeError, match="is not a tape"):
        open_runtime(tmp_path / "model.onnx", "replay")
    with pytest.raises(TapeError, match="no tape at"):
        open_runtime(tmp_path / "absent.npz", "replay")
    with pytest.raises(InvalidInputError, match="runtime replay has no device to set"):
        open_runtime(tmp_path / "absent.npz", "replay:GPU")


def test_the_list_says_that_it_needs_nothing():
    (row,) = (row for row in list_runtimes() if row.name == "replay")
    assert (row.available, row.remedy) == (True, "")
    assert row.version.startswith("edge-fairmot ")


def check(path, source=Street.info, score_threshold=0.4):
    return ReplayCheck(read_tape(path), source, score_threshold)


def test_a_run_that_a_tape_cannot_stand_in_for_is_refused(path):
    check(path, score_threshold=0.3)
    with pytest.raises(
        TapeError, match=r"above 0\.3 only, not above 0\.2: give --score-threshold 0\.3 or more"
    ):
        check(path, score_threshold=0.2)
    with pytest.raises(TapeError, match="door is 640x480 pixels, the tape of street at 641x479"):
        check(path, SourceInfo("door", (640, 480), RATE, FRAMES))


def test_frames_are_held_against_those_of_the_tape(path):
    run, raw = check(path), open_runtime(path, "replay").infer(IMAGES)
    first, second, third, *_ = Street()
    run(first, raw)
    with pytest.raises(
        TapeError, match="in frame 3, where the tape has those of frame 2: give the --detect-every"
    ):
        run(third, raw)
    run(second, raw)


def record_run(path, every):
    """Tracks of a run with the network, which looks at every so many frames, and its tape."""
    header = TapeHeader("street", SOURCE_SIZE, RATE, 0.4, MANIFEST)
    with TapeRecorder(path.with_suffix(".npz"), header) as recorder:
        return run_with(path, Street(), Crowd(), every, recorder.record)


def run_with(path, source, runtime, every, on_detections):
    Pipeline(
        *(source, runtime, Tracker(TrackerConfig(frame_rate=RATE)), [MotTextSink(path)]),
        schedule=DetectionSchedule(every),
        on_detections=on_detections,
    ).run()
    return path.read_bytes()


@pytest.mark.parametrize("every", [1, 3])
def test_a_run_with_an_interval_is_played_with_the_same_interval(tmp_path, every):
    expected = record_run(tmp_path / "network.txt", every)
    tape = read_tape(tmp_path / "network.npz")
    assert tape.frame_index.tolist() == list(range(0, FRAMES, every))
    runtime = open_runtime(tmp_path / "network.npz", "replay")
    check = ReplayCheck(runtime.tape, Street.info, 0.4)
    assert run_with(tmp_path / "replay.txt", Street(), runtime, every, check) == expected


@pytest.mark.parametrize(("recorded", "played"), [(3, 1), (3, 2), (1, 2)])
def test_another_interval_is_an_error_and_not_other_tracks(tmp_path, recorded, played):
    record_run(tmp_path / "network.txt", recorded)
    runtime = open_runtime(tmp_path / "network.npz", "replay")
    check = ReplayCheck(runtime.tape, Street.info, 0.4)
    with pytest.raises(
        TapeError, match=f"in frame {played + 1}, where the tape has those of frame {recorded + 1}"
    ):
        run_with(tmp_path / "replay.txt", Street(), runtime, played, check)
    numbers = {int(line.split(b",")[0]) for line in (tmp_path / "replay.txt").read_bytes().splitlines()}
    assert numbers == set(range(1, played + 1))  # up to the frame before the wrong one


def test_frames_between_are_not_there_when_the_tape_is_the_source(tmp_path):
    record_run(tmp_path / "network.txt", 3)
    runtime = open_runtime(tmp_path / "network.npz", "replay")
    with open_source(tmp_path / "network.npz") as source:
        check = ReplayCheck(runtime.tape, source.info, 0.4)
        tracks = run_with(tmp_path / "alone.txt", source, runtime, 1, check)
    numbers = {int(line.split(b",")[0]) for line in tracks.splitlines()}
    assert numbers
    assert all(number % 3 == 1 for number in numbers)
