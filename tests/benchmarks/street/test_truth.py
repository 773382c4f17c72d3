"""The truth about a street is the same everywhere, exact, and what the picture shows."""

import hashlib

import numpy as np
import pytest

from edge_fairmot.benchmarks.street import Street, StreetOptions
from edge_fairmot.benchmarks.street.plan import WALL_M
from edge_fairmot.benchmarks.street.scene import HALF_COVERED

FRAMES = (0, 130, 477)

EDGE_PX = 1.0
"""An outline that covers less than half of its outermost pixels leaves them to the background."""

VISIBILITY_TOLERANCE = 0.07
"""Half-covered pixels at the edge between two things may be counted for either."""


def test_the_same_seed_is_the_same_street_on_every_machine(streets):
    street = streets(seed=3, shake=1.0)
    digest = hashlib.sha256()
    for index in FRAMES:
        truth = street.truth(index)
        digest.update(truth.ids.tobytes())
        digest.update(np.round(truth.xyxy.astype(np.float64), 1).tobytes())
    assert digest.hexdigest()[:16] == "3ececc82f9afaf6b"


def assert_same(one, other):
    for name in ("ids", "xyxy", "visibility", "feet"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_frames_do_not_depend_on_what_was_asked_before(streets):
    forward, backward = streets(), Street(StreetOptions(size=(320, 180)))
    indices = (0, 40, 3000, 41)  # two minutes on, and back to what was forgotten
    pictures = {index: forward.picture(index) for index in indices}
    truths = {index: forward.truth(index) for index in indices}
    for index in reversed(indices):
        assert_same(backward.truth(index), truths[index])
        np.testing.assert_array_equal(backward.picture(index), pictures[index])


def test_another_seed_is_another_street(streets):
    one, other = streets(seed=0), streets(seed=1)
    assert not np.array_equal(one.truth(0).xyxy, other.truth(0).xyxy)
    assert np.abs(one.picture(0).astype(int) - other.picture(0)).mean() > 10


def test_a_larger_picture_shows_the_same_people(streets):
    small, large = streets().truth(200), streets(size=(640, 360)).truth(200)
    shared, in_small, in_large = np.intersect1d(small.ids, large.ids, return_indices=True)
    assert len(shared) > 20
    np.testing.assert_allclose(2 * small.xyxy[in_small], large.xyxy[in_large], atol=0.01)
    np.testing.assert_allclose(2 * small.feet[in_small], large.feet[in_large], atol=0.01)


def test_a_faster_camera_sees_the_same_walks(streets):
    assert_same(streets().truth(50), streets(fps=50.0).truth(100))


def test_boxes_fit_what_is_drawn(streets):
    street = streets(size=(960, 540))
    checked = 0
    for index in FRAMES:
        for figure in street._figures(index / street.options.fps):
            rows, columns = np.nonzero(figure.image[:, :, 3] >= HALF_COVERED)
            drawn = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            drawn = np.add(drawn, (figure.left, figure.top) * 2)
            assert np.abs(drawn - figure.xyxy).max() <= EDGE_PX, figure
            checked += 1
    assert checked > 60


def labels_by_painter(street, index):
    """Who is seen in each pixel, painting everything from the farthest on; and who would be alone."""
    width, height = street.options.size
    label = np.zeros((height, width), int)
    figures = street._figures(index / street.options.fps)
    alone = {}

    def paint(number, left, top, alpha):
        pad = 1000
        mask = np.zeros((height + 2 * pad, width + 2 * pad), bool)
        high, wide = alpha.shape
        mask[pad + top : pad + top + high, pad + left : pad + left + wide] = alpha >= HALF_COVERED
        label[mask[pad:-pad, pad:-pad]] = number
        return mask.sum()

    items = [
        (figure.z, figure.walker.identity, figure.left, figure.top, figure.image[:, :, 3])
        for figure in figures
    ]
    items += [(cover.depth, 0, cover.left, cover.top, cover.alpha) for cover in street._backdrop.covers]
    for _, number, left, top, alpha in sorted(items, key=lambda item: -item[0]):
        alone[number] = paint(number, left, top, alpha)
    return label, alone


def test_visibility_is_the_share_of_the_body_that_is_seen(streets):
    street = streets(size=(640, 360))
    for index in FRAMES:
        label, alone = labels_by_painter(street, index)
        truth = street.truth(index)
        expected = [(label == number).sum() / alone[number] for number in truth.ids.tolist()]
        np.testing.assert_allclose(truth.visibility, expected, atol=VISIBILITY_TOLERANCE)
        assert np.abs(truth.visibility - expected).mean() < VISIBILITY_TOLERANCE / 5
        assert truth.visibility.min() < 0.2
        assert truth.visibility.max() > 0.97


def test_people_are_listed_from_when_they_can_be_seen(streets):
    street = streets()
    seen = set()
    for index in range(0, 500, 5):
        truth = street.truth(index)
        assert (np.diff(truth.ids) > 0).all()
        hidden = set(truth.ids[truth.visibility == 0].tolist())
        walkers = {walker.identity: walker for walker in street._crowd.at(index / 25)}
        assert all(abs(walkers[identity].place(index / 25)[0]) < WALL_M for identity in hidden)
        seen |= set(truth.ids.tolist()) - hidden
        left, top, right, bottom = truth.xyxy.T
        assert ((right > 0) & (bottom > 0) & (left < 320) & (top < 180)).all()
        # The place of the body is under it.
        assert ((truth.feet[:, 0] > left) & (truth.feet[:, 0] < right)).all()
        assert np.abs(truth.feet[:, 1] - bottom).max() < 0.05 * (bottom - top).max()
    assert len(seen) > 40


def test_wind_moves_people_and_houses_together(streets):
    cv2 = pytest.importorskip("cv2")
    still, shaken = streets(size=(480, 270)), streets(size=(480, 270), shake=2.0)
    furthest = 0.0
    for index in (10, 25, 60):
        before, after = still.truth(index), shaken.truth(index)
        both, one, other = np.intersect1d(before.ids, after.ids, return_indices=True)
        moved = after.xyxy[other] - before.xyxy[one]
        assert len(both) > 20
        assert np.ptp(moved, axis=0).max() < 1e-3
        pictures = [cv2.cvtColor(street.image(index), cv2.COLOR_BGR2GRAY) for street in (still, shaken)]
        shift, _ = cv2.phaseCorrelate(*(picture.astype(np.float32) for picture in pictures))
        np.testing.assert_allclose(moved[0, :2], shift, atol=0.25)
        furthest = max(furthest, float(np.abs(moved).max()))
    assert 1.0 < furthest <= 0.02 * 270 + 1e-3
