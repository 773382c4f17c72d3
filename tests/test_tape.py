"""A tape gives back what was recorded, bit for bit, or says in one line why it cannot."""

import io
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edge_fairmot.errors import InvalidInputError, TapeError
from edge_fairmot.letterbox import Letterbox
from edge_fairmot.manifest import ModelManifest
from edge_fairmot.tape import COLUMNS, DETECTION_COLUMNS, TapeHeader, read_tape
from edge_fairmot.tape_recorder import TapeRecorder
from edge_fairmot.types import Frame, RawDetections

SOURCE_SIZE, INPUT_SIZE = (100, 70), (64, 32)
CAPACITY, DIMENSION = 5, 3
THRESHOLD = 0.3
MANIFEST = ModelManifest(INPUT_SIZE, CAPACITY, DIMENSION, ("person", "dog"), 18, "ab" * 32, "0.1.0")
HEADER = TapeHeader("street.mp4", SOURCE_SIZE, 29.97, THRESHOLD, MANIFEST)
SHARES_A_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

finite = st.floats(width=32, allow_nan=False, allow_infinity=False, min_value=-(2.0**90), max_value=2.0**90)


@st.composite
def raw_detections(draw):
    score = draw(arrays.arrays(np.float32, CAPACITY, elements=st.floats(0, 1, width=32)))
    return RawDetections(
        draw(arrays.arrays(np.float32, (1, CAPACITY, 4), elements=finite)),
        np.sort(score)[None, ::-1],
        draw(arrays.arrays(np.int64, (1, CAPACITY), elements=st.integers(0, 1))),
        draw(arrays.arrays(np.float32, (1, CAPACITY, DIMENSION), elements=finite)),
    )


@st.composite
def runs(draw):
    """Indices, times and detections of the frames of a run."""
    indices = sorted(draw(st.sets(st.integers(0, 2**40), min_size=1, max_size=6)))
    times = st.floats(-1e9, 1e9)
    times_s = sorted(draw(st.sets(times, min_size=len(indices), max_size=len(indices))))
    return [(index, time_s, draw(raw_detections())) for index, time_s in zip(indices, times_s, strict=True)]


def frame(index, time_s):
    return Frame(np.zeros((*SOURCE_SIZE[::-1], 3), np.uint8), index, time_s)


def record(path, run):
    with TapeRecorder(path, HEADER) as recorder:
        for index, time_s, raw in run:
            recorder.record(frame(index, time_s), raw)
    return path


def assert_same_bits(found, expected):
    assert found.dtype == expected.dtype
    assert found.tobytes() == expected.tobytes()  # -0.0 is not 0.0


@SHARES_A_FOLDER
@given(run=runs())
def test_what_is_read_is_what_was_recorded_to_the_last_bit(run, tmp_path):
    tape = read_tape(record(tmp_path / "tape.npz", run))

    assert tape.header == HEADER
    assert len(tape) == len(run)
    assert_same_bits(tape.frame_index, np.array([index for index, _, _ in run], np.int64))
    assert_same_bits(tape.time_s, np.array([time_s for _, time_s, _ in run], np.float64))
    letterbox = Letterbox(SOURCE_SIZE, INPUT_SIZE)
    for n, (_, _, raw) in enumerate(run):
        kept = raw.scores[0] > THRESHOLD
        detections = tape.detections(n)
        assert_same_bits(tape.input_boxes_xyxy[tape.rows(n)], raw.boxes[0, kept])
        assert_same_bits(detections.xyxy, letterbox.to_source(raw.boxes[0, kept]))
        assert_same_bits(detections.score, raw.scores[0, kept])
        assert_same_bits(detections.class_id, raw.class_ids[0, kept])
        assert_same_bits(detections.embedding, raw.embeddings[0, kept])
    assert [file.name for file in tmp_path.iterdir()] == ["tape.npz"]  # nothing half done


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """Bytes of a tape of three frames: two detections, none, three."""
    generator = np.random.default_rng(3)
    scores = ([0.9, 0.5, 0.3, 0.2, 0.1], [0.2, 0.1, 0, 0, 0], [0.8, 0.8, 0.4, 0.3, 0])
    run = [
        (
            10 * n,
            n / 2,
            RawDetections(
                generator.normal(size=(1, CAPACITY, 4)).astype(np.float32),
                np.float32([score]),
                np.zeros((1, CAPACITY), np.int64),
                generator.normal(size=(1, CAPACITY, DIMENSION)).astype(np.float32),
            ),
        )
        for n, score in enumerate(scores)
    ]
    return record(tmp_path_factory.mktemp("tape") / "tape.npz", run).read_bytes()


def test_frames_keep_their_own_detections(content, tmp_path):
    (tmp_path / "tape.npz").write_bytes(content)
    tape = read_tape(tmp_path / "tape.npz")

    assert tape.frame_offset.tolist() == [0, 2, 2, 5]
    assert [len(tape.detections(n)) for n in range(3)] == [2, 0, 3]
    assert tape.frame_index.tolist() == [0, 10, 20]


