"""Crops: boxes stay on their pixels, and the same seed draws the same."""

from dataclasses import replace

import numpy as np
import pytest

from edge_fairmot.convert.training.crops import (
    draw_crops,
    draw_labelled_crops,
    draw_partner,
    letterbox_labelled,
)

from .conftest import make_image

SIZE = (160, 96)


def white_boxes(shape, boxes, **more):
    """White boxes, given in pixels, on black."""
    pixels = np.zeros((*shape, 3), np.uint8)
    for x1, y1, x2, y2 in boxes:
        pixels[y1:y2, x1:x2] = 255
    return make_image(pixels, boxes, **more)


def bounds(mask):
    ys, xs = np.nonzero(mask)
    return np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])


def draw(image, crop_size, seed, count):
    """Draw single crops of successive steps."""
    return [draw_labelled_crops([image], SIZE, crop_size, 1, (seed, step))[0] for step in range(count)]


def test_unlabelled_crops_are_those_of_their_seed():
    noise = tuple(np.random.default_rng(0).integers(0, 255, (3, 80, 90, 3), np.uint8))
    first, again, later, other = (
        draw_crops(noise, (64, 64), 32, 4, seed) for seed in ((0, 5), (0, 5), (0, 6), (1, 5))
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, later)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first[0], first[1])


def test_unlabelled_crops_hold_the_image_at_its_scale_and_grey_around_it():
    ramp = np.repeat(np.linspace(0, 250, 64).astype(np.uint8)[None, :, None], 64, axis=0).repeat(3, axis=2)
    small, large = (
        [draw_crops([ramp], (64, 64), side, 1, (0, step))[0] for step in range(40)] for side in (32, 128)
    )
    slopes = np.array([np.diff(crop[16, :, 0].astype(float)).mean() for crop in small])
    scales = 250 / 64 / np.abs(slopes)
    assert 0.65 < scales.min() < 0.85
    assert 1.25 < scales.max() < 1.55
    assert 10 < (slopes < 0).sum() < 30
    inside = [(crop != 128).any(axis=2) for crop in large]
    assert all(0.4 * 64**2 < mask.sum() < 1.6**2 * 64**2 for mask in inside)
    assert len({bounds(mask)[1] for mask in inside}) > 3


@pytest.mark.parametrize("stretched", [False, True])
def test_a_box_goes_with_its_pixels(stretched):
    shape = (100, 100) if stretched else (96, 160)
    crops = draw(white_boxes(shape, [(30, 20, 50, 70)], stretched=stretched), 96, 0, 60)
    seen = [crop for crop in crops if len(crop.xyxy)]
    for crop in seen:
        # Value is at least halved: white stays apart from the border.
        bright = crop.image[..., 0].astype(int)
        found = bounds((bright > 60) & (bright != 128))
        assert np.abs(found - np.clip(crop.xyxy[0], 0, 96)).max() <= 2
    assert len(seen) > 20


def test_scales_places_and_light_vary_and_the_same_seed_draws_the_same():
    drawn = white_boxes((96, 160), [(60, 30, 80, 70)])
    crops = draw(drawn, 80, 1, 80)
    boxes = np.concatenate([crop.xyxy for crop in crops])
    light = [crop.image.max() for crop in crops]
    for crop, again in zip(crops, draw(drawn, 80, 1, 80), strict=True):
        assert np.array_equal(crop.image, again.image)
    scales = (boxes[:, 2] - boxes[:, 0]) / 20
    # At least 0.6 of the crop's height is filled, and pixels are doubled at most.
    assert 0.5 <= scales.min() < 0.65
    assert 1.9 < scales.max() <= 2.05
    assert boxes[:, 0].std() > 5
    assert min(light) < 160
    assert max(light) == 255


def test_people_have_the_heights_that_cameras_show_and_most_crops_show_one():
    pixels, box = np.zeros((480, 640, 3), np.uint8), (600, 300, 630, 380)
    crops = [
        draw_labelled_crops([make_image(pixels, [box])], (640, 480), 320, 1, (6, step))[0]
        for step in range(200)
    ]
    heights = np.array([crop.xyxy[0, 3] - crop.xyxy[0, 1] for crop in crops if len(crop.xyxy)])
    assert len(heights) > 0.7 * 200
    assert heights.min() < 40
    assert 150 < heights.max() < 170
    # Half of the scales are those of use, 40 to 120 pixels here; the others go beyond.
    assert 0.05 < (heights > 125).mean() < 0.3


