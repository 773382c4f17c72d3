"""How fast the loop is now, and how warm the device."""

import pytest

from edge_fairmot.pipeline import RunSummary
from edge_fairmot.service.web.rates import WINDOW_S, RateMeter


def summary(frames, mean_ms):
    return RunSummary(frames, frames, 0, 0, 0, 0, 0.0, {"inference": mean_ms})


def test_rates_are_of_late_and_not_of_the_whole_run():
    now_s = 0.0
    meter = RateMeter(lambda: now_s)
    assert meter.read(summary(0, 0.0)).frame_rate == 0
    for second in range(1, 61):  # ten frames a second of 20 ms for a minute
        now_s = float(second)
        slow = meter.read(summary(10 * second, 20.0))
    assert (slow.frame_rate, slow.stage_ms["inference"]) == (pytest.approx(10), pytest.approx(20))
    for second in range(1, 11):  # then forty of 5 ms
        now_s = 60.0 + second
        frames = 600 + 40 * second
        quick = meter.read(summary(frames, (600 * 20 + (frames - 600) * 5) / frames))
    assert (quick.frame_rate, quick.stage_ms["inference"]) == (pytest.approx(40), pytest.approx(5))
    now_s += 2 * WINDOW_S
    meter.read(summary(frames, 1.0))
    now_s += 2 * WINDOW_S
    assert meter.read(summary(frames, 1.0)).frame_rate == 0


def test_many_who_ask_at_once_shorten_nothing():
    now_s = 0.0
    meter = RateMeter(lambda: now_s)
    for step in range(2000):
        now_s = step / 1000
        rates = meter.read(summary(step // 100, 1.0))
    assert rates.frame_rate == pytest.approx(10, rel=0.1)
    assert len(meter._samples) < 20
