"""A detection cache gives back what was detected, to the last bit, also of a run that was killed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge_fairmot.detection_cache import CachedDetector, CacheInfo, DetectionWriter
from edge_fairmot.errors import DetectionCacheError, InvalidInputError, SinkError
from edge_fairmot.types import Detections, Frame

DIM = 3
INFO = CacheInfo("street.mp4", (64, 48), 25.0, 0.4, DIM, "fairmot.onnx", "0" * 64)
finite = st.floats(-1e6, 1e6, width=32)


def frame(index: int, time_s: float | None = None) -> Frame:
    return Frame(np.zeros((48, 64, 3), np.uint8), index, index / 25 if time_s is None else time_s)


def some_detections(rng: np.random.Generator, count: int) -> Detections:
    return Detections(
        rng.normal(size=(count, 4)).astype(np.float32),
        rng.uniform(0.41, 1, count).astype(np.float32),
        rng.normal(size=(count, DIM)).astype(np.float32),
        rng.integers(0, 9, count),
    )


def assert_same(found: Detections | None, expected: Detections | None) -> None:
    if found is None or expected is None:
        assert found is expected
        return
    for name in ("xyxy", "score", "embedding", "class_id"):
        one, other = getattr(found, name), getattr(expected, name)
        assert one.dtype == other.dtype
        assert one.tobytes() == other.tobytes()


@given(
    st.lists(
        st.none() | hnp.arrays(np.float32, st.tuples(st.integers(0, 4), st.just(4 + DIM)), elements=finite),
        max_size=6,
    )
)
def test_what_is_written_is_read_back_bit_for_bit(tmp_path_factory, tables):
    folder = tmp_path_factory.mktemp("cache") / "detections"
    written = [
        None
        if table is None
        else Detections(
            table[:, :4], np.full(len(table), 0.5, np.float32), table[:, 4:], np.arange(len(table))
        )
        for table in tables
    ]
    with DetectionWriter(folder, INFO) as writer:
        for index, detections in enumerate(written):
            writer(frame(index), detections)
    cached = CachedDetector(folder)
    assert cached.info == INFO
    for index, detections in enumerate(written):
        assert_same(cached.detect(frame(index)), detections)


def test_it_is_valid_after_every_frame_without_being_closed(tmp_path):
    rng, folder = np.random.default_rng(0), tmp_path / "cache"
    writer = DetectionWriter(folder, INFO)
    written = []
    for index in range(40):  # the number of rows in a header grows from one digit to two
        written.append(None if index % 3 == 2 else some_detections(rng, index % 5))
        writer(frame(index), written[-1])
        killed = tmp_path / "killed"
        shutil.copytree(folder, killed)
        cached = CachedDetector(killed)
        assert_same(cached.detect(frame(index)), written[-1])
        assert_same(cached.detect(frame(0)), written[0])
        shutil.rmtree(killed)
    writer.close()
    writer.close()


def test_plain_numpy_reads_it(tmp_path):
    with DetectionWriter(tmp_path / "cache", INFO) as writer:
        writer(frame(7), some_detections(np.random.default_rng(1), 2))
    frames, rows = np.load(tmp_path / "cache" / "frames.npy"), np.load(tmp_path / "cache" / "detections.npy")
    assert frames.tolist() == [(7, 7 / 25, 2)]
    assert rows["embedding"].shape == (2, DIM)


def test_a_higher_threshold_selects_and_a_lower_one_is_refused(tmp_path):
    found = some_detections(np.random.default_rng(2), 9)
    with DetectionWriter(tmp_path / "cache", INFO) as writer:
        writer(frame(0), found)
    assert_same(CachedDetector(tmp_path / "cache", 0.7).detect(frame(0)), found[found.score > 0.7])
    with pytest.raises(DetectionCacheError, match=r"above 0.4, and the tracker needs those above 0.3"):
        CachedDetector(tmp_path / "cache", 0.3)


def test_another_source_is_told(tmp_path):
    with DetectionWriter(tmp_path / "cache", INFO) as writer:
        writer(frame(0), None)
    cached = CachedDetector(tmp_path / "cache")
    with pytest.raises(DetectionCacheError, match=r"has no frame 2: it holds 1 frames of street.mp4"):
        cached.detect(frame(1))
    with pytest.raises(DetectionCacheError, match=r"has frame 1 at 0 s, and this source at 0.5 s"):
        cached.detect(frame(0, 0.5))
    with pytest.raises(DetectionCacheError, match="64x48 pixels, and this source has 10x10"):
        cached.require_source((10, 10))


def test_one_run_writes_it_at_a_time_and_no_other_files_are_touched(tmp_path):
    with DetectionWriter(tmp_path / "cache", INFO), pytest.raises(SinkError, match="choose another folder"):
        DetectionWriter(tmp_path / "cache", INFO)
    DetectionWriter(tmp_path / "cache", INFO).close()  # written again
    (tmp_path / "cache" / "notes.txt").write_text("mine")
    with pytest.raises(InvalidInputError, match=r"holds other files \(notes.txt\)"):
        DetectionWriter(tmp_path / "cache", INFO)
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match="cannot be written"):
        DetectionWriter(tmp_path / "file" / "cache", INFO)


def damage(name: str, change) -> object:
    def apply(folder: Path) -> None:
        path = folder / name
        path.write_bytes(change(path.read_bytes()))

    return apply


@pytest.mark.parametrize(
    "spoil",
    [
        shutil.rmtree,
        lambda folder: (folder / "meta.json").unlink(),
        lambda folder: (folder / "frames.npy").unlink(),
        damage("meta.json", lambda data: data[:-9]),
        damage("meta.json", lambda data: b"[1]"),
        damage("meta.json", lambda data: json.dumps(json.loads(data) | {"schema_version": 1}).encode()),
        damage("meta.json", lambda data: json.dumps(json.loads(data) | {"embedding_dim": 4}).encode()),
        damage("meta.json", lambda data: json.dumps(json.loads(data) | {"more": 4}).encode()),
        damage("frames.npy", lambda data: data[:30]),
        damage("frames.npy", lambda data: b"\x93NUMPY" + bytes(200)),
        damage("detections.npy", lambda data: data[:-5]),
        damage("detections.npy", lambda data: b""),
    ],
)
def test_a_damaged_cache_is_one_clear_error(tmp_path, spoil):
    folder = tmp_path / "cache"
    with DetectionWriter(folder, INFO) as writer:
        for index in range(3):
            writer(frame(index), some_detections(np.random.default_rng(index), 3))
    spoil(folder)
    with pytest.raises(DetectionCacheError, match="save it again"):
        CachedDetector(folder)
