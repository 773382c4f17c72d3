"""Reference outputs are read as they were written, and other files are refused."""

import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from edge_fairmot.benchmarks.observation import HEADS, DenseHead, Observation
from edge_fairmot.benchmarks.parity_budget import FP32_BUDGET
from edge_fairmot.benchmarks.parity_check import ParityCheck, check_reference_outputs
from edge_fairmot.benchmarks.reference_outputs import (
    VALUES_KEPT,
    ReferenceFrame,
    ReferenceOutputs,
    read_reference_outputs,
    select_outputs,
    write_reference_outputs,
)
from edge_fairmot.errors import EvaluationError
from edge_fairmot.manifest import ModelManifest
from edge_fairmot.types import RawDetections

from .scene import SUBJECT

WIDTH, HEIGHT, CANDIDATES, DIMENSION = 96, 64, 30, 8
CHANNELS = {"hm": 1, "wh": 4, "reg": 2, "id": DIMENSION}
MANIFEST = ModelManifest((WIDTH, HEIGHT), CANDIDATES, DIMENSION, ("person",), 0, "ab" * 32, "0.1.0")


def observation(seed):
    generator = np.random.default_rng(seed)
    low = generator.uniform(0, 60, (1, CANDIDATES, 2))
    embedding = generator.normal(size=(1, CANDIDATES, DIMENSION))
    raw = RawDetections(
        np.concatenate([low, low + generator.uniform(5, 30, low.shape)], axis=2).astype(np.float32),
        np.sort(generator.random((1, CANDIDATES)))[:, ::-1].astype(np.float32),
        np.zeros((1, CANDIDATES), np.int64),
        (embedding / np.linalg.norm(embedding, axis=2, keepdims=True)).astype(np.float32),
    )
    heads = {
        name: DenseHead.whole(generator.normal(size=(1, count, 16, 24)).astype(np.float32))
        for name, count in CHANNELS.items()
    }
    return Observation(raw, heads)


def draw_image(seed):
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def recording(max_detections=CANDIDATES):
    frames = [
        ReferenceFrame(draw_image(n), n, n / 25, select_outputs(observation(n), max_detections))
        for n in range(3)
    ]
    details = {"device": "CPU", "torch": "2.9"}
    return ReferenceOutputs("street.mp4", (640, 480), 25.0, "torch:cpu", details, MANIFEST, tuple(frames))


@pytest.fixture
def path(tmp_path):
    write_reference_outputs(tmp_path / "reference.npz", recording())
    return tmp_path / "reference.npz"


class Candidate:
    """Has the recorded outputs for each image, perhaps with shifted boxes."""

    name = "hand"

    def __init__(self, manifest=MANIFEST, shift=0.0):
        self.manifest = manifest
        self.shift = shift
        self.known = {draw_image(n).tobytes(): n for n in range(3)}

    def observe(self, images):
        seen = observation(self.known[images[0].tobytes()])
        return replace(seen, detections=replace(seen.detections, boxes=seen.detections.boxes + self.shift))

    def close(self):
        pass


def compare(recorded, candidate):
    check = ParityCheck(FP32_BUDGET)
    check_reference_outputs(check, recorded, candidate)
    return check.report(SUBJECT, SUBJECT)


def test_what_is_read_is_what_was_written(path):
    read, written = read_reference_outputs(path), recording()

    assert replace(read, frames=()) == replace(written, frames=())
    assert len(read.frames) == 3
    for ours, theirs in zip(read.frames, written.frames, strict=True):
        assert (ours.index, ours.time_s) == (theirs.index, theirs.time_s)
        np.testing.assert_array_equal(ours.image, theirs.image)
        for field in ("boxes", "scores", "class_ids", "embeddings"):
            found = getattr(ours.observation.detections, field)
            expected = getattr(theirs.observation.detections, field)
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected)
        for head in HEADS:
            found, expected = ours.observation.heads[head], theirs.observation.heads[head]
            np.testing.assert_array_equal(found.values, expected.values)
            np.testing.assert_array_equal(found.positions, expected.positions)
            assert (found.low, found.high, found.size) == (expected.low, expected.high, expected.size)
    assert [file.name for file in path.parent.iterdir()] == ["reference.npz"]  # nothing partial


def test_the_same_values_of_every_frame_are_recorded():
    first, second = (select_outputs(observation(n), 10) for n in range(2))

    assert first.detections.scores.shape == (1, 10)
    assert len(first.heads["id"].values) == VALUES_KEPT
    assert len(first.heads["hm"].values) == 16 * 24
    for head in HEADS:
        np.testing.assert_array_equal(first.heads[head].positions, second.heads[head].positions)
    with pytest.raises(EvaluationError, match="dense heads"):
        select_outputs(replace(observation(0), heads=None), 10)


def test_a_recording_stands_in_for_its_reference(path):
    recorded = read_reference_outputs(path)
    good, bad = compare(recorded, Candidate()), compare(recorded, Candidate(shift=0.5))

    assert good.passed
    assert (good.frames, good.figures.heads["id"].largest_error) == (3, 0)
    assert bad.failed_levels[0] in ("peaks", "boxes")
    with pytest.raises(EvaluationError, match="more --max-detections"):
        compare(recording(max_detections=5), Candidate())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"checkpoint_sha256": "cd" * 32}, "certificate does not match"),
        ({"input_size": (128, 96)}, "input size"),
        ({"embedding_dim": 64}, "embedding length"),
        ({"batch_size": 2}, "without --batch-size"),
    ],
)
def test_another_network_is_refused(change, words):
    with pytest.raises(EvaluationError, match=words):
        compare(recording(), Candidate(replace(MANIFEST, **change)))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"description": np.array(json.dumps({"schema_version": 1}))}, "schema 1, this edge-fairmot reads 2"),
        ({"description": np.array("{")}, "does not hold"),
        ({"description": np.array("[]")}, "does not hold"),
        ({"embeddings": None}, "embeddings"),
        ({"scores": np.zeros((3, 30))}, "scores is float64"),
        (
            {"boxes": np.zeros((3, 30, 5), np.float32)},
            r"boxes is float32 \(3, 30, 5\), not float32 \(3, 30, 4",
        ),
        ({"boxes": np.full((3, 30, 4), np.nan, np.float32)}, "not finite"),
        ({"hm_positions": np.full(384, 9999)}, "hm_positions do not fit"),
        ({"frame_index": np.array([{}, {}, {}], object)}, "does not hold"),  # pickled: never loaded
    ],
)
def test_a_file_of_another_layout_is_refused(path, changes, words):
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files} | changes
    np.savez_compressed(path, **{name: value for name, value in arrays.items() if value is not None})

    with pytest.raises(EvaluationError, match=words):
        read_reference_outputs(path)


def test_a_damaged_file_is_refused(path):
    data = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo("frames.npy")
    flipped = bytearray(data)
    flipped[member.header_offset + 60 + member.compress_size // 2] ^= 1
    for damaged in (b"", data[: len(data) // 2], data[: int(len(data) * 0.99)], flipped, b"no archive\n"):
        path.write_bytes(damaged)
        with pytest.raises(EvaluationError, match="does not hold reference outputs, or is damaged"):
            read_reference_outputs(path)
    with pytest.raises(EvaluationError, match="no reference outputs at"):
        read_reference_outputs(path.with_name("absent.npz"))


def test_a_recording_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(EvaluationError, match="cannot write"):
        write_reference_outputs(tmp_path / "absent" / "reference.npz", recording())
    with pytest.raises(EvaluationError, match="at least one frame"):
        write_reference_outputs(tmp_path / "reference.npz", replace(recording(), frames=()))
