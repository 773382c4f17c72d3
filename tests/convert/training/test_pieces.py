"""Boxes stay on the people they are about, however a piece is cut."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the convert extra")

from edge_fairmot.convert.training import LabelledPicture  # noqa: E402
from edge_fairmot.convert.training.pieces import _draw_partner, draw_pieces, fit_piece  # noqa: E402

SIZE = (160, 96)


def picture(shape, boxes, stretched=False, counted=None):
    """White boxes, given in pixels, on black."""
    height, width = shape
    image = np.zeros((height, width, 3), np.uint8)
    for x1, y1, x2, y2 in boxes:
        image[y1:y2, x1:x2] = 255
    xyxy = np.array(boxes, np.float32).reshape(-1, 4) / (width, height, width, height)
    return LabelledPicture(
        "drawn",
        cv2.imencode(".png", image)[1].tobytes(),
        xyxy.astype(np.float32),
        np.arange(len(boxes)),
        np.ones(len(boxes), bool) if counted is None else np.array(counted),
        stretched,
    )


def white(image):
    """Box around what is white."""
    ys, xs = np.nonzero(image.min(axis=2) > 160)
    return np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])


@pytest.mark.parametrize("stretched", [False, True])
def test_a_box_goes_with_its_pixels(stretched):
    drawn = picture((100, 100) if stretched else (96, 160), [(30, 20, 50, 70)], stretched)
    seen = 0
    for step in range(60):
        [piece] = draw_pieces([drawn], SIZE, 96, 1, (0, step))
        if not len(piece.xyxy):
            continue
        seen += 1
        # Value is at least halved: what is white stays brighter than the border.
        bright = piece.image[..., 0].astype(int)
        ys, xs = np.nonzero((bright > 60) & (bright != 128))
        found = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
        assert np.abs(found - np.clip(piece.xyxy[0], 0, 96)).max() <= 2
    assert seen > 20


def test_scales_and_sides_vary_and_the_same_seed_draws_the_same():
    drawn = picture((96, 160), [(60, 30, 80, 70)])
    widths, lefts = [], []
    for step in range(60):
        [piece] = draw_pieces([drawn], SIZE, 160, 1, (1, step))
        [again] = draw_pieces([drawn], SIZE, 160, 1, (1, step))
        assert np.array_equal(piece.image, again.image)
        widths += (piece.xyxy[:, 2] - piece.xyxy[:, 0]).tolist()
        lefts += piece.xyxy[:, 0].tolist()
    assert 0.5 <= min(widths) / 20 < 0.65
    assert 1.25 < max(widths) / 20 <= 1.55
    assert np.std(lefts) > 5


def test_a_squeezed_picture_is_widened_again():
    drawn = picture((90, 90), [(40, 40, 50, 50)], stretched=True)
    aspects = []
    for step in range(40):
        [piece] = draw_pieces([drawn], SIZE, 160, 1, (2, step))
        sides = piece.xyxy[:, 2:] - piece.xyxy[:, :2]
        aspects += (sides[:, 0] / sides[:, 1]).tolist()
    assert 1.25 < min(aspects) < 1.45
    assert 1.65 < max(aspects) < 1.85


def test_who_is_cut_off_is_left_out_and_who_is_tiny_is_not_counted():
    drawn = picture(
        (96, 160), [(0, 0, 10, 20), (100, 50, 102, 60), (60, 30, 80, 70)], counted=[True, True, False]
    )

    whole = fit_piece(drawn, SIZE)
    assert whole.identity.tolist() == [0, 1, 2]
    assert whole.counted.tolist() == [True, False, False]
    kept = {tuple(draw_pieces([drawn], SIZE, 64, 1, (3, step))[0].identity.tolist()) for step in range(40)}
    assert (2,) in kept
    assert () in kept
    for step in range(40):
        [piece] = draw_pieces([drawn], SIZE, 64, 1, (3, step))
        centres = (piece.xyxy[:, :2] + piece.xyxy[:, 2:]) / 2
        assert ((centres >= 0) & (centres < 64)).all()


def test_a_whole_picture_is_seen_as_in_use():
    piece = fit_piece(picture((200, 200), [(50, 100, 100, 180)]), SIZE)

    assert piece.image.shape == (96, 160, 3)
    assert piece.xyxy[0] == pytest.approx([32 + 24, 48, 32 + 48, 86.4], abs=0.01)
    assert np.abs(white(piece.image) - piece.xyxy[0]).max() <= 1
    assert piece.image[0, 0].tolist() == [128, 128, 128]


def test_light_changes():
    drawn = picture((96, 160), [(0, 0, 160, 96)])

    levels = [draw_pieces([drawn], SIZE, 64, 1, (4, step))[0].image.max() for step in range(20)]

    assert min(levels) < 160
    assert max(levels) == 255


def test_a_whole_picture_that_was_squeezed_is_seen_widened():
    piece = fit_piece(picture((90, 90), [(40, 40, 50, 50)], stretched=True), SIZE)

    width, height = (piece.xyxy[:, 2:] - piece.xyxy[:, :2])[0]
    assert width / height == pytest.approx((4 / 3 + 16 / 9) / 2, abs=0.02)
    assert np.abs(white(piece.image) - piece.xyxy[0]).max() <= 1


def test_pairs_show_a_place_twice():
    size, side = (320, 192), 96
    shown = [[(100 + 4 * n, 60, 130 + 4 * n, 120), (200 - 4 * n, 80, 220 - 4 * n, 140)] for n in range(12)]
    pictures = [replace(picture((192, 320), boxes), time_s=n / 2) for n, boxes in enumerate(shown)]
    seen = again = 0
    for step in range(60):
        pieces = draw_pieces(pictures, size, side, 4, (5, step), pairs=True)
        for first, second in zip(pieces[:2], pieces[2:], strict=True):
            seen += len(first.identity)
            again += len(np.intersect1d(first.identity, second.identity))
    assert seen > 50
    # Scales differ, and people walk: who stood at the edge may not be in the other picture.
    assert again > 0.65 * seen


def test_partners_share_somebody_and_are_near():
    drawn = picture((96, 160), [(60, 30, 80, 70)])
    pictures = [replace(drawn, identity=np.array([n // 6]), time_s=n % 6 / 2) for n in range(12)]
    pictures.append(replace(drawn, identity=np.array([9]), time_s=0.0))
    pictures += [drawn, drawn]  # of no sequence
    for index, expected in ((0, {1, 2, 3, 4}), (5, {1, 2, 3, 4}), (6, {7, 8, 9, 10}), (12, {12}), (13, {13})):
        partners = {_draw_partner(pictures, index, np.random.default_rng(seed)) for seed in range(60)}
        assert partners == expected
