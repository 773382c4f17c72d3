"""After a gap in looking, and in pictures of another size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.tracking import Tracker, TrackerConfig
from edge_fairmot.tracking.tracker import LONGEST_BLINK_S
from edge_fairmot.types import Detections

Seen = Callable[..., Detections]


def ids_after_gap(seen: Seen, gap_s: float, config: TrackerConfig | None = None) -> list[int]:
    """Two are seen for a second, nobody looks for a while, and then two stand in the same places."""
    tracker = Tracker(config)
    for frame in range(30):
        tracker.update(seen((0, 0), (300, 1)), frame / 30)
    last_s = 29 / 30 + gap_s
    tracker.update(seen((0, 0), (300, 1)), last_s)
    return tracker.update(seen((0, 0), (300, 1)), last_s + 1 / 30).track_id.tolist()


@pytest.mark.parametrize("gap_s", [0.5, 2.0, LONGEST_BLINK_S - 0.1])
def test_a_slow_device_keeps_who_is_in_view(seen: Seen, gap_s: float) -> None:
    assert ids_after_gap(seen, gap_s) == [1, 2]


@pytest.mark.parametrize("gap_s", [LONGEST_BLINK_S + 0.2, 60.0, 3600.0, 86400.0 * 30])
def test_after_a_long_gap_nobody_is_given_another_s_id(seen: Seen, gap_s: float) -> None:
    assert ids_after_gap(seen, gap_s) == [3, 4]


def test_a_long_buffer_bridges_as_long_a_gap(seen: Seen) -> None:
    config = TrackerConfig(track_buffer=30 * 20)
    assert ids_after_gap(seen, 15.0, config) == [1, 2]
    assert ids_after_gap(seen, 21.0, config) == [3, 4]


def test_who_was_lost_before_a_gap_goes_with_the_buffer_as_ever(seen: Seen) -> None:
    tracker = Tracker()
    for frame in range(30):
        tracker.update(seen((0, 0), (300, 1)), frame / 30)
    tracker.update(seen((300, 1)), 1.0)
    tracker.update(seen((0, 0), (300, 1)), 3.5)
    assert tracker.update(seen((0, 0), (300, 1)), 3.5 + 1 / 30).track_id.tolist() == [2, 3]


@pytest.mark.parametrize("factor", [(0.5, 0.5), (2.0, 2.0), (2.0, 1.5)])
def test_a_picture_of_another_size_changes_nobody(seen: Seen, factor: tuple[float, float]) -> None:
    """Ids stay, and boxes are those of a tracker that saw that size always."""

    def scaled(detections: Detections) -> Detections:
        xyxy = detections.xyxy * np.tile(np.float32(factor), 2)
        return Detections(xyxy, detections.score, detections.embedding)

    changing, always = Tracker(), Tracker()
    for frame in range(20):
        detections = seen((8.0 * frame, 0), (900, 1))
        if frame == 10:
            changing.rescale(factor)
        found = changing.update(scaled(detections) if frame >= 10 else detections, frame / 30)
        expected = always.update(scaled(detections), frame / 30)
        assert found.track_id.tolist() == expected.track_id.tolist() == [1, 2]
    if factor[0] == factor[1]:  # the filter's noise is by height: with one scale all of it scales
        np.testing.assert_allclose(found.xyxy, expected.xyxy, rtol=1e-4)
    else:
        np.testing.assert_allclose(found.xyxy, expected.xyxy, atol=3)


def test_without_tracks_a_change_of_size_is_nothing(seen: Seen) -> None:
    tracker = Tracker()
    tracker.rescale((2, 2))
    assert tracker.update(seen((0, 0))).track_id.tolist() == [1]


@pytest.mark.parametrize("factor", [(0, 1), (1, -1), (float("nan"), 1), (1, float("inf"))])
def test_factors_are_positive(factor: tuple[float, float]) -> None:
    with pytest.raises(InvalidInputError, match="changes by positive factors"):
        Tracker().rescale(factor)
