from __future__ import annotations

import math
from dataclasses import replace

import pytest

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.tracking import TrackerConfig, preset


@pytest.mark.parametrize(
    ("frame_rate", "track_buffer", "periods"), [(30, 30, 30), (25, 30, 25), (29.97, 30, 29), (60, 15, 30)]
)
def test_the_buffer_counts_frames_at_30_hz(frame_rate: float, track_buffer: int, periods: int) -> None:
    assert TrackerConfig(frame_rate=frame_rate, track_buffer=track_buffer).max_time_lost == periods


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("score_threshold", (1.1, math.nan)),
        ("track_buffer", (-1,)),
        ("frame_rate", (0.0, math.inf, math.nan)),
        ("first_match_thresh", (-0.1,)),
        ("lambda_", (2.0,)),
        ("gating_limit", (0.0, math.nan)),
        ("second_match_thresh", (1.5,)),
        ("third_match_thresh", (-1.0,)),
        ("duplicate_iou_distance", (math.inf,)),
        ("ema_alpha", (1.01,)),
        ("track_low_thresh", (0.41, -0.1, math.nan)),
        ("new_track_thresh", (0.39, 1.1, math.nan)),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(name: str, values: tuple[float, ...]) -> None:
    for value in values:
        with pytest.raises(InvalidInputError, match=rf"^{name} must .*, not {value}$"):
            TrackerConfig(**{name: value})


def test_presets_change_the_association_rules_and_nothing_else() -> None:
    config = TrackerConfig(track_buffer=90, score_threshold=0.5)
    byte = replace(config, track_low_thresh=0.3, new_track_thresh=0.6, keep_occluded=True)
    assert preset("bytetrack", config) == preset("crowded", config) == config.bytetrack() == byte
    assert preset("fairmot", config) == config
    assert preset("fairmot") == TrackerConfig()
    assert (config.lowest_score, byte.lowest_score) == (0.5, 0.3)
    assert replace(config, track_low_thresh=0.2).bytetrack() == replace(byte, track_low_thresh=0.2)
    assert TrackerConfig(score_threshold=0.1).bytetrack().lowest_score == 0.1
    with pytest.raises(InvalidInputError, match="fairmot, bytetrack, crowded, not 'sort'"):
        preset("sort")
