import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edge_fairmot.boxes import iou_inclusive
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.letterbox import LETTERBOX_BORDER, Letterbox

ROUND_TRIP_TOLERANCE = 3e-7
"""Relative to the larger of the two sizes: a float32 holds 24 bits, and the box is rounded twice."""

PLACEMENT_TOLERANCE_PX = 0.05
"""Input pixels. The picture's uint8 values are rounded; the map itself is exact. Far below the half pixel
that mistaking centres for edges would cost."""

IOU_TOLERANCE = 1e-12
"""Sums and products of float64 in another order."""

side = st.integers(1, 3000)
sizes = st.tuples(side, side)
letterboxes = st.builds(Letterbox, sizes, sizes)
small_letterboxes = st.builds(
    Letterbox,
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
)


@st.composite
def boxes_in(draw, size):
    limit = np.tile(np.asarray(size, np.float64), 2)
    return (draw(arrays(np.float64, (3, 4), elements=st.floats(-0.5, 1.5))) * limit).astype(np.float32)


@given(st.data(), letterboxes)
@example(None, Letterbox((1920, 1080), (1088, 608)))
@example(None, Letterbox((3000, 1), (32, 3000)))
def test_boxes_come_back_from_the_input_to_the_source(data, letterbox):
    corners = np.array([[0, 0, *letterbox.source_size]], np.float32)
    boxes = corners if data is None else data.draw(boxes_in(letterbox.source_size))

    back = letterbox.to_source(letterbox.to_input(boxes))

    # An error made in input pixels grows by the inverse scale on its way back.
    inverse_scale = np.divide(letterbox.source_size, letterbox.inner_size)
    size = np.maximum(letterbox.source_size, np.multiply(letterbox.input_size, inverse_scale))
    assert back.dtype == np.float32
    assert (np.abs(back - boxes) <= np.tile(size, 2) * ROUND_TRIP_TOLERANCE).all()


@given(letterboxes)
def test_the_source_maps_onto_the_inner_picture(letterbox):
    (left, top), (inner_w, inner_h) = letterbox.offset, letterbox.inner_size

    mapped = letterbox.to_input(np.array([[0, 0, *letterbox.source_size]], np.float32))

    np.testing.assert_allclose(mapped, [[left, top, left + inner_w, top + inner_h]], rtol=1e-6, atol=1e-6)


@given(letterboxes)
def test_the_inner_picture_fills_one_axis_and_is_centred_in_the_other(letterbox):
    (left, top), (inner_w, inner_h), (input_w, input_h) = (
        letterbox.offset,
        letterbox.inner_size,
        letterbox.input_size,
    )

    assert inner_w == input_w or inner_h == input_h
    assert 1 <= inner_w <= input_w
    assert 1 <= inner_h <= input_h
    assert 0 <= (input_w - inner_w - left) - left <= 1
    assert 0 <= (input_h - inner_h - top) - top <= 1


@given(small_letterboxes)
@example(Letterbox((90, 90), (1, 90)))
@example(Letterbox((1, 90), (32, 32)))
@example(Letterbox((64, 64), (64, 64)))
def test_borders_are_grey_and_the_inner_picture_is_the_picture(letterbox):
    (left, top), (inner_w, inner_h) = letterbox.offset, letterbox.inner_size
    colour = (10, 200, 77)
    source_w, source_h = letterbox.source_size

    made = letterbox.apply(np.full((source_h, source_w, 3), colour, np.uint8))

    inner = (slice(top, top + inner_h), slice(left, left + inner_w))
    border = np.ones(made.shape[:2], bool)
    border[inner] = False
    assert made.shape == (letterbox.input_size[1], letterbox.input_size[0], 3)
    assert made.dtype == np.uint8
    assert (made[border] == LETTERBOX_BORDER).all()
    assert (made[inner] == colour).all()


def test_the_border_is_128():
    assert (Letterbox((10, 10), (30, 10)).apply(np.zeros((10, 10, 3), np.uint8))[:, 0] == 128).all()


