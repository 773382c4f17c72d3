from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.tracking import Tracker
from edge_fairmot.types import Detections

Seen = Callable[..., Detections]


def spoiled(detections: Detections, name: str, value: float) -> Detections:
    array = getattr(detections, name).copy()
    array[(1, *([0] * (array.ndim - 1)))] = value
    return replace(detections, **{name: array})


@pytest.mark.parametrize("name", ["xyxy", "score", "embedding"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_refused_and_changes_nothing(
    seen: Seen, name: str, value: float
) -> None:
    tracker, twin = Tracker(), Tracker()
    for frame in range(4):
        for each in (tracker, twin):
            each.update(seen((5.0 * frame, 0), (300, 1)), frame / 30)
    bad = spoiled(seen((20, 0), (300, 1), (600, 2)), name, value)
    with pytest.raises(InvalidInputError, match=f"must be finite, but {name} of row 1 is .*{value}"):
        tracker.update(bad, 4 / 30)
    for frame in range(4, 7):
        people = seen((5.0 * frame, 0), (300, 1), (600, 2))
        ours, theirs = tracker.update(people, frame / 30), twin.update(people, frame / 30)
        np.testing.assert_array_equal(ours.track_id, theirs.track_id)
        np.testing.assert_array_equal(ours.xyxy, theirs.xyxy)


def test_a_refused_first_update_leaves_the_next_the_first(seen: Seen) -> None:
    tracker = Tracker()
    with pytest.raises(InvalidInputError):
        tracker.update(spoiled(seen((0, 0), (300, 1)), "score", np.nan))
    assert tracker.update(seen((0, 0))).track_id.tolist() == [1]


def test_an_embedding_without_direction_is_refused(seen: Seen) -> None:
    people = seen((0, 0), (300, 1))
    people.embedding[1] = 0
    with pytest.raises(InvalidInputError, match="positive, finite norm, but that of row 1 has 0"):
        Tracker().update(people)


def test_an_embedding_below_the_threshold_may_be_empty(seen: Seen) -> None:
    people = seen((0, 0), (300, 1))
    people.embedding[1], people.score[1] = 0, 0.1
    assert Tracker().update(people).track_id.tolist() == [1]


def test_embeddings_keep_their_length_until_reset(seen: Seen) -> None:
    tracker = Tracker()
    people = seen((0, 0))
    shorter = replace(people, embedding=people.embedding[:, :4])
    tracker.update(people)
    with pytest.raises(InvalidInputError, match=r"must have 8 numbers as before, not 4: call reset\(\)"):
        tracker.update(shorter)
    assert tracker.update(people).track_id.tolist() == [1]
    tracker.reset()
    assert tracker.update(shorter).track_id.tolist() == [1]


def test_nobody_says_nothing_about_the_length(seen: Seen) -> None:
    tracker = Tracker()
    nobody = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 0), np.float32))
    assert len(tracker.update(nobody)) == 0
    tracker.update(seen((0, 0)))
    assert len(tracker.update(nobody)) == 0
    assert tracker.update(seen((0, 0))).track_id.tolist() == []
    assert tracker.update(seen((0, 0))).track_id.tolist() == [2]


@pytest.mark.parametrize(
    "corner", [(10, 200, 10, 300), (10, 200, 5, 300), (10, 200, 50, 200), (10, 200, 50, 100)]
)
def test_a_box_without_size_is_passed_over(seen: Seen, corner: tuple[float, ...]) -> None:
    people = seen((0, 0), (300, 1), (600, 2))
    people.xyxy[1] = corner
    tracks = Tracker().update(people)
    np.testing.assert_allclose(tracks.xyxy[:, 0], [0, 600])
    assert tracks.track_id.tolist() == [1, 2]


def test_detections_are_neither_kept_nor_changed(seen: Seen) -> None:
    tracker, twin = Tracker(), Tracker()
    for frame in range(6):
        people = seen((5.0 * frame, 0), (300, 1))
        people.embedding[:] *= 7
        copies = {name: getattr(people, name).copy() for name in ("xyxy", "score", "embedding", "class_id")}
        expected = twin.update(seen((5.0 * frame, 0), (300, 1)))
        tracks = tracker.update(people)
        for name, copy in copies.items():
            np.testing.assert_array_equal(getattr(people, name), copy)
            getattr(people, name)[:] = 99
        np.testing.assert_array_equal(tracks.track_id, expected.track_id)
        np.testing.assert_allclose(tracks.xyxy, expected.xyxy)
        # What was given out is the caller's, too.
        tracks.xyxy[:], tracks.track_id[:], tracks.score[:] = -1, -1, -1


def test_types_given_out_are_those_promised(seen: Seen) -> None:
    tracker = Tracker()
    for tracks in (tracker.update(seen((0, 0))), tracker.predict(), Tracker().update(seen())):
        assert tracks.track_id.dtype == tracks.class_id.dtype == np.int64
        assert tracks.xyxy.dtype == tracks.score.dtype == np.float32
        assert tracks.predicted.dtype == np.bool_
        assert tracks.xyxy.shape == (len(tracks), 4)
