from __future__ import annotations

import math

import pytest

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.tracking import TrackerConfig


@pytest.mark.parametrize(
    ("frame_rate", "track_buffer", "periods"), [(30, 30, 30), (25, 30, 25), (29.97, 30, 29), (60, 15, 30)]
)
def test_the_buffer_counts_frames_at_30_hz(frame_rate: float, track_buffer: int, periods: int) -> None:
    assert TrackerConfig(frame_rate=frame_rate, track_buffer=track_buffer).longest_loss == periods


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("score_threshold", 1.1),
        ("score_threshold", math.nan),
        ("track_buffer", -1),
        ("frame_rate", 0.0),
        ("frame_rate", math.inf),
        ("frame_rate", math.nan),
        ("embedding_limit", -0.1),
        ("motion_weight", 2.0),
        ("gating_limit", 0.0),
        ("gating_limit", math.nan),
        ("iou_limit", 1.5),
        ("unconfirmed_iou_limit", -1.0),
        ("duplicate_iou_distance", math.inf),
        ("feature_momentum", 1.01),
        ("low_score_threshold", 0.41),
        ("birth_threshold", 0.39),
        ("birth_threshold", 1.1),
        ("birth_threshold", math.nan),
        ("low_score_threshold", -0.1),
        ("low_score_threshold", math.nan),
    ],
)
def test_a_value_out_of_range_is_named_and_shown(name: str, value: float) -> None:
    with pytest.raises(InvalidInputError, match=rf"^{name} must .*, not {value}$"):
        TrackerConfig(**{name: value})


def test_crowds_are_asked_for_and_leave_the_rest_as_it_is() -> None:
    config = TrackerConfig(track_buffer=90, score_threshold=0.5)
    assert config.lowest_score == 0.5
    assert config.in_crowds() == TrackerConfig(
        track_buffer=90, score_threshold=0.5, low_score_threshold=0.3, birth_threshold=0.6, spare_hidden=True
    )
    assert config.birth_score == 0.5
    assert config.in_crowds().lowest_score == 0.3
    assert TrackerConfig(score_threshold=0.1).in_crowds().lowest_score == 0.1
