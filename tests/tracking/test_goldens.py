"""Against the original tracker: the same identities, in the same order, on the same detections."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_fairmot.tracking import Tracker, TrackerConfig
from edge_fairmot.types import Detections

BOX_TOLERANCE_PX = 1e-3
"""Boxes are given out in float32, whose last digit is 1.2e-4 at 2,000 pixels."""


@pytest.mark.parametrize("stamped", [False, True], ids=["counted", "stamped in milliseconds"])
@pytest.mark.parametrize("name", ["twelve-walkers", "sixty-walkers"])
def test_identities_equal_the_originals(goldens: Path, name: str, stamped: bool) -> None:
    path = goldens / f"{name}.npz"
    if not path.exists():
        pytest.skip(f"no golden tracks at {path}")
    with np.load(path) as archive:
        golden = {key: archive[key] for key in archive.files}
    config = TrackerConfig(
        score_threshold=float(golden["conf_thres"]),
        track_buffer=int(golden["track_buffer"]),
        frame_rate=float(golden["frame_rate"]),
    )
    tracker = Tracker(config)
    for index, (begin, end) in enumerate(np.lib.stride_tricks.sliding_window_view(golden["frame_offset"], 2)):
        detections = Detections(
            golden["boxes_xyxy"][begin:end], golden["score"][begin:end], golden["embedding"][begin:end]
        )
        tracks = tracker.update(detections, round(index / config.frame_rate, 3) if stamped else None)
        expected = slice(*golden["track_offset"][index : index + 2])
        tlwh = golden["track_tlwh"][expected]
        np.testing.assert_array_equal(tracks.track_id, golden["track_id"][expected], f"frame {index}")
        np.testing.assert_array_equal(tracks.score, golden["track_score"][expected])
        np.testing.assert_allclose(
            tracks.xyxy, np.c_[tlwh[:, :2], tlwh[:, :2] + tlwh[:, 2:]], rtol=0, atol=BOX_TOLERANCE_PX
        )
