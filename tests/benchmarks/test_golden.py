"""A golden gives back what was recorded, and nothing else."""

import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from edge_fairmot.benchmarks.golden import (
    VALUES_KEPT,
    Golden,
    GoldenFrame,
    read_golden,
    select_golden_values,
    write_golden,
)
from edge_fairmot.benchmarks.ladder import ParityLadder
from edge_fairmot.benchmarks.ladder_report import Subject
from edge_fairmot.benchmarks.observation import HEADS, DenseHead, Observation
from edge_fairmot.benchmarks.parity_budget import FP32_BUDGET
from edge_fairmot.benchmarks.verification import climb_golden
from edge_fairmot.errors import EvaluationError
from edge_fairmot.manifest import ModelManifest
from edge_fairmot.types import RawDetections

WIDTH, HEIGHT, CANDIDATES, DIMENSION = 96, 64, 30, 8
CHANNELS = {"hm": 1, "wh": 4, "reg": 2, "id": DIMENSION}
MANIFEST = ModelManifest(
    input_size=(WIDTH, HEIGHT),
    max_detections=CANDIDATES,
    embedding_dim=DIMENSION,
    class_names=("person",),
    opset=0,
    checkpoint_sha256="ab" * 32,
    toolkit_version="0.1.0",
)


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


def picture(seed):
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


@pytest.fixture
def golden():
    frames = [
        GoldenFrame(picture(n), n, n / 25, select_golden_values(observation(n), CANDIDATES)) for n in range(3)
    ]
    details = {"device": "CPU", "torch": "2.9"}
    return Golden("street.mp4", (640, 480), 25.0, "torch:cpu", details, MANIFEST, tuple(frames))


@pytest.fixture
def path(golden, tmp_path):
    write_golden(tmp_path / "golden.npz", golden)
    return tmp_path / "golden.npz"


class Candidate:
    """Sees what was recorded for each picture, unless told otherwise."""

    name = "hand"

    def __init__(self, manifest=MANIFEST, shift=0.0):
        self.manifest = manifest
        self.shift = shift
        self.known = {picture(n).tobytes(): n for n in range(3)}

    def observe(self, images):
        seen = observation(self.known[images[0].tobytes()])
        return replace(seen, detections=replace(seen.detections, boxes=seen.detections.boxes + self.shift))

    def close(self):
        pass


def test_what_is_read_is_what_was_written(golden, path):
    read = read_golden(path)

    for name in ("source", "source_size", "frame_rate", "runtime", "details", "manifest"):
        assert getattr(read, name) == getattr(golden, name)
    assert len(read.frames) == 3
    for ours, theirs in zip(read.frames, golden.frames, strict=True):
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
    assert [file.name for file in path.parent.iterdir()] == ["golden.npz"]  # nothing partial


def test_values_are_chosen_alike_in_every_frame_and_at_most_so_many():
    first, second = (select_golden_values(observation(n), 10) for n in range(2))

    assert first.detections.scores.shape == (1, 10)
    assert len(first.heads["id"].values) == VALUES_KEPT
    assert len(first.heads["hm"].values) == 16 * 24
    for head in HEADS:
        np.testing.assert_array_equal(first.heads[head].positions, second.heads[head].positions)
    with pytest.raises(EvaluationError, match="dense heads"):
        select_golden_values(replace(observation(0), heads=None), 10)


def climb(golden, candidate):
    ladder = ParityLadder(FP32_BUDGET)
    climb_golden(ladder, golden, candidate)
    subject = Subject("a", "b", "c", "fp32", {})
    return ladder.report(subject, subject)


def test_a_golden_stands_in_for_its_reference(path):
    good, bad = climb(read_golden(path), Candidate()), climb(read_golden(path), Candidate(shift=0.5))

    assert good.passed
    assert (good.frames, good.figures.heads["id"].largest_error) == (3, 0)
    assert bad.failed_rungs[0] in ("peaks", "boxes")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"checkpoint_sha256": "cd" * 32}, "certificate does not match"),
        ({"input_size": (128, 96)}, "input size"),
        ({"embedding_dim": 64}, "embedding length"),
        ({"batch_size": 2}, "without --batch-size"),
    ],
)
def test_another_network_is_refused(path, change, words):
    with pytest.raises(EvaluationError, match=words):
        climb(read_golden(path), Candidate(replace(MANIFEST, **change)))


def test_too_few_detections_are_noticed(golden):
    few = tuple(
        replace(frame, observation=select_golden_values(observation(frame.index), 5))
        for frame in golden.frames
    )

    with pytest.raises(EvaluationError, match="more --max-detections"):
        climb(replace(golden, frames=few), Candidate())


def rewrite(path, **changes):
    """Write a golden's arrays again, some changed; None leaves one out."""
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files} | changes
    np.savez_compressed(path, **{name: value for name, value in arrays.items() if value is not None})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schema_version": np.int64(2)}, "golden schema 2, this edge-fairmot reads 1"),
        ({"schema_version": None}, "no schema_version"),
        ({"embeddings": None}, "embeddings is missing"),
        ({"hm_values": None}, "hm_values is missing"),
        ({"scores": np.zeros((3, 30))}, "scores is float64"),
        ({"boxes": np.zeros((3, 30, 5), np.float32)}, "boxes or pictures"),
        ({"boxes": np.full((3, 30, 4), np.nan, np.float32)}, "not finite"),
        ({"time_s": np.zeros(2)}, "time_s is of 2 frames"),
        ({"class_ids": np.zeros((3, 9), np.int64)}, "class_ids is of 9 detections"),
        ({"hm_positions": np.full(384, 9999)}, "hm_positions do not fit"),
        ({"frame_png": np.zeros(9, np.uint8), "frame_png_end": np.array([3, 6, 9])}, "cannot be decoded"),
        ({"description": np.array("{")}, "is not a golden"),
        ({"description": np.array("[]")}, "is not a golden"),
        ({"description": np.array(json.dumps({"manifest": {}}))}, "is not a golden"),
        ({"frame_index": np.array([{}, {}, {}], object)}, "is not a golden"),  # pickled: never loaded
    ],
)
def test_a_golden_of_another_kind_is_refused(path, changes, words):
    rewrite(path, **changes)

    with pytest.raises(EvaluationError, match=words):
        read_golden(path)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_golden_cut_short_is_refused(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])

    with pytest.raises(EvaluationError, match="is not a golden, or is damaged"):
        read_golden(path)


def test_a_flipped_bit_is_noticed(path):
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo("frame_png.npy")
    data[member.header_offset + 60 + member.compress_size // 2] ^= 1
    path.write_bytes(bytes(data))

    with pytest.raises(EvaluationError, match="damaged"):
        read_golden(path)


def test_other_files_are_no_goldens(tmp_path):
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    (tmp_path / "text.npz").write_text("not a golden\n")
    for name, words in (
        ("array.npz", "not a golden"),
        ("text.npz", "not a golden"),
        ("no.npz", "no golden at"),
    ):
        with pytest.raises(EvaluationError, match=words):
            read_golden(tmp_path / name)


def test_a_golden_that_cannot_be_written_says_so(golden, tmp_path):
    with pytest.raises(EvaluationError, match="cannot write"):
        write_golden(tmp_path / "absent" / "golden.npz", golden)
    with pytest.raises(EvaluationError, match="at least one frame"):
        write_golden(tmp_path / "golden.npz", replace(golden, frames=()))
