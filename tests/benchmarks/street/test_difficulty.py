"""The street is as hard as it was set to be before anything was trained on it."""

import numpy as np
import pytest

from edge_fairmot.benchmarks.street.camera import Camera
from edge_fairmot.benchmarks.street.crowd import Crowd
from edge_fairmot.benchmarks.street.plan import furnish

LENGTH, STEP = 500, 10


@pytest.fixture(scope="module", params=[0, 1, 2])
def watched(request, streets):
    street = streets(seed=request.param)
    return street, [street.truth(index) for index in range(0, LENGTH, STEP)]


def test_at_least_twenty_people_are_in_view(watched):
    _, truths = watched
    assert min((truth.visibility > 0).sum() for truth in truths) >= 20


def test_at_least_three_in_ten_are_less_than_seven_tenths_visible(watched):
    _, truths = watched
    visibility = np.concatenate([truth.visibility for truth in truths])
    assert (visibility[visibility > 0] < 0.7).mean() >= 0.3


def test_sizes_differ_by_more_than_a_factor_of_four(watched):
    _, truths = watched
    whole = np.concatenate([truth.xyxy[truth.visibility > 0.7] for truth in truths])
    low, high = np.quantile(whole[:, 3] - whole[:, 1], [0.02, 0.98])
    assert high > 3.5 * low
    heights = whole[:, 3] - whole[:, 1]
    assert heights.max() > 4 * heights.min()


def test_lookalikes_cross(watched):
    street, truths = watched
    seed, people = street.options.seed, street.options.people
    crowd = Crowd(seed, people, Camera(street.options.size), furnish(seed))
    crossings = set()
    for place, truth in enumerate(truths):
        outfit = {walker.identity: walker.outfit for walker in crowd.at(place * STEP / street.options.fps)}
        for row, one in enumerate(truth.ids.tolist()):
            for column, other in enumerate(truth.ids[:row].tolist()):
                if outfit[one] == outfit[other] and overlap(truth.xyxy[row], truth.xyxy[column]) > 0.2:
                    crossings.add((one, other))
    assert len(crossings) >= 3


def overlap(one, other):
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    area = np.prod(np.maximum(sides, 0))
    return area / min(np.prod(one[2:] - one[:2]), np.prod(other[2:] - other[:2]))