def test_a_picture_of_the_inputs_size_is_unchanged():
    image = np.random.default_rng(0).integers(0, 256, (33, 65, 3), np.uint8)

    np.testing.assert_array_equal(Letterbox((65, 33), (65, 33)).apply(image), image)


@pytest.mark.parametrize(
    ("source_size", "input_size"),
    [
        ((1920, 1080), (1088, 608)),
        ((641, 479), (576, 320)),
        ((333, 1001), (320, 576)),
        ((101, 57), (1088, 608)),
        ((97, 401), (608, 1088)),
        ((576, 320), (576, 320)),
    ],
)
@pytest.mark.parametrize("place", [(0.3, 0.3), (0.5, 0.7), (0.75, 0.25)])
def test_a_block_lands_where_the_map_says(source_size, input_size, place):
    letterbox = Letterbox(source_size, input_size)
    source_w, source_h = source_size
    x, y = int(place[0] * source_w), int(place[1] * source_h)
    w, h = max(3, source_w // 13), max(3, source_h // 11)
    image = np.zeros((source_h, source_w, 3), np.uint8)
    image[y : y + h, x : x + w] = 255

    left, top = letterbox.offset
    inner_w, inner_h = letterbox.inner_size
    made = letterbox.apply(image)[top : top + inner_h, left : left + inner_w, 0].astype(np.float64) / 255

    # The block's edges, from its mass: pixel i covers [i, i + 1).
    height_of_columns, width_of_rows = made.sum(axis=0), made.sum(axis=1)
    centre_x = (height_of_columns * (np.arange(inner_w) + 0.5)).sum() / made.sum() + left
    centre_y = (width_of_rows * (np.arange(inner_h) + 0.5)).sum() / made.sum() + top
    half_w, half_h = width_of_rows.max() / 2, height_of_columns.max() / 2
    found = [centre_x - half_w, centre_y - half_h, centre_x + half_w, centre_y + half_h]
    expected = letterbox.to_input(np.array([[x, y, x + w, y + h]], np.float32))[0]
    np.testing.assert_allclose(found, expected, atol=PLACEMENT_TOLERANCE_PX)


@pytest.mark.parametrize(
    ("source_size", "input_size"), [((640, 480), (320, 320)), ((1, 1000), (32, 32)), ((1000, 1), (32, 32))]
)
def test_shrinking_averages_so_that_fine_stripes_do_not_alias(source_size, input_size):
    letterbox = Letterbox(source_size, input_size)
    image = np.zeros((source_size[1], source_size[0], 3), np.uint8)
    image[::2, ::2] = image[1::2, 1::2] = 255
    (left, top), (inner_w, inner_h) = letterbox.offset, letterbox.inner_size

    inner = letterbox.apply(image)[top : top + inner_h, left : left + inner_w]

    # A cell holds an even count of black and white but for its edges.
    assert np.abs(inner.astype(int) - 127.5).max() < 10


def test_out_is_written_and_given_back():
    letterbox = Letterbox((40, 20), (32, 32))
    image = np.random.default_rng(1).integers(0, 256, (20, 40, 3), np.uint8)
    out = np.full((32, 32, 3), 7, np.uint8)

    made = letterbox.apply(image, out)

    assert made is out
    np.testing.assert_array_equal(out, letterbox.apply(image))


def test_out_may_be_a_slot_of_a_batch():
    letterbox = Letterbox((40, 20), (32, 32))
    image = np.random.default_rng(2).integers(0, 256, (20, 40, 3), np.uint8)
    batch = np.full((3, 32, 32, 3), 7, np.uint8)

    letterbox.apply(image, batch[1])

    np.testing.assert_array_equal(batch[1], letterbox.apply(image))
    assert (batch[[0, 2]] == 7).all()


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((40, 20, 3), np.uint8),
        np.zeros((20, 40), np.uint8),
        np.zeros((20, 40, 4), np.uint8),
        np.zeros((20, 40, 3), np.float32),
    ],
)
def test_a_picture_that_does_not_fit_is_refused(image):
    with pytest.raises(InvalidInputError, match=r"made for uint8 \(20, 40, 3\), not"):
        Letterbox((40, 20), (32, 32)).apply(image)


