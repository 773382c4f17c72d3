from __future__ import annotations

import math
from dataclasses import replace
from importlib.resources import files

import pytest

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.tracking import PRESETS, TrackerConfig, preset


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
        ("motion_rate", (0.0, -1.0, math.inf, math.nan)),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(name: str, values: tuple[float, ...]) -> None:
    for value in values:
        with pytest.raises(InvalidInputError, match=rf"^{name} must .*, not {value}$"):
            TrackerConfig(**{name: value})


def test_presets_set_the_rules_and_nothing_else_and_own_settings_win() -> None:
    own = {"track_buffer": 60, "score_threshold": 0.5}
    config = TrackerConfig(**own)
    byte = replace(config, track_low_thresh=0.3, new_track_thresh=0.6, keep_occluded=True)
    assert preset("bytetrack", own) == preset("crowded", own) == byte
    assert preset("fairmot", own) == config
    assert preset("fairmot") == TrackerConfig()
    assert (config.lowest_score, byte.lowest_score) == (0.5, 0.3)
    assert preset("bytetrack", own | {"track_low_thresh": 0.2}) == replace(byte, track_low_thresh=0.2)
    assert preset("bytetrack", {"score_threshold": 0.1}).lowest_score == 0.1
    low = replace(config, motion_rate=12.5, confirm_by_embedding=True)
    assert preset("low-fps", own) == low
    with pytest.raises(InvalidInputError, match="fairmot, bytetrack, low-fps, crowded, not 'sort'"):
        preset("sort")


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_holds_known_settings_and_says_why(name: str) -> None:
    preset(name)
    text = files("edge_fairmot.tracking.presets").joinpath(f"{name.replace('crowded', 'bytetrack')}.toml")
    assert text.read_text().startswith("# ")


def test_the_gate_is_the_95_percent_quantile_of_four_degrees_of_freedom() -> None:
    half = TrackerConfig().gating_limit / 2
    assert 1 - math.exp(-half) * (1 + half) == pytest.approx(0.95, abs=2e-6)
