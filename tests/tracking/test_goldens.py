"""The original tracker's tracks: the same identities, in the same order, on the same detections."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from edge_fairmot.tracking import Tracker, TrackerConfig
from edge_fairmot.types import Detections

Golden = dict[str, np.ndarray]

BOX_TOLERANCE_PX = 1e-3
"""Boxes are returned in float32, whose last digit is 1.2e-4 at 2,000 pixels."""


def config_of(golden: Golden) -> TrackerConfig:
    return TrackerConfig(
        score_threshold=float(golden["conf_thres"]),
        track_buffer=int(golden["track_buffer"]),
        frame_rate=float(golden["frame_rate"]),
    )


def frames_of(golden: Golden, classes: int = 1) -> Iterator[Detections]:
    for begin, end in np.lib.stride_tricks.sliding_window_view(golden["frame_offset"], 2):
        rows = slice(begin, end)
        class_id = np.abs(golden["gt_id"][rows]) % classes
        yield Detections(
            golden["boxes_xyxy"][rows], golden["score"][rows], golden["embedding"][rows], class_id
        )


@pytest.mark.parametrize("stamped", [False, True], ids=["counted", "stamped in milliseconds"])
def test_identities_equal_the_originals(golden: Golden, stamped: bool) -> None:
    config = config_of(golden)
    tracker = Tracker(config)
    for index, detections in enumerate(frames_of(golden)):
        tracks = tracker.update(detections, round(index / config.frame_rate, 3) if stamped else None)
        expected = slice(*golden["track_offset"][index : index + 2])
        tlwh = golden["track_tlwh"][expected]
        np.testing.assert_array_equal(tracks.track_id, golden["track_id"][expected], f"frame {index}")
        np.testing.assert_array_equal(tracks.score, golden["track_score"][expected])
        np.testing.assert_allclose(
            tracks.xyxy, np.c_[tlwh[:, :2], tlwh[:, :2] + tlwh[:, 2:]], rtol=0, atol=BOX_TOLERANCE_PX
        )


def test_a_tracker_of_three_classes_equals_three_trackers(golden: Golden) -> None:
    """No association, no duplicate rule and no bookkeeping crosses classes."""
    together, apart = Tracker(config_of(golden)), [Tracker(config_of(golden)) for _ in range(3)]
    ids_of: dict[tuple[int, int], int] = {}
    for detections in frames_of(golden, classes=3):
        tracks = together.update(detections)
        for class_id, tracker in enumerate(apart):
            found = tracks[tracks.class_id == class_id]
            expected = tracker.update(detections[detections.class_id == class_id])
            np.testing.assert_array_equal(found.xyxy, expected.xyxy)
            for own, other in zip(found.track_id.tolist(), expected.track_id.tolist(), strict=True):
                assert ids_of.setdefault((class_id, other), own) == own
    assert len(set(ids_of.values())) == len(ids_of) > 12
