import numpy as np
import pytest

from edge_fairmot.errors import EdgeFairmotError, InvalidInputError
from edge_fairmot.types import Detections, Tracks


def detections(**replaced):
    arrays = {
        "xyxy": np.zeros((3, 4), np.float32),
        "score": np.zeros(3, np.float32),
        "embedding": np.zeros((3, 128), np.float32),
        "class_id": np.zeros(3, np.int64),
    }
    return Detections(**(arrays | replaced))


def test_detections_have_the_length_of_their_boxes():
    assert len(detections()) == 3


@pytest.mark.parametrize("count", [0, 1, 5])
def test_class_ids_that_are_not_given_are_zeros(count):
    made = Detections(np.zeros((count, 4), np.float32), np.zeros(count, np.float32), np.zeros((count, 2)))

    assert made.class_id.dtype == np.int64
    assert made.class_id.tolist() == [0] * count


def test_class_ids_that_are_given_are_kept():
    assert detections(class_id=np.array([2, 0, 1])).class_id.tolist() == [2, 0, 1]


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("xyxy", (3, 5)),
        ("xyxy", (4,)),
        ("xyxy", (2, 4)),
        ("xyxy", (0,)),
        ("score", (2,)),
        ("score", (3, 1)),
        ("embedding", (2, 128)),
        ("embedding", (3,)),
        ("embedding", (3, 2, 2)),
        ("class_id", (2,)),
        ("class_id", (3, 1)),
    ],
)
def test_arrays_that_disagree_are_refused_with_the_shapes_received(name, shape):
    with pytest.raises(InvalidInputError, match=r"xyxy \(N, 4\)") as caught:
        detections(**{name: np.zeros(shape)})

    assert str(shape) in str(caught.value)
    assert isinstance(caught.value, EdgeFairmotError)
    assert isinstance(caught.value, ValueError)


def test_values_cannot_be_replaced():
    with pytest.raises(AttributeError):
        detections().score = np.ones(3)


def test_tracks_have_the_length_of_their_ids():
    tracks = Tracks(
        np.array([7, 9]), np.zeros((2, 4), np.float32), np.zeros(2), np.zeros(2, int), np.zeros(2, bool)
    )

    assert len(tracks) == 2
