"""Ground truth in files, as other programs read it."""

import numpy as np
import pytest

from edge_fairmot.benchmarks.mot_text import read_ground_truth
from edge_fairmot.benchmarks.street.ground_truth import SequenceWriter
from edge_fairmot.errors import SinkError
from edge_fairmot.sinks import GroundTruthSink
from edge_fairmot.sources import open_source
from edge_fairmot.types import Frame, FrameResult, GroundTruth, Tracks

VISIBILITY = (1.0, 0.05, 0.1)


def truth_of(index):
    left = np.array([10.25, 20.5, -4.0]) + index
    xyxy = np.stack([left, [5, 6, 7], left + 10, [25.5, 26, 27]], axis=1).astype(np.float32)
    visibility = np.array(VISIBILITY, np.float32)
    return GroundTruth(np.array([2, 5, 9]), xyxy, visibility, np.zeros((3, 2), np.float32))


def frame(index, shade=90):
    return Frame(np.full((48, 64, 3), shade, np.uint8), index, index / 5)


def test_gt_txt_marks_people_who_are_hardly_visible(tmp_path):
    with GroundTruthSink(tmp_path / "deep" / "gt.txt", truth_of) as sink:
        for index in (0, 3):
            sink.write(FrameResult(frame(index), Tracks.empty()))
    rows = read_ground_truth(tmp_path / "deep" / "gt.txt").rows
    assert rows.frame.tolist() == [1, 1, 4, 4]
    assert rows.track_id.tolist() == [2, 9, 2, 9]
    np.testing.assert_allclose(rows.xyxy[2:], truth_of(3).xyxy[[0, 2]], atol=0.011)
    second = (tmp_path / "deep" / "gt.txt").read_text().splitlines()[1]
    assert second == "1,5,20.50,6.00,10.00,20.00,0,1,0.050"


def test_an_interrupted_sequence_is_a_shorter_one_and_never_mixed_with_another(tmp_path):
    def interrupted():
        with SequenceWriter(tmp_path / "street", 5.0) as writer:
            for index in range(3):
                writer.write(frame(index, 60 + 40 * index), truth_of(index))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with open_source(tmp_path / "street") as source:
        assert (source.info.frame_rate, source.info.frame_count) == (5.0, 3)
        assert [round(float(given.image.mean())) for given in source] == [60, 100, 140]
    before = (tmp_path / "street" / "gt" / "gt.txt").read_bytes()
    assert before.count(b"\n") == 9
    with pytest.raises(SinkError, match="holds a sequence already"):
        SequenceWriter(tmp_path / "street", 5.0)
    assert (tmp_path / "street" / "gt" / "gt.txt").read_bytes() == before
