import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fairmot.errors import EdgeFairmotError, InvalidInputError, MissingDependencyError
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


def some_tracks(count):
    numbers = np.arange(1, count + 1)
    xyxy = np.repeat(numbers, 4).reshape(count, 4).astype(np.float32)
    return Tracks(numbers, xyxy, xyxy[:, 0] / 10, numbers % 2, numbers % 3 == 0)


@given(st.integers(0, 6), st.data())
def test_a_mask_a_slice_and_indices_select_the_same_rows_of_every_column(count, data):
    tracks = some_tracks(count)
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)), bool)
    chosen = tracks[mask]
    assert len(chosen) == mask.sum()
    assert chosen.track_id.tolist() == tracks[np.flatnonzero(mask)].track_id.tolist()
    for name in Tracks.__dataclass_fields__:
        assert getattr(chosen, name).tolist() == getattr(tracks, name)[mask].tolist()
    cut = data.draw(st.integers(0, count))
    joined = Tracks.concat([tracks[:cut], tracks[cut:]])
    for name in Tracks.__dataclass_fields__:
        assert getattr(joined, name).tobytes() == getattr(tracks, name).tobytes()


def test_a_single_number_is_no_selection_and_empty_tables_have_no_rows():
    with pytest.raises(InvalidInputError, match=r"\[1:2\]"):
        _ = some_tracks(3)[1]
    assert len(Tracks.empty()) == len(Detections.empty(8)) == 0
    assert Detections.concat([Detections.empty(128), detections()]).embedding.shape == (3, 128)


def test_tracks_and_detections_travel_to_and_from_supervision():
    supervision = pytest.importorskip("supervision", reason="needs supervision")
    box = np.float32([[1, 2, 3, 5], [4, 4, 8, 9]])
    tracks = Tracks(np.int64([7, 9]), box, np.float32([0.5, 0.75]), np.int64([0, 2]), np.array([False, True]))
    theirs = tracks.to_supervision()
    assert isinstance(theirs, supervision.Detections)
    assert (theirs.tracker_id.tolist(), theirs.class_id.tolist()) == ([7, 9], [0, 2])
    back = Detections.from_supervision(theirs)
    np.testing.assert_array_equal(back.xyxy, box)
    np.testing.assert_array_equal(back.score, tracks.score)
    assert (back.embedding.shape, back.class_id.tolist()) == ((2, 0), [0, 2])
    bare = Detections.from_supervision(supervision.Detections(box), np.ones((2, 4), np.float32))
    assert (bare.score.tolist(), bare.class_id.tolist(), bare.embedding.shape) == ([1, 1], [0, 0], (2, 4))
    assert len(Detections.from_supervision(supervision.Detections.empty())) == 0


def test_tracks_are_a_table_of_pandas():
    pytest.importorskip("pandas", reason="needs pandas")
    box = np.float32([[1, 2, 3, 5]])
    frame = Tracks(np.int64([7]), box, np.float32([0.5]), np.int64([0]), np.array([True])).to_pandas()
    assert frame.to_dict("records") == [
        {"track_id": 7, "x1": 1, "y1": 2, "x2": 3, "y2": 5, "score": 0.5, "class_id": 0, "predicted": True}
    ]
    assert len(Tracks.empty().to_pandas()) == 0


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingDependencyError, match="pip install pandas"):
        Tracks.empty().to_pandas()
