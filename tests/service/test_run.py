"""What the services share: recent rates of a run, and the folder of their state."""

from pathlib import Path

import pytest

from edge_fairmot.errors import SinkError
from edge_fairmot.pipeline import RunSummary
from edge_fairmot.service import state_folder
from edge_fairmot.service.run import RateMeter


def summary(frames, mean_ms):
    return RunSummary(frames, frames, 0, 0, 0, 0, 0.0, {"inference": mean_ms})


def test_rates_are_recent_and_not_of_the_whole_run():
    now_s = 0.0
    meter = RateMeter(3.0, lambda: now_s)
    assert meter.read(summary(0, 0.0)).frame_rate == 0
    for second in range(1, 61):  # a minute of 10 frames/s and 20 ms
        now_s = float(second)
        slow = meter.read(summary(10 * second, 20.0))
    assert (slow.frame_rate, slow.stage_ms["inference"]) == (pytest.approx(10), pytest.approx(20))
    for second in range(1, 11):  # then 40 frames/s and 5 ms
        now_s = 60.0 + second
        frames = 600 + 40 * second
        quick = meter.read(summary(frames, (600 * 20 + (frames - 600) * 5) / frames))
    assert (quick.frame_rate, quick.stage_ms["inference"]) == (pytest.approx(40), pytest.approx(5))
    for _ in range(2):
        now_s += 6
        stopped = meter.read(summary(frames, 1.0))
    assert stopped.frame_rate == 0


def test_many_readers_do_not_shorten_the_window():
    now_s = 0.0
    meter = RateMeter(3.0, lambda: now_s)
    for step in range(2000):
        now_s = step / 1000
        rates = meter.read(summary(step // 100, 1.0))
    assert rates.frame_rate == pytest.approx(10, rel=0.1)
    assert len(meter._samples) < 20


def test_the_state_folder_is_that_of_systemd_or_of_the_user(monkeypatch):
    assert state_folder({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}) == Path("/var/lib/a")
    assert state_folder({"XDG_STATE_HOME": "/home/me/state"}) == Path("/home/me/state/edge-fairmot")
    assert state_folder({}).parts[-3:] == (".local", "state", "edge-fairmot")

    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("pathlib.Path.home", homeless)
    with pytest.raises(SinkError, match=r"no home folder .* set STATE_DIRECTORY"):
        state_folder({})
