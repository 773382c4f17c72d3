"""What is no camera, played as one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from edge_fairmot.sources import PacedSource, open_live_source, open_source


def test_a_file_is_played_at_its_own_speed(make_video: Callable[..., Path]) -> None:
    with PacedSource(open_source(make_video("clip.mp4", 8, rate=20))) as source:
        assert source.info.live
        assert source.state().status == "starting"
        arrivals, times = [], []
        for frame in source:
            arrivals.append(time.monotonic())
            times.append(frame.time_s)
            assert source.state().status == "running"
    assert len(times) == 8
    assert all(arrived_s >= time_s for arrived_s, time_s in zip(arrivals, times, strict=True))
    assert abs((times[-1] - times[0]) - 7 / 20) < 1e-6
    assert source.state().status == "ended"


def test_what_is_late_is_not_made_up_for(make_video: Callable[..., Path]) -> None:
    with PacedSource(open_source(make_video("clip.mp4", 30, rate=20))) as source:
        frames = iter(source)
        first = next(frames)
        time.sleep(1.3)  # the machine slept, or the decoder was slow
        second, third = next(frames), next(frames)
    assert second.time_s - first.time_s > 1
    assert abs(third.time_s - second.time_s - 0.05) < 1e-6


def test_closing_ends_a_wait() -> None:
    source = PacedSource(open_source("synthetic:fps=1,size=64x64,people=1"))
    reader = threading.Thread(target=lambda: list(source))
    reader.start()
    time.sleep(0.2)
    source.close()
    reader.join(20)
    assert not reader.is_alive()
    assert source.state().status == "ended"


def test_a_street_without_a_length_is_endless_here() -> None:
    for spec in ("synthetic:", "synthetic:seed=3", "synthetic:seed=3,"):
        with open_live_source(spec) as source:
            assert source.info.frame_count is None
    with open_live_source("synthetic:frames=7") as source:
        assert source.info.frame_count == 7