def test_a_mosaic_shows_four_images_whose_boxes_end_at_their_edges():
    colours = ((0, 0, 200), (0, 200, 0), (200, 0, 0), (0, 200, 200))
    images = [
        make_image(np.full((96, 160, 3), colour, np.uint8), [(2, 2, 158, 94)], identity=[n])
        for n, colour in enumerate(colours)
    ]
    images[0] = replace(images[0], embedding=np.ones((1, 3), np.float32))
    shown = []
    for step in range(20):
        crop = draw_labelled_crops(images, SIZE, 96, 1, (7, step), mosaics=1.0)[0]
        assert (crop.xyxy >= 0).all()
        assert (crop.xyxy <= 96).all()
        # The teacher saw the first image only.
        assert crop.embedding is None or (crop.embedding.any(axis=1) == (crop.identity == 0)).all()
        for identity, (x1, y1, x2, y2) in zip(crop.identity, crop.xyxy.round().astype(int), strict=True):
            inside = crop.image[y1 + 2 : y2 - 2, x1 + 2 : x2 - 2].reshape(-1, 3)
            mean = inside.mean(axis=0)  # saturation is at least halved
            assert (mean > 0.75 * mean.max()).tolist() == [c > 0 for c in colours[identity]]
        shown.append(len(crop.identity))
    assert max(shown) == 4


def test_squeezed_images_are_widened_again():
    drawn = white_boxes((90, 90), [(40, 40, 50, 50)], stretched=True)
    boxes = np.concatenate([crop.xyxy for crop in draw(drawn, 160, 2, 40)])
    aspects = (boxes[:, 2] - boxes[:, 0]) / (boxes[:, 3] - boxes[:, 1])
    assert 1.25 < aspects.min() < 1.45
    assert 1.65 < aspects.max() < 1.85

    x1, y1, x2, y2 = letterbox_labelled(drawn, SIZE).xyxy[0]
    assert (x2 - x1) / (y2 - y1) == pytest.approx((4 / 3 + 16 / 9) / 2, abs=0.02)


@pytest.mark.parametrize("stretched", [False, True])
def test_a_whole_image_is_seen_as_in_use(stretched):
    crop = letterbox_labelled(white_boxes((200, 200), [(50, 100, 100, 180)], stretched=stretched), SIZE)

    assert crop.image.shape == (96, 160, 3)
    assert stretched or crop.xyxy[0] == pytest.approx([32 + 24, 48, 32 + 48, 86.4], abs=0.01)
    assert np.abs(bounds(crop.image.min(axis=2) > 160) - crop.xyxy[0]).max() <= 1
    assert crop.image[0, 0].tolist() == [128, 128, 128]


def test_boxes_with_their_centre_outside_are_left_out_and_tiny_ones_are_ignored():
    boxes = [(0, 0, 10, 20), (100, 50, 102, 60), (60, 30, 80, 70)]
    drawn = white_boxes((96, 160), boxes, ignore=[False, False, True])

    whole, crops = letterbox_labelled(drawn, SIZE), draw(drawn, 64, 3, 40)

    assert whole.identity.tolist() == [0, 1, 2]
    assert whole.ignore.tolist() == [False, True, True]
    assert {(2,), ()} <= {tuple(crop.identity.tolist()) for crop in crops}
    centres = np.concatenate([(crop.xyxy[:, :2] + crop.xyxy[:, 2:]) / 2 for crop in crops])
    assert ((centres >= 0) & (centres < 64)).all()


def test_pairs_show_a_place_twice():
    shown = [[(100 + 4 * n, 60, 130 + 4 * n, 120), (200 - 4 * n, 80, 220 - 4 * n, 140)] for n in range(12)]
    images = [white_boxes((192, 320), boxes, time_s=n / 2) for n, boxes in enumerate(shown)]
    seen = again = 0
    for step in range(60):
        crops = draw_labelled_crops(images, (320, 192), 96, 4, (5, step), pairs=True)
        for first, second in zip(crops[:2], crops[2:], strict=True):
            seen += len(first.identity)
            again += len(np.intersect1d(first.identity, second.identity))
    assert seen > 50
    # Scales differ and people walk: those at the edge may not be in the other crop.
    assert again > 0.65 * seen


def test_single_images_of_a_teacher_are_not_shown_twice():
    drawn = white_boxes((96, 160), [(60, 30, 80, 70)])
    images = [
        replace(drawn, identity=np.array([n]), embedding=np.ones((1, 2), np.float32)) for n in range(50)
    ]
    same = 0
    for step in range(40):
        one, other = draw_labelled_crops(images, (160, 96), 160, 2, (5, step), pairs=True)
        same += one.identity.tolist() == other.identity.tolist()
    assert same < 8


def test_partners_share_an_identity_and_are_near_in_time():
    drawn = white_boxes((96, 160), [(60, 30, 80, 70)])
    images = [replace(drawn, identity=np.array([n // 6]), time_s=n % 6 / 2) for n in range(12)]
    images.append(replace(drawn, identity=np.array([9]), time_s=0.0))
    images += [drawn, drawn]  # of no sequence
    for index, expected in ((0, {1, 2, 3, 4}), (5, {1, 2, 3, 4}), (6, {7, 8, 9, 10}), (12, {12}), (13, {13})):
        partners = {draw_partner(images, index, np.random.default_rng(seed)) for seed in range(60)}
        assert partners == expected
