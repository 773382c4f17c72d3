"""Overlap of boxes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edge_fairmot.boxes import iou, iou_inclusive

TOLERANCE = 1e-12
"""Sums and products of float64 in another order."""


@st.composite
def whole_boxes(draw):
    x, y, w, h = (draw(st.integers(low, 9)) for low in (-9, -9, 0, 0))
    return [x, y, x + w, y + h]


@st.composite
def real_boxes(draw, count):
    corner = draw(arrays(np.float64, (count, 2), elements=st.floats(-1e4, 1e4)))
    extent = draw(arrays(np.float64, (count, 2), elements=st.floats(0.125, 1e4)))
    return np.concatenate([corner, corner + extent], axis=1)


def iou_by_counting(a, b):
    """IoU of two sets of pixels: all whole numbers from corner to corner, both included."""
    pixels = [{(x, y) for x in range(x1, x2 + 1) for y in range(y1, y2 + 1)} for x1, y1, x2, y2 in (a, b)]
    return len(pixels[0] & pixels[1]) / len(pixels[0] | pixels[1])


@given(st.lists(whole_boxes(), min_size=1, max_size=3), st.lists(whole_boxes(), min_size=1, max_size=3))
def test_inclusive_iou_counts_pixels(a, b):
    expected = [[iou_by_counting(one, other) for other in b] for one in a]
    a, b = np.array(a, np.float64), np.array(b, np.float64)
    np.testing.assert_allclose(iou_inclusive(a, b), expected, rtol=0, atol=TOLERANCE)
    # The same pixels by their edges.
    to_edges = np.array([0, 0, 1, 1])
    np.testing.assert_allclose(iou(a + to_edges, b + to_edges), expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("overlap", [iou, iou_inclusive])
@given(a=real_boxes(3), b=real_boxes(2))
def test_iou_is_symmetric_in_range_and_one_with_itself(overlap, a, b):
    found = overlap(a, b)
    np.testing.assert_array_equal(found, overlap(b, a).T)
    assert (found >= 0).all()
    assert (found <= 1 + TOLERANCE).all()
    np.testing.assert_allclose(np.diag(overlap(a, a)), 1, rtol=0, atol=TOLERANCE)


def test_boxes_that_touch_share_a_row_of_pixels_but_no_area():
    box, next_to_it = np.array([[0, 0, 9, 9]], np.float64), np.array([[9, 0, 18, 9]], np.float64)
    assert iou_inclusive(box, next_to_it)[0, 0] == pytest.approx(10 / 190)
    assert iou(box, next_to_it)[0, 0] == 0
    assert iou_inclusive(box, np.add(next_to_it, [1, 0, 1, 0]))[0, 0] == 0


def test_empty_and_inside_out_boxes_overlap_nothing():
    for m, n in ((0, 0), (0, 3), (2, 0)):
        assert iou_inclusive(np.zeros((m, 4)), np.zeros((n, 4))).shape == (m, n)
    inside_out = np.array([[9, 9, 0, 0], [5, 0, 0, 9]], np.float64)
    assert (iou_inclusive(inside_out, np.array([[0, 0, 9, 9]], np.float64)) == 0).all()
