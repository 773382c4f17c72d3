"""The letterbox: what becomes of the image, and of boxes on the way there and back."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.letterbox import LETTERBOX_BORDER, Letterbox

ROUND_TRIP_TOLERANCE = 3e-7
"""Relative to the larger of the two sizes: float32 has 24 bits, and a box is rounded twice."""

PLACEMENT_TOLERANCE_PX = 0.05
"""Input pixels. The image's uint8 values are rounded; the map itself is exact. Confusing pixel centres with
edges would cost half a pixel."""


def letterboxes(largest):
    size = st.tuples(st.integers(1, largest), st.integers(1, largest))
    return st.builds(Letterbox, size, size)


@st.composite
def boxes_in(draw, size):
    limit = np.tile(np.asarray(size, np.float64), 2)
    return (draw(arrays(np.float64, (3, 4), elements=st.floats(-0.5, 1.5))) * limit).astype(np.float32)


@given(st.data(), letterboxes(3000))
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


@given(letterboxes(3000))
def test_the_inner_image_fills_one_axis_and_is_centred_in_the_other(letterbox):
    offset, inner, size = np.array(letterbox.offset), np.array(letterbox.inner_size), letterbox.input_size
    assert (inner == size).any()
    assert ((inner >= 1) & (inner <= size)).all()
    right_and_bottom = size - inner - offset
    assert ((right_and_bottom - offset >= 0) & (right_and_bottom - offset <= 1)).all()
    mapped = letterbox.to_input(np.array([[0, 0, *letterbox.source_size]], np.float32))
    np.testing.assert_allclose(mapped, [[*offset, *(offset + inner)]], rtol=1e-6, atol=1e-6)


@given(letterboxes(90))
@example(Letterbox((90, 90), (1, 90)))
@example(Letterbox((1, 90), (32, 32)))
@example(Letterbox((64, 64), (64, 64)))
def test_borders_are_grey_and_the_inner_image_is_the_image(letterbox):
    (left, top), (inner_w, inner_h) = letterbox.offset, letterbox.inner_size
    colour, (source_w, source_h) = (10, 200, 77), letterbox.source_size
    made = letterbox.apply(np.full((source_h, source_w, 3), colour, np.uint8))
    border = np.ones(made.shape[:2], bool)
    border[top : top + inner_h, left : left + inner_w] = False
    assert made.shape == (letterbox.input_size[1], letterbox.input_size[0], 3)
    assert made.dtype == np.uint8
    assert (made[border] == 128).all()
    assert (made[~border] == colour).all()
    assert LETTERBOX_BORDER == 128


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
    # A cell holds an even count of black and white except at its edges.
    assert np.abs(inner.astype(int) - 127.5).max() < 10


def test_out_is_written_and_returned_and_may_be_a_slot_of_a_batch():
    letterbox = Letterbox((40, 20), (32, 32))
    image = np.random.default_rng(1).integers(0, 256, (20, 40, 3), np.uint8)
    batch = np.full((3, 32, 32, 3), 7, np.uint8)
    assert np.shares_memory(letterbox.apply(image, batch[1]), batch)
    np.testing.assert_array_equal(batch[1], letterbox.apply(image))
    assert (batch[[0, 2]] == 7).all()


@pytest.mark.parametrize(
    ("image", "out", "complaint"),
    [
        (((40, 20, 3), np.uint8), None, r"made for uint8 \(20, 40, 3\), not"),
        (((20, 40), np.uint8), None, "made for uint8"),
        (((20, 40, 3), np.float32), None, "made for uint8"),
        (((20, 40, 3), np.uint8), ((32, 31, 3), np.uint8), r"out must be uint8 \(32, 32, 3\), not"),
        (((20, 40, 3), np.uint8), ((32, 32, 3), np.float32), "out must be uint8"),
    ],
)
def test_an_array_that_does_not_fit_is_refused(image, out, complaint):
    with pytest.raises(InvalidInputError, match=complaint):
        Letterbox((40, 20), (32, 32)).apply(np.zeros(*image), None if out is None else np.zeros(*out))


@pytest.mark.parametrize(("source_size", "input_size"), [((0, 5), (5, 5)), ((5, 5), (5, -1))])
def test_a_size_without_pixels_is_refused(source_size, input_size):
    with pytest.raises(InvalidInputError, match="sizes must be positive"):
        Letterbox(source_size, input_size)