def test_the_layout_is_that_of_the_tracker_goldens(content, shared):
    with (
        np.load(io.BytesIO(content)) as tape,
        np.load(shared / "tracker_goldens" / "twelve-walkers.npz") as golden,
    ):
        for name in ("frame_offset", "boxes_xyxy", "score", "embedding"):
            assert (tape[name].dtype, tape[name].ndim) == (golden[name].dtype, golden[name].ndim)
        assert golden["frame_offset"][0] == tape["frame_offset"][0] == 0
        for archive in (tape, golden):
            assert archive["frame_offset"][-1] == len(archive["score"])


def assert_one_line(error):
    message = str(error.value)
    assert "\n" not in message
    assert any(remedy in message for remedy in ("--record", "pip install -U", "python3 -c"))


def change(content, **changes):
    with np.load(io.BytesIO(content)) as archive:
        values = {name: archive[name].copy() for name in archive.files}
    for name, new in changes.items():
        if new is None:
            del values[name]
        else:
            values[name] = new(values[name]) if callable(new) else np.asarray(new)
    file = io.BytesIO()
    np.savez(file, **values)
    return file.getvalue()


def with_nan(values):
    values = np.atleast_1d(values.copy())
    values.flat[-1] = np.nan
    return values


def with_manifest(**changes):
    return json.dumps(json.loads(MANIFEST.to_json()) | changes)


NAMES = ("schema_version", "manifest", "source", "frame_size", "frame_rate", "score_threshold", *COLUMNS)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        *[({name: None}, f"{name} is missing") for name in NAMES],
        *[({name: lambda a: a.astype(np.float16)}, f"{name} is float16") for name in COLUMNS],
        *[({name: lambda a: a[None]}, f"{name} is .* dimensions") for name in COLUMNS],
        *[
            ({name: lambda a: a[:-1]}, f"{name} is of 4 detections, frame_offset of 5")
            for name in DETECTION_COLUMNS
        ],
        *[
            ({name: with_nan}, f"{name} holds numbers that are not finite")
            for name in ("time_s", "boxes_xyxy", "input_boxes_xyxy", "score", "embedding")
        ],
        ({"schema_version": np.int64(2)}, "has tape schema 2, this edge-fairmot reads 1"),
        ({"schema_version": "1"}, "schema_version is <U1"),
        ({"manifest": "{}"}, "manifest in this file is damaged"),
        ({"manifest": with_manifest(schema_version=9)}, "manifest schema 9"),
        ({"manifest": with_manifest(batch_size=2)}, "takes batches of 2"),
        ({"manifest": with_manifest(embedding_dim=4)}, r"\(4, 4, 3\) numbers, not 4, 4 and the 4"),
        ({"manifest": with_manifest(max_detections=2)}, "a frame has 3 detections, the file 2"),
        ({"source": np.int64(0)}, "source is int64"),
        (
            {"frame_size": np.int64([0, 70])},
            r"frame_size must be a width and a height in pixels, not \(0, 70\)",
        ),
        ({"frame_size": np.int64([70])}, "not a tape"),
        ({"frame_rate": np.float64(0)}, "frame_rate must be positive"),
        ({"frame_rate": np.float64("nan")}, "frame_rate holds numbers that are not finite"),
        ({"score_threshold": np.float64(1.5)}, "score_threshold must be between 0 and 1"),
        ({"frame_index": np.int64([0, 10, 10])}, "frame_index does not rise"),
        ({"frame_index": np.int64([-1, 10, 20])}, "frame_index does not rise from 0"),
        ({"frame_index": np.int64([0, 10])}, "time_s is of 3 frames and frame_offset of 3, frame_index of 2"),
        ({"time_s": np.float64([0, 2, 1])}, "time_s does not rise"),
        ({"time_s": np.float64([0, 2])}, "time_s is of 2 frames"),
        ({"frame_offset": np.int64([0, 2, 5])}, "frame_offset of 2"),
        ({"frame_offset": np.int64([1, 2, 2, 5])}, "frame_offset does not rise from 0"),
        ({"frame_offset": np.int64([0, 3, 2, 5])}, "frame_offset does not rise from 0"),
        ({"frame_offset": np.int64([0, 2**62, -(2**62), 5])}, "frame_offset does not rise from 0"),
        ({"frame_offset": np.int64([0, 2, 2, 6])}, "is of 5 detections, frame_offset of 6"),
        ({"frame_offset": np.int64([0, 3, 3, 5])}, "score does not descend"),
        ({"boxes_xyxy": lambda a: a + np.float32(0.1)}, "boxes_xyxy and input_boxes_xyxy are not the same"),
        ({"frame_size": np.int64([100, 72])}, "boxes_xyxy and input_boxes_xyxy are not the same"),
        (
            {"frame_index": np.int64([]), "time_s": np.float64([]), "frame_offset": np.int64([0])},
            "it holds no frame",
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_name(content, tmp_path, changes, complaint):
    path = tmp_path / "tape.npz"
    path.write_bytes(change(content))
    read_tape(path)  # it is the change that is refused
    path.write_bytes(change(content, **changes))
    with pytest.raises(TapeError, match=complaint) as caught:
        read_tape(path)
    assert_one_line(caught)


def test_pickled_code_is_never_run(content, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was run",))

    file = io.BytesIO()
    with np.load(io.BytesIO(content)) as archive:
        np.savez(file, **(dict(archive) | {"score": np.array([Bomb()], object)}))
    (tmp_path / "tape.npz").write_bytes(file.getvalue())
    with pytest.raises(TapeError, match="Object arrays cannot be loaded") as caught:
        read_tape(tmp_path / "tape.npz")
    assert_one_line(caught)


@pytest.mark.parametrize("made", [b"", b"not a tape\n", b"PK\x03\x04", b"\x93NUMPY\x01\x00", b"\x80\x04."])
def test_a_file_of_another_kind_is_refused(tmp_path, made):
    (tmp_path / "tape.npz").write_bytes(made)
    with pytest.raises(TapeError, match="is not a tape, or is damaged") as caught:
        read_tape(tmp_path / "tape.npz")
    assert_one_line(caught)


def test_one_array_is_not_a_tape(tmp_path):
    np.save(tmp_path / "tape.npy", np.zeros(3))
    with pytest.raises(TapeError, match="is not a tape") as caught:
        read_tape(tmp_path / "tape.npy")
    assert_one_line(caught)


def test_a_tape_that_is_not_there_says_how_to_record_one(tmp_path):
    for path in (tmp_path / "tape.npz", tmp_path):
        with pytest.raises(TapeError, match=r"no tape at .*: record one with edge-fairmot track") as caught:
            read_tape(path)
        assert_one_line(caught)


@SHARES_A_FOLDER
@given(data=st.data())
def test_a_damaged_tape_is_refused_in_one_line_or_reads_the_same(content, tmp_path, data):
    """Cut anywhere or changed in any byte: CRCs of the zip find what the layout does not."""
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(0, 3), "changes")):
        damaged[data.draw(st.integers(0, len(content) - 1), "at")] = data.draw(st.integers(0, 255), "byte")
    length = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))), "length")
    path, whole = tmp_path / "tape.npz", tmp_path / "whole.npz"
    path.write_bytes(bytes(damaged[:length]))
    whole.write_bytes(content)
    try:
        found = read_tape(path)
    except TapeError as error:
        event("refused")
        complaint = str(error)
    else:
        event("read")
        complaint = ""
    assert "\n" not in complaint
    if complaint:
        return
    expected = read_tape(whole)
    assert found.header == expected.header
    for name in COLUMNS:
        assert_same_bits(getattr(found, name), getattr(expected, name))


