"""The best crop of each identity: large, sharp and whole."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge_fairmot import Frame, FrameResult, Tracks
from edge_fairmot.errors import SinkError
from edge_fairmot.sinks import CropsSink

NOISE = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
SHARP = cv2.resize(cv2.resize(NOISE, (80, 60)), (320, 240), interpolation=cv2.INTER_NEAREST)


def result(
    index: int, *boxes: tuple[int, tuple[float, ...]], blur: int = 0, predicted: bool = False
) -> FrameResult:
    image = cv2.GaussianBlur(SHARP, (0, 0), blur) if blur else SHARP.copy()
    ids, xyxy = zip(*boxes, strict=True) if boxes else ((), ())
    count = len(ids)
    tracks = Tracks(
        np.array(ids, np.int64),
        np.array(xyxy, np.float32).reshape(count, 4),
        np.ones(count, np.float32),
        np.zeros(count, np.int64),
        np.full(count, predicted),
    )
    return FrameResult(Frame(image, index, index / 10), tracks)


def size_of(path) -> tuple[int, int]:
    height, width = cv2.imread(str(path)).shape[:2]
    return width, height


def test_the_largest_crop_is_kept_for_each_identity(tmp_path):
    sink = CropsSink(tmp_path / "crops")
    sink.write(result(0, (1, (10, 10, 40, 80)), (2, (100, 10, 180, 200))))
    sink.write(result(1, (1, (10, 10, 70, 150)), (2, (100, 10, 130, 80))))
    sink.write(result(2))
    assert sorted(path.name for path in (tmp_path / "crops").iterdir()) == ["000001.jpg", "000002.jpg"]
    assert size_of(tmp_path / "crops/000001.jpg") == (60, 140)
    assert size_of(tmp_path / "crops/000002.jpg") == (80, 190)


SMALL, LARGE = (1, (0.0, 0.0, 60.0, 120.0)), (1, (0.0, 0.0, 80.0, 160.0))


@pytest.mark.parametrize("order", [1, -1])
def test_a_sharp_crop_wins_over_a_larger_blurred_one(tmp_path, order):
    sink = CropsSink(tmp_path)
    for frame in [result(0, SMALL), result(1, LARGE, blur=5)][::order]:
        sink.write(frame)
    assert size_of(tmp_path / "000001.jpg") == (60, 120)


def test_predicted_boxes_are_not_used(tmp_path):
    sink = CropsSink(tmp_path)
    sink.write(result(0, SMALL))
    sink.write(result(1, LARGE, predicted=True))
    assert size_of(tmp_path / "000001.jpg") == (60, 120)


def test_a_whole_body_wins_over_a_cut_one_and_slivers_are_no_crops(tmp_path):
    sink = CropsSink(tmp_path)
    sink.write(result(0, (1, (-60, 20, 60, 230)), (2, (316, 10, 400, 200))))
    sink.write(result(1, (1, (100, 20, 160, 160))))
    assert size_of(tmp_path / "000001.jpg") == (60, 140)
    assert not (tmp_path / "000002.jpg").exists()


def test_crops_of_an_earlier_run_go_and_other_files_stay(tmp_path):
    for name in ("000007.jpg", "holiday.jpg"):
        (tmp_path / name).write_bytes(b"x")
    CropsSink(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="cannot hold crops"):
        CropsSink(tmp_path / "file")
