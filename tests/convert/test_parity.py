"""The parity check compares peaks, each with its own, and says how far they differ."""

from dataclasses import replace

import numpy as np
import pytest

from edge_fairmot.convert.parity import FP32_LIMIT, compare
from edge_fairmot.errors import ConversionError
from edge_fairmot.types import RawDetections


def detections(scores, left=(0.0, 40.0, 80.0)):
    boxes = np.zeros((1, 3, 4), np.float32)
    boxes[0, :, 0], boxes[0, :, 2:] = left, 100
    embeddings = np.zeros((1, 3, 2), np.float32)
    embeddings[..., 0] = 1
    return RawDetections(boxes, np.float32([scores]), np.zeros((1, 3), np.int64), embeddings)


REFERENCE = detections((0.9, 0.8, 0.7))


def test_equal_detections_have_no_error_in_any_order():
    moved = detections((0.9, 0.7, 0.8), left=(0.0, 80.0, 40.0))
    figures = compare(moved, REFERENCE)
    assert (figures.peaks_matched, figures.score_error, figures.box_error_px) == (1.0, 0.0, 0.0)
    figures.check("equal")


@pytest.mark.parametrize(
    ("candidate", "matched"),
    [
        (detections((0.9, 0.8, 0.0)), 2 / 3),  # a row behind the last peak, in the place of the third
        (detections((0.9, 0.8, 0.7), left=(0.0, 40.0, 84.0)), 2 / 3),  # one cell away
        (replace(REFERENCE, class_ids=np.int64([[0, 0, 1]])), 2 / 3),
    ],
    ids=["no peak", "another cell", "another class"],
)
def test_only_a_peak_of_the_same_cell_and_class_matches(candidate, matched):
    figures = compare(candidate, REFERENCE)
    assert figures.peaks_matched == pytest.approx(matched)
    assert figures.score_error == 0
    with pytest.raises(ConversionError, match=r"odd: 66\.7% of peaks matched \(at least 97% wanted\)"):
        figures.check("odd")


def test_the_largest_differences_are_told():
    turned = np.float32([[[1, 0], [0.8, 0.6], [1, 0]]])
    candidate = replace(detections((0.9, 0.8, 0.65), left=(0.0, 40.5, 80.0)), embeddings=turned)
    figures = compare(candidate, REFERENCE)
    assert figures.peaks_matched == 1.0
    assert figures.score_error == pytest.approx(0.05)
    assert figures.box_error_px == pytest.approx(0.5)
    assert figures.cosine_error == pytest.approx(0.2)
    for name in ("score_error", "box_error_px", "cosine_error"):
        with pytest.raises(ConversionError, match="please report this"):
            replace(FP32_LIMIT, **{name: getattr(figures, name)}).check("one")
