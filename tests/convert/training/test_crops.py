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


def test_unlabelled_crops_are_those_of_their_seed():
    noise = tuple(np.random.default_rng(0).integers(0, 255, (3, 80, 90, 3), np.uint8))

    first = draw_crops(noise, (64, 64), 32, 4, (0, 5))

    assert np.array_equal(first, draw_crops(noise, (64, 64), 32, 4, (0, 5)))
    assert not np.array_equal(first, draw_crops(noise, (64, 64), 32, 4, (0, 6)))
    assert not np.array_equal(first, draw_crops(noise, (64, 64), 32, 4, (1, 5)))
    assert not np.array_equal(first[0], first[1])


def test_unlabelled_crops_hold_the_image_at_its_scale_and_grey_around_it():
    ramp = np.repeat(np.linspace(0, 250, 64).astype(np.uint8)[None, :, None], 64, axis=0).repeat(3, axis=2)
    slopes = np.array(
        [
            np.diff(draw_crops([ramp], (64, 64), 32, 1, (0, step))[0][16, :, 0].astype(float)).mean()
            for step in range(40)
        ]
    )
    scales = 250 / 64 / np.abs(slopes)
    assert 0.65 < scales.min() < 0.85
    assert 1.25 < scales.max() < 1.55
    assert 10 < (slopes < 0).sum() < 30

    inside = [(draw_crops([ramp], (64, 64), 128, 1, (0, step))[0] != 128).any(axis=2) for step in range(10)]
    assert all(0.4 * 64**2 < mask.sum() < 1.6**2 * 64**2 for mask in inside)
    assert len({bounds(mask)[1] for mask in inside}) > 3


@pytest.mark.parametrize("stretched", [False, True])
def test_a_box_goes_with_its_pixels(stretched):
    drawn = white_boxes((100, 100) if stretched else (96, 160), [(30, 20, 50, 70)], stretched=stretched)
    seen = 0
    for step in range(60):
        [crop] = draw_labelled_crops([drawn], SIZE, 96, 1, (0, step))
        if not len(crop.xyxy):
            continue
        seen += 1
        # Value is at least halved: white stays apart from the border.
        bright = crop.image[..., 0].astype(int)
        found = bounds((bright > 60) & (bright != 128))
        assert np.abs(found - np.clip(crop.xyxy[0], 0, 96)).max() <= 2
    assert seen > 20


def test_scales_places_and_light_vary_and_the_same_seed_draws_the_same():
    drawn = white_boxes((96, 160), [(60, 30, 80, 70)])
    widths, lefts, light = [], [], []
    for step in range(60):
        [crop] = draw_labelled_crops([drawn], SIZE, 160, 1, (1, step))
        [again] = draw_labelled_crops([drawn], SIZE, 160, 1, (1, step))
        assert np.array_equal(crop.image, again.image)
        widths += (crop.xyxy[:, 2] - crop.xyxy[:, 0]).tolist()
        lefts += crop.xyxy[:, 0].tolist()
        light.append(crop.image.max())
    assert 0.5 <= min(widths) / 20 < 0.65
    assert 1.25 < max(widths) / 20 <= 1.55
    assert np.std(lefts) > 5
    assert min(light) < 160
    assert max(light) == 255


def test_squeezed_images_are_widened_again():
    drawn = white_boxes((90, 90), [(40, 40, 50, 50)], stretched=True)
    aspects = []
    for step in range(40):
        [crop] = draw_labelled_crops([drawn], SIZE, 160, 1, (2, step))
        sides = crop.xyxy[:, 2:] - crop.xyxy[:, :2]
        aspects += (sides[:, 0] / sides[:, 1]).tolist()
    assert 1.25 < min(aspects) < 1.45
    assert 1.65 < max(aspects) < 1.85

    whole = letterbox_labelled(drawn, SIZE)
    width, height = (whole.xyxy[:, 2:] - whole.xyxy[:, :2])[0]
    assert width / height == pytest.approx((4 / 3 + 16 / 9) / 2, abs=0.02)
    assert np.abs(bounds(whole.image.min(axis=2) > 160) - whole.xyxy[0]).max() <= 1


def test_a_whole_image_is_seen_as_in_use():
    crop = letterbox_labelled(white_boxes((200, 200), [(50, 100, 100, 180)]), SIZE)

    assert crop.image.shape == (96, 160, 3)
    assert crop.xyxy[0] == pytest.approx([32 + 24, 48, 32 + 48, 86.4], abs=0.01)
    assert np.abs(bounds(crop.image.min(axis=2) > 160) - crop.xyxy[0]).max() <= 1
    assert crop.image[0, 0].tolist() == [128, 128, 128]


def test_boxes_with_their_centre_outside_are_left_out_and_tiny_ones_are_ignored():
    boxes = [(0, 0, 10, 20), (100, 50, 102, 60), (60, 30, 80, 70)]
    drawn = white_boxes((96, 160), boxes, ignore=[False, False, True])

    whole = letterbox_labelled(drawn, SIZE)
    assert whole.identity.tolist() == [0, 1, 2]
    assert whole.ignore.tolist() == [False, True, True]
    kept = set()
    for step in range(40):
        [crop] = draw_labelled_crops([drawn], SIZE, 64, 1, (3, step))
        centres = (crop.xyxy[:, :2] + crop.xyxy[:, 2:]) / 2
        assert ((centres >= 0) & (centres < 64)).all()
        kept.add(tuple(crop.identity.tolist()))
    assert {(2,), ()} <= kept


def test_pairs_show_a_place_twice():
    shown = [[(100 + 4 * n, 60, 130 + 4 * n, 120), (200 - 4 * n, 80, 220 - 4 * n, 140)] for n in range(12)]
    images = [replace(white_boxes((192, 320), boxes), time_s=n / 2) for n, boxes in enumerate(shown)]
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
