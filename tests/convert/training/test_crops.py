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
    crops = draw(drawn, 160, 1, 60)
    boxes = np.concatenate([crop.xyxy for crop in crops])
    light = [crop.image.max() for crop in crops]
    for crop, again in zip(crops, draw(drawn, 160, 1, 60), strict=True):
        assert np.array_equal(crop.image, again.image)
    scales = (boxes[:, 2] - boxes[:, 0]) / 20
    assert 0.5 <= scales.min() < 0.65
    assert 1.25 < scales.max() <= 1.55
    assert boxes[:, 0].std() > 5
    assert min(light) < 160
    assert max(light) == 255


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


def test_partners_share_an_identity_and_are_near_in_time():
    drawn = white_boxes((96, 160), [(60, 30, 80, 70)])
    images = [replace(drawn, identity=np.array([n // 6]), time_s=n % 6 / 2) for n in range(12)]
    images.append(replace(drawn, identity=np.array([9]), time_s=0.0))
    images += [drawn, drawn]  # of no sequence
    for index, expected in ((0, {1, 2, 3, 4}), (5, {1, 2, 3, 4}), (6, {7, 8, 9, 10}), (12, {12}), (13, {13})):
        partners = {draw_partner(images, index, np.random.default_rng(seed)) for seed in range(60)}
        assert partners == expected