@pytest.mark.parametrize("out", [np.zeros((32, 31, 3), np.uint8), np.zeros((32, 32, 3), np.float32)])
def test_an_out_that_does_not_fit_is_refused(out):
    with pytest.raises(InvalidInputError, match=r"out must be uint8 \(32, 32, 3\), not"):
        Letterbox((40, 20), (32, 32)).apply(np.zeros((20, 40, 3), np.uint8), out)


@pytest.mark.parametrize(("source_size", "input_size"), [((0, 5), (5, 5)), ((5, 5), (5, -1))])
def test_a_size_without_pixels_is_refused(source_size, input_size):
    with pytest.raises(InvalidInputError, match="sizes must be positive"):
        Letterbox(source_size, input_size)


def test_no_boxes_map_to_no_boxes():
    letterbox = Letterbox((40, 20), (32, 32))
    none = np.zeros((0, 4), np.float32)

    assert letterbox.to_source(none).shape == letterbox.to_input(none).shape == (0, 4)


def test_opencv_resizes_between_edges():
    """The convention the map rests on: a step between two pixels stays at the scaled edge."""
    step = np.repeat([[0, 0, 255, 255]], 4, axis=0).astype(np.uint8)

    enlarged = cv2.resize(step, (16, 16), interpolation=cv2.INTER_LINEAR)

    assert enlarged[0].sum() / 255 == pytest.approx(8, abs=0.05)


def iou_by_counting(a, b):
    """Pixels of whole-number boxes as sets."""
    pixels = [{(x, y) for x in range(x1, x2 + 1) for y in range(y1, y2 + 1)} for x1, y1, x2, y2 in (a, b)]
    return len(pixels[0] & pixels[1]) / len(pixels[0] | pixels[1])


@st.composite
def whole_boxes(draw):
    x, y, w, h = (draw(st.integers(low, 9)) for low in (-9, -9, 0, 0))
    return [x, y, x + w, y + h]


@st.composite
def real_boxes(draw, count):
    corner = draw(arrays(np.float64, (count, 2), elements=st.floats(-1e4, 1e4)))
    extent = draw(arrays(np.float64, (count, 2), elements=st.floats(0, 1e4)))
    return np.concatenate([corner, corner + extent], axis=1)


@given(st.lists(whole_boxes(), min_size=1, max_size=3), st.lists(whole_boxes(), min_size=1, max_size=3))
def test_iou_counts_pixels_inclusively(a, b):
    expected = [[iou_by_counting(one, other) for other in b] for one in a]

    found = iou_inclusive(np.array(a, np.float64), np.array(b, np.float64))

    np.testing.assert_allclose(found, expected, rtol=0, atol=IOU_TOLERANCE)


@given(real_boxes(3), real_boxes(2))
def test_iou_is_symmetric_in_range_and_one_with_itself(a, b):
    found = iou_inclusive(a, b)

    np.testing.assert_array_equal(found, iou_inclusive(b, a).T)
    assert (found >= 0).all()
    assert (found <= 1 + IOU_TOLERANCE).all()
    np.testing.assert_allclose(np.diag(iou_inclusive(a, a)), 1, rtol=0, atol=IOU_TOLERANCE)


def test_boxes_side_by_side_share_no_pixel_and_boxes_that_touch_share_a_row():
    box = np.array([[0, 0, 9, 9]], np.float64)

    assert iou_inclusive(box, np.array([[10, 0, 19, 9]], np.float64))[0, 0] == 0
    assert iou_inclusive(box, np.array([[9, 0, 18, 9]], np.float64))[0, 0] == pytest.approx(10 / 190)


@pytest.mark.parametrize(("m", "n"), [(0, 0), (0, 3), (2, 0)])
def test_iou_of_no_boxes_is_an_empty_matrix(m, n):
    assert iou_inclusive(np.zeros((m, 4)), np.zeros((n, 4))).shape == (m, n)


def test_an_inside_out_box_overlaps_nothing():
    inside_out = np.array([[9, 9, 0, 0], [5, 0, 0, 9]], np.float64)

    assert (iou_inclusive(inside_out, np.array([[0, 0, 9, 9]], np.float64)) == 0).all()
