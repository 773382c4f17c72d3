"""What is drawn."""

from concurrent.futures import ThreadPoolExecutor
from random import Random

import numpy as np
import pytest

from edge_fairmot.benchmarks.street import Street, StreetOptions
from edge_fairmot.benchmarks.street.facade import invent_house
from edge_fairmot.benchmarks.street.houses import _draw_front


def test_people_stand_out_from_the_empty_street_where_the_truth_says(streets):
    street = streets(size=(640, 360))
    picture, truth = street.image(100), street.truth(100)
    changed = np.abs(picture.astype(int) - street._backdrop.image).max(axis=2) > 12
    inside = np.zeros_like(changed)
    for left, top, right, bottom in truth.xyxy:
        rows, columns = slice(max(int(top), 0), int(bottom) + 1), slice(max(int(left), 0), int(right) + 1)
        inside[rows, columns] = True
    for (left, top, right, bottom), visibility in zip(truth.xyxy, truth.visibility, strict=True):
        if visibility > 0.9:
            assert changed[max(int(top), 0) : int(bottom), max(int(left), 0) : int(right)].mean() > 0.3
    # What else changes is shadow: darker than before, and below the horizon.
    shadow = changed & ~inside
    darker = picture.astype(int).sum(axis=2) < street._backdrop.image.astype(int).sum(axis=2)
    assert darker[shadow].mean() > 0.99


def test_every_picture_is_its_own(streets):
    street = streets()
    one = street.image(3)
    one[:] = 0
    assert street.image(3).mean() > 50


def test_clouds_change_the_light_and_nothing_else(streets):
    bright, cloudy = streets(), streets(light=1.0)
    indices = range(0, 2000, 200)
    before = np.array([bright.picture(index).mean() for index in indices])
    after = np.array([cloudy.picture(index).mean() for index in indices])
    assert np.ptp(before) < 0.05 * before.mean()
    assert np.ptp(after) > 0.2 * after.mean()
    np.testing.assert_array_equal(bright.truth(300).xyxy, cloudy.truth(300).xyxy)


@pytest.mark.parametrize("size", [(64, 64), (65, 301), (801, 67)])
def test_odd_sizes_are_drawn(size):
    street = Street(StreetOptions(size=size, people=8, shake=5.0, light=0.5))
    for index in (0, 33):
        assert street.image(index).shape == (size[1], size[0], 3)
        assert street.image(index).dtype == np.uint8
        street.truth(index)


def test_several_threads_may_ask(streets):
    street = Street(StreetOptions(size=(320, 180)))
    indices = [0, 2500, 1, 2, 40]
    with ThreadPoolExecutor(4) as pool:
        pictures = list(pool.map(street.image, indices))
        truths = list(pool.map(street.truth, indices))
    for index, picture, truth in zip(indices, pictures, truths, strict=True):
        np.testing.assert_array_equal(picture, streets().picture(index))
        np.testing.assert_array_equal(truth.xyxy, streets().truth(index).xyxy)


def test_a_house_is_drawn_alike_over_whatever_the_memory_held(monkeypatch):
    """Edges are blended with what is under them."""
    fronts = []
    for left_there in (0, 255):
        monkeypatch.setattr(np, "empty", lambda shape, dtype, held=left_there: np.full(shape, held, dtype))
        fronts.append(_draw_front(invent_house(Random(5), "CAFE", floors=0, width=5.6), 8.9043))
    np.testing.assert_array_equal(*fronts)
