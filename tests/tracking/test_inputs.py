"""What the tracker accepts and refuses; it needs numpy and lap, nothing else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace

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
    for frame in range(7):
        people = seen((5.0 * frame, 0), (300, 1), (600, 2))
        if frame in (0, 4):
            with pytest.raises(InvalidInputError, match=f"must be finite, but {name} of row 1 is .*{value}"):
                tracker.update(spoiled(people, name, value), frame / 30)
        ours, theirs = tracker.update(people, frame / 30), twin.update(people, frame / 30)
        np.testing.assert_array_equal(ours.track_id, theirs.track_id)
        np.testing.assert_array_equal(ours.xyxy, theirs.xyxy)
    assert ours.track_id.tolist() == [1, 2, 3]


def test_an_embedding_of_zeros_is_refused_above_the_threshold_only(seen: Seen) -> None:
    people = seen((0, 0), (300, 1))
    people.embedding[1] = 0
    with pytest.raises(InvalidInputError, match="positive, finite norm, but that of row 1 has 0"):
        Tracker().update(people)
    people.score[1] = 0.1
    assert Tracker().update(people).track_id.tolist() == [1]


def test_embeddings_keep_their_size_until_reset(seen: Seen) -> None:
    tracker, people = Tracker(), seen((0, 0))
    shorter = replace(people, embedding=people.embedding[:, :4])
    tracker.update(people)
    with pytest.raises(InvalidInputError, match=r"must have 8 numbers as before, not 4: call reset\(\)"):
        tracker.update(shorter)
    assert tracker.update(people).track_id.tolist() == [1]
    tracker.reset()
    assert tracker.update(shorter).track_id.tolist() == [1]


def test_empty_detections_may_have_embeddings_of_any_size(seen: Seen) -> None:
    tracker = Tracker()
    for detections in (Detections.empty(), seen((0, 0)), Detections.empty(), seen((0, 0))):
        assert tracker.update(detections).track_id.tolist() == []
    assert tracker.update(seen((0, 0))).track_id.tolist() == [2]


@pytest.mark.parametrize(
    "corner", [(10, 200, 10, 300), (10, 200, 5, 300), (10, 200, 50, 200), (10, 200, 50, 100)]
)
def test_a_box_without_size_is_ignored(seen: Seen, corner: tuple[float, ...]) -> None:
    people = seen((0, 0), (300, 1), (600, 2))
    people.xyxy[1] = corner
    tracks = Tracker().update(people)
    np.testing.assert_allclose(tracks.xyxy[:, 0], [0, 600])
    assert tracks.track_id.tolist() == [1, 2]


def test_arrays_are_neither_kept_nor_changed(seen: Seen) -> None:
    tracker, twin = Tracker(), Tracker()
    for frame in range(6):
        people, expected = seen((5.0 * frame, 0), (300, 1)), twin.update(seen((5.0 * frame, 0), (300, 1)))
        people.embedding[:] *= 7
        copy = people.xyxy.copy(), people.score.copy(), people.embedding.copy(), people.class_id.copy()
        tracks = tracker.update(people)
        np.testing.assert_array_equal(tracks.track_id, expected.track_id)
        np.testing.assert_allclose(tracks.xyxy, expected.xyxy)
        for column, before in zip(fields(people), copy, strict=True):
            np.testing.assert_array_equal(getattr(people, column.name), before)
            getattr(people, column.name)[:] = 99
        # The returned arrays belong to the caller, too.
        tracks.xyxy[:], tracks.track_id[:], tracks.score[:] = -1, -1, -1


def test_returned_types_are_those_documented(seen: Seen) -> None:
    tracker = Tracker()
    for tracks in (tracker.update(seen((0, 0))), tracker.predict(), Tracker().update(seen())):
        assert tracks.track_id.dtype == tracks.class_id.dtype == np.int64
        assert tracks.xyxy.dtype == tracks.score.dtype == np.float32
        assert tracks.predicted.dtype == np.bool_
        assert tracks.xyxy.shape == (len(tracks), 4)


def test_the_tracker_needs_no_opencv() -> None:
    code = "import sys; sys.modules['cv2'] = None; from edge_fairmot.tracking import Tracker; Tracker()"
    subprocess.run([sys.executable, "-c", code], check=True)
