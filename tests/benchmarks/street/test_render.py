"""Images and ground truth: equal for equal options, exact, and of one scene."""

import hashlib
import math
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from random import Random

import cv2
import numpy as np
import pytest

from edge_fairmot.benchmarks.street import Street, StreetOptions
from edge_fairmot.benchmarks.street.houses import draw_front, invent_house
from edge_fairmot.benchmarks.street.plan import WALL_M, Crowd, furnish
from edge_fairmot.benchmarks.street.render import HALF_COVERED, SpriteCache
from edge_fairmot.benchmarks.street.shapes import Camera

FRAMES = (0, 130, 477)
EDGE_PX = 1.0  # an outline that covers less than half of its outermost pixels leaves them to the background
VISIBILITY_TOLERANCE = 0.07  # half-covered pixels between two people may be counted for either


@cache
def small_street(**options):
    return Street(StreetOptions(**{"size": (320, 180), **options}))


def assert_same(one, other):
    for name in ("ids", "xyxy", "visibility", "foot_points"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_ground_truth_is_the_same_on_every_machine():
    street = small_street(seed=3, shake=1.0)
    digest = hashlib.sha256()
    for index in FRAMES:
        truth = street.truth(index)
        digest.update(truth.ids.tobytes())
        digest.update(np.round(truth.xyxy.astype(np.float64), 1).tobytes())
    assert digest.hexdigest()[:16] == "3ececc82f9afaf6b"


def test_frames_depend_neither_on_earlier_ones_nor_on_the_thread():
    forward, other = small_street(), Street(StreetOptions(size=(320, 180)))
    indices = (0, 40, 3000, 41)  # two minutes on, and back to people who were forgotten
    frames = [forward.frame(index) for index in indices]
    for index, (image, truth) in reversed(list(zip(indices, frames, strict=True))):
        assert_same(other.truth(index), truth)
        np.testing.assert_array_equal(other.image(index), image)
    with ThreadPoolExecutor(4) as pool:
        for (image, truth), expected in zip(pool.map(other.frame, indices), frames, strict=True):
            np.testing.assert_array_equal(image, expected[0])
            assert_same(truth, expected[1])


def test_size_and_frame_rate_do_not_change_the_walks():
    assert_same(small_street().truth(50), small_street(fps=50.0).truth(100))
    small, large = small_street().truth(200), small_street(size=(640, 360)).truth(200)
    shared, in_small, in_large = np.intersect1d(small.ids, large.ids, return_indices=True)
    assert len(shared) > 20
    for name in ("xyxy", "foot_points"):
        both = 2 * getattr(small, name)[in_small], getattr(large, name)[in_large]
        np.testing.assert_allclose(*both, atol=0.01)


def test_boxes_fit_the_drawn_bodies():
    street = small_street(size=(960, 540))
    figures = [figure for index in FRAMES for figure in street.figures(index / street.options.fps)]
    assert len(figures) > 60
    for figure in figures:
        rows, columns = np.nonzero(figure.image[:, :, 3] >= HALF_COVERED)
        drawn = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert np.abs(np.add(drawn, (figure.left, figure.top) * 2) - figure.xyxy).max() <= EDGE_PX, figure


def paint_labels(street, index):
    """Identity in each pixel, by painting all from the farthest on, and the pixels of each body alone."""
    width, height = street.options.size
    pad = 1000
    label = np.zeros((height + 2 * pad, width + 2 * pad), int)
    alone = {}
    items = [
        (figure.z, figure.person.identity, figure.left, figure.top, figure.image[:, :, 3])
        for figure in street.figures(index / street.options.fps)
    ]
    items += [(cover.depth, 0, cover.left, cover.top, cover.alpha) for cover in street._backdrop.covers]
    for _, number, left, top, alpha in sorted(items, key=lambda item: -item[0]):
        solid = alpha >= HALF_COVERED
        alone[number] = solid.sum()
        label[pad + top :, pad + left :][: len(alpha), : alpha.shape[1]][solid] = number
    return label[pad:-pad, pad:-pad], alone


def test_visibility_is_the_share_of_the_body_in_view():
    street = small_street(size=(640, 360))
    for index in FRAMES:
        label, alone = paint_labels(street, index)
        truth = street.truth(index)
        expected = [(label == number).sum() / alone[number] for number in truth.ids.tolist()]
        np.testing.assert_allclose(truth.visibility, expected, atol=VISIBILITY_TOLERANCE)
        assert np.abs(truth.visibility - expected).mean() < VISIBILITY_TOLERANCE / 5
        assert truth.visibility.min() < 0.2
        assert truth.visibility.max() > 0.97


def test_people_are_listed_while_they_are_on_the_street():
    street = small_street()
    seen = set()
    for index in range(0, 500, 10):
        truth = street.truth(index)
        assert (np.diff(truth.ids) > 0).all()
        hidden = set(truth.ids[truth.visibility == 0].tolist())
        people = {person.identity: person for person in street._crowd.at(index / 25)}
        assert all(abs(people[identity].place(index / 25)[0]) < WALL_M for identity in hidden)
        seen |= set(truth.ids.tolist()) - hidden
        left, top, right, bottom = truth.xyxy.T
        assert ((right > 0) & (bottom > 0) & (left < 320) & (top < 180)).all()
        # The foot point is under the body.
        assert ((truth.foot_points[:, 0] > left) & (truth.foot_points[:, 0] < right)).all()
        assert np.abs(truth.foot_points[:, 1] - bottom).max() < 0.05 * (bottom - top).max()
    assert len(seen) > 40


def overlap(one, other):
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    return np.prod(np.maximum(sides, 0)) / min(np.prod(one[2:] - one[:2]), np.prod(other[2:] - other[:2]))


@pytest.mark.parametrize("seed", [0, 1])
def test_the_street_is_as_hard_as_when_it_was_designed(seed):
    street = small_street(seed=seed)
    crowd = Crowd(seed, street.options.people, Camera(street.options.size), furnish(seed))
    truths = {index: street.truth(index) for index in range(0, 500, 10)}
    assert min((truth.visibility > 0).sum() for truth in truths.values()) >= 20
    visibility = np.concatenate([truth.visibility for truth in truths.values()])
    assert (visibility[visibility > 0] < 0.7).mean() >= 0.3
    whole = np.concatenate([truth.xyxy[truth.visibility > 0.7] for truth in truths.values()])
    heights = whole[:, 3] - whole[:, 1]
    low, high = np.quantile(heights, [0.02, 0.98])
    assert high > 3.5 * low
    assert heights.max() > 4 * heights.min()
    crossings = set()  # pairs of people in the same clothes, one before the other
    for index, truth in truths.items():
        outfit = {person.identity: person.outfit for person in crowd.at(index / 25)}
        for row, one in enumerate(truth.ids.tolist()):
            for column, other in enumerate(truth.ids[:row].tolist()):
                if outfit[one] == outfit[other] and overlap(truth.xyxy[row], truth.xyxy[column]) > 0.2:
                    crossings.add((one, other))
    assert len(crossings) >= 3


def test_wind_moves_people_and_houses_together():
    still, shaken = small_street(size=(480, 270)), small_street(size=(480, 270), shake=2.0)
    farthest = 0.0
    for index in (10, 25, 60):
        before, after = still.truth(index), shaken.truth(index)
        both, one, other = np.intersect1d(before.ids, after.ids, return_indices=True)
        moved = after.xyxy[other] - before.xyxy[one]
        assert len(both) > 20
        assert np.ptp(moved, axis=0).max() < 1e-3
        grey = [cv2.cvtColor(street.image(index), cv2.COLOR_BGR2GRAY) for street in (still, shaken)]
        shift, _ = cv2.phaseCorrelate(*(image.astype(np.float32) for image in grey))
        np.testing.assert_allclose(moved[0, :2], shift, atol=0.25)
        farthest = max(farthest, float(np.abs(moved).max()))
    assert 1.0 < farthest <= 0.02 * 270 + 1e-3


def test_people_stand_out_where_the_ground_truth_is():
    street = small_street(size=(640, 360))
    image, truth = street.frame(100)
    empty = street._backdrop.image.astype(int)
    changed = np.abs(image - empty).max(axis=2) > 12
    inside = np.zeros_like(changed)
    for (left, top, right, bottom), visibility in zip(truth.xyxy, truth.visibility, strict=True):
        place = slice(max(int(top), 0), int(bottom) + 1), slice(max(int(left), 0), int(right) + 1)
        inside[place] = True
        assert visibility <= 0.9 or changed[place].mean() > 0.3
    # All other changes are shadows.
    darker = image.astype(int).sum(axis=2) < empty.sum(axis=2)
    assert darker[changed & ~inside].mean() > 0.99


def test_clouds_change_the_light_and_nothing_else():
    bright, cloudy = small_street(), small_street(light=1.0)
    before, after = (
        np.array([street.image(index).mean() for index in range(0, 2000, 250)]) for street in (bright, cloudy)
    )
    assert np.ptp(before) < 0.05 * before.mean()
    assert np.ptp(after) > 0.2 * after.mean()
    assert_same(bright.truth(300), cloudy.truth(300))


def test_a_house_does_not_depend_on_memory_that_was_used_before(monkeypatch):
    """The edges of a front are blended with the pixels under them."""
    fronts = []
    for left_over in (0, 255):
        monkeypatch.setattr(np, "empty", lambda shape, dtype, held=left_over: np.full(shape, held, dtype))
        fronts.append(draw_front(invent_house(Random(5), "CAFE", floors=0, width=5.6), 8.9043))
    np.testing.assert_array_equal(*fronts)


def test_the_sprite_cache_is_bounded_and_draws_again(monkeypatch):
    monkeypatch.setattr("edge_fairmot.benchmarks.street.render.SPRITE_CACHE_BYTES", 200_000)
    camera = Camera((960, 540))
    cache, person = SpriteCache(camera), Crowd(0, 10, camera, furnish(0)).at(0.0)[0]
    first = cache.get(person, 0.0, (0.0, 1.0), 100.0)
    assert cache.get(person, 0.0, (0.0, 1.0), 100.0) is first
    for step in range(20):
        cache.get(person, 0.0, (step * math.tau / 20 + 0.01, 1.0), 100.0)
    assert sum(sprite.image.nbytes for sprite in cache._sprites.values()) <= 200_000
    np.testing.assert_array_equal(cache.get(person, 0.0, (0.0, 1.0), 100.0).image, first.image)
