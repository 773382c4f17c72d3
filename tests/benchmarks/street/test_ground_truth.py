"""Ground truth on disk, as other programs read it."""

import numpy as np
import pytest

from edge_fairmot.benchmarks.mot_text import read_mot_text
from edge_fairmot.errors import SinkError
from edge_fairmot.sinks import SequenceWriter, TruthSink
from edge_fairmot.sources import open_source
from edge_fairmot.types import Frame, Tracks, Truth

VISIBILITY = (1.0, 0.05, 0.1)

NO_TRACKS = Tracks(
    np.zeros(0, np.int64),
    np.zeros((0, 4), np.float32),
    np.zeros(0, np.float32),
    np.zeros(0, np.int64),
    np.zeros(0, bool),
)


def truth_of(index):
    left = np.array([10.25, 20.5, -4.0]) + index
    xyxy = np.stack([left, [5, 6, 7], left + 10, [25.5, 26, 27]], axis=1).astype(np.float32)
    visibility = np.array(VISIBILITY, np.float32)
    return Truth(np.array([2, 5, 9]), xyxy, visibility, np.zeros((3, 2), np.float32))


def frame(index, shade=90):
    return Frame(np.full((48, 64, 3), shade, np.uint8), index, index / 5)


def test_text_is_read_back_without_those_nobody_can_see(tmp_path):
    with TruthSink(tmp_path / "deep" / "gt.txt", truth_of) as sink:
        for index in (0, 3):
            sink.write(frame(index), NO_TRACKS)
    rows = read_mot_text(tmp_path / "deep" / "gt.txt", ground_truth=True)
    assert rows.frame.tolist() == [1, 1, 4, 4]
    assert rows.track_id.tolist() == [2, 9, 2, 9]
    np.testing.assert_allclose(rows.xyxy[2:], truth_of(3).xyxy[[0, 2]], atol=0.011)
    first = (tmp_path / "deep" / "gt.txt").read_text().splitlines()[1]
    assert first == "1,5,20.50,6.00,10.00,20.00,0,1,0.050"


def test_a_sequence_is_read_back_as_a_source(tmp_path):
    with SequenceWriter(tmp_path / "street", 5.0) as writer:
        for index in range(3):
            writer.write(frame(index, 60 + 40 * index), truth_of(index))
    with open_source(tmp_path / "street") as source:
        assert (source.info.frame_rate, source.info.frame_count) == (5.0, 3)
        assert [round(float(given.image.mean())) for given in source] == [60, 100, 140]
    assert len(read_mot_text(tmp_path / "street" / "gt" / "gt.txt")) == 9


def test_a_sequence_that_ends_early_is_a_shorter_one(tmp_path):
    def interrupted():
        with SequenceWriter(tmp_path / "street", 5.0) as writer:
            writer.write(frame(0), truth_of(0))
            writer.write(frame(1), truth_of(1))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with open_source(tmp_path / "street") as source:
        assert len(list(source)) == 2


def test_a_sequence_is_never_mixed_with_an_earlier_one(tmp_path):
    with SequenceWriter(tmp_path / "street", 5.0) as writer:
        writer.write(frame(0), truth_of(0))
    before = (tmp_path / "street" / "gt" / "gt.txt").read_bytes()
    with pytest.raises(SinkError, match="holds a sequence already"):
        SequenceWriter(tmp_path / "street", 5.0)
    assert (tmp_path / "street" / "gt" / "gt.txt").read_bytes() == before