def test_a_changed_byte_is_found_before_it_is_believed(content, tmp_path):
    """A header so changed reads well: numpy would take it for one of Python 2."""
    path = tmp_path / "tape.npz"
    assert b"(5,), }" in content
    path.write_bytes(content.replace(b"(5,), }", b"(5L,),}"))
    with pytest.raises(TapeError, match=r"score.npy has a wrong checksum") as caught:
        read_tape(path)
    assert_one_line(caught)


@pytest.mark.parametrize("part", range(0, 100, 7))
def test_a_truncated_tape_is_refused(content, tmp_path, part):
    path = tmp_path / "tape.npz"
    path.write_bytes(content[: len(content) * part // 100])
    with pytest.raises(TapeError) as caught:
        read_tape(path)
    assert_one_line(caught)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"(5,)", b"(99999999999999,)"),
        (b"(5,)", b"(-1,)"),
        (b"(5,)", b"((((("),
        (b"(5,), }", b"(5,), \n("),
        (b"'<f4'", b"'|O8'"),
        (b"'<f4'", b"'V99'"),
        (b"\x93NUMPY\x01", b"\x93NUMPY\x09"),
    ],
)
def test_a_member_that_lies_about_itself_is_refused(content, tmp_path, old, new):
    """Its checksum is right: somebody made it so."""
    path = tmp_path / "tape.npz"
    with zipfile.ZipFile(io.BytesIO(content)) as whole, zipfile.ZipFile(path, "w") as changed:
        for name in whole.namelist():
            data = whole.read(name)
            assert name != "score.npy" or old in data
            changed.writestr(name, data.replace(old, new, 1) if name == "score.npy" else data)
    with pytest.raises(TapeError, match="is not a tape, or is damaged") as caught:
        read_tape(path)
    assert_one_line(caught)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"frame_size": (0, 5)}, "frame_size must be"),
        ({"frame_rate": float("inf")}, "frame_rate must be"),
        ({"score_threshold": -0.1}, "score_threshold must be"),
        ({"manifest": replace(MANIFEST, batch_size=4)}, "takes batches of 4"),
    ],
)
def test_a_header_out_of_range_is_refused(change, complaint):
    with pytest.raises(InvalidInputError, match=complaint):
        replace(HEADER, **change)
