"""Live sources: every fault of a camera is injected at its seam; clocks; other sources at their pace."""

from __future__ import annotations

import importlib.metadata
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from edge_fairmot.errors import InvalidInputError, MissingDependencyError, SourceError
from edge_fairmot.protocols import SourceInfo
from edge_fairmot.sources import (
    PacedSource,
    ReconnectConfig,
    ReconnectingSource,
    SourceState,
    live,
    open_live_source,
    open_source,
    opening,
)
from edge_fairmot.sources.live import FreezeWatch
from edge_fairmot.types import Frame

FAST = ReconnectConfig(first_wait_s=0.01, longest_wait_s=0.05, stall_s=1.5, frozen_s=0)
PATIENCE_S = 20.0


@dataclass
class Camera:
    """Yields some frames 10 ms apart, and then fails in one of several ways."""

    frames: int
    then: str = "ends"
    size: tuple[int, int] = (64, 48)
    first_s: float = 0.0
    jump_s: float = 0.0
    still: bool = False
    gone: threading.Event = field(default_factory=threading.Event)
    released: bool = False

    @property
    def info(self) -> SourceInfo:
        return SourceInfo("camera", self.size, 100.0, None, live=True)

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self.frames):
            time.sleep(0.01)
            width, height = self.size
            image = np.full((height, width, 3), 0 if self.still else index % 256, np.uint8)
            yield Frame(image, index, self.first_s + 0.01 * index + (self.jump_s if index > 4 else 0))
        if self.then == "fails":
            raise SourceError("the camera was unplugged")
        if self.then == "breaks":
            raise OSError(5, "Input/output error")
        if self.then == "hangs":
            self.gone.wait(PATIENCE_S)
        if self.then == "is stuck":  # in a driver that does not hear of being closed
            STUCK_UNTIL.wait(PATIENCE_S)

    def close(self) -> None:
        self.released = True
        self.gone.set()


STUCK_UNTIL = threading.Event()


def opener(*cameras: Camera | Exception) -> Callable[[], Camera]:
    """Open one camera after the other; the last again and again."""
    left = list(cameras)

    def open_next() -> Camera:
        camera = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(camera, Exception):
            raise camera
        return camera

    return open_next


def take(source: ReconnectingSource, count: int) -> list[Frame]:
    frames = []
    for frame in source:
        frames.append(frame)
        if len(frames) == count:
            break
    return frames


def assert_continuous(frames: list[Frame]) -> None:
    indices = [frame.index for frame in frames]
    assert indices == sorted(set(indices))
    times = [frame.time_s for frame in frames]
    assert times == sorted(set(times))
    assert abs(times[-1] - time.monotonic()) < 5


def state_when(source: ReconnectingSource, reached: Callable[[SourceState], bool]) -> SourceState:
    deadline_s = time.monotonic() + PATIENCE_S
    while not reached(source.state()) and time.monotonic() < deadline_s:
        time.sleep(0.002)
    return source.state()


@pytest.mark.parametrize("fault", ["ends", "fails", "breaks", "hangs"])
def test_a_camera_that_is_lost_comes_back(fault: str) -> None:
    first, second = Camera(5, fault), Camera(1000, first_s=3600.0)
    with ReconnectingSource("camera", opener(first, second), FAST) as source:
        frames = take(source, 10)
        assert_continuous(frames)
        assert first.released
        state = source.state()
        assert (state.status, state.reconnects, state.message) == ("running", 1, "")
    assert source.state().status == "ended"
    assert second.gone.wait(PATIENCE_S)


def test_the_memory_of_a_lost_camera_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    first, released = Camera(5), []
    monkeypatch.setattr(live, "return_unused_memory", lambda: released.append(first.released))
    with ReconnectingSource("camera", opener(first, Camera(1000)), FAST) as source:
        take(source, 10)
    assert released == [True]


def test_a_camera_that_is_not_there_at_the_start_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    absent = SourceError("/dev/video0 is not there: plug the camera in")
    with (
        caplog.at_level(logging.INFO),
        ReconnectingSource("camera", opener(absent, absent, Camera(1000, size=(32, 24))), FAST) as source,
    ):
        assert source.info == SourceInfo("camera", (1280, 720), 25.0, None, live=True)
        assert source.state().status == "starting"
        assert "plug the camera in" in source.state().message
        frames = take(source, 3)
        assert frames[0].image.shape == (24, 32, 3)
        assert source.info.frame_size == (32, 24)
        assert source.state().reconnects == 0
    assert "plug the camera in; next try in 0.0 s" in caplog.text
    assert "camera is there: 32x24, 100 frames/s" in caplog.text


def test_a_gap_is_as_long_as_it_was() -> None:
    config = ReconnectConfig(first_wait_s=0.6, longest_wait_s=1, stall_s=1.5, frozen_s=0)
    with ReconnectingSource("camera", opener(Camera(3), Camera(1000)), config) as source:
        times = [frame.time_s for frame in take(source, 5)]
    assert times[3] - times[2] > 0.4


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0])
def test_a_camera_s_clock_that_jumps_by_an_hour_changes_nothing(jump_s: float) -> None:
    camera = Camera(1000, first_s=7200.0, jump_s=jump_s)
    with ReconnectingSource("camera", lambda: camera, FAST) as source:
        frames = take(source, 10)
        assert source.state().reconnects == 0
    assert_continuous(frames)
    assert frames[-1].time_s - frames[0].time_s < 5


def test_a_frozen_image_is_a_loss() -> None:
    config = ReconnectConfig(first_wait_s=0.01, longest_wait_s=0.02, stall_s=5, frozen_s=0.2)
    first, second = Camera(100_000, still=True), Camera(1000)
    with ReconnectingSource("camera", opener(first, second), config) as source:
        frames = []
        for frame in source:
            frames.append(frame)
            if source.state().reconnects and frame.image.any():
                break
    assert not frames[0].image.any()
    assert frames[-1].image.any()


@pytest.mark.parametrize(
    "error",
    [MissingDependencyError("picamera2", "", "for the camera", "sudo apt"), InvalidInputError("no lens")],
)
def test_what_trying_again_does_not_mend_is_an_error_at_once(error: Exception) -> None:
    with pytest.raises(type(error)):
        ReconnectingSource("camera", opener(error), FAST)


def test_it_gives_up_where_told_to() -> None:
    config = ReconnectConfig(first_wait_s=0.01, longest_wait_s=0.05, stall_s=0.3, give_up_s=0.2)
    with (
        ReconnectingSource("camera", opener(SourceError("connection refused")), config) as source,
        pytest.raises(SourceError, match=r"given up after .* s: connection refused"),
    ):
        take(source, 1)


def test_drivers_that_never_return_do_not_fill_the_process_with_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("edge_fairmot.sources.live.LONGEST_CLOSING_S", 0.05)
    before = threading.active_count()
    try:
        with (
            ReconnectingSource("camera", lambda: Camera(1, "is stuck"), replace(FAST, stall_s=0.3)) as source,
            pytest.raises(SourceError, match="the driver does not release it: start again"),
        ):
            take(source, 100)
        assert threading.active_count() <= before + 3
    finally:
        STUCK_UNTIL.set()


def test_closing_ends_a_wait_at_once() -> None:
    config = ReconnectConfig(first_wait_s=3600, longest_wait_s=3600)
    source = ReconnectingSource("camera", opener(SourceError("off")), config)
    seen: list[Frame] = []
    reader = threading.Thread(target=lambda: seen.extend(source))
    reader.start()
    time.sleep(0.05)
    source.close()
    reader.join(PATIENCE_S)
    assert not reader.is_alive()
    assert seen == []


def test_closing_ends_a_camera_that_says_nothing() -> None:
    camera = Camera(0, "hangs")
    source = ReconnectingSource("camera", lambda: camera, ReconnectConfig(stall_s=600))
    reader = threading.Thread(target=lambda: list(source))
    reader.start()
    source.close()
    reader.join(PATIENCE_S)
    assert not reader.is_alive()
    assert camera.released


def test_waits_grow_to_the_longest_and_shake(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    config = ReconnectConfig(first_wait_s=1, longest_wait_s=8)
    source = ReconnectingSource("camera", opener(SourceError("off")), config)

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        if len(waits) == 40:
            source.close()
        return False

    monkeypatch.setattr(source._closed, "wait", wait)
    monkeypatch.setattr(live, "return_unused_memory", lambda: None)
    assert list(source) == []
    for wait_s, usual_s in zip(waits, [1, 2, 4] + 37 * [8], strict=True):
        assert 0.75 * usual_s <= wait_s <= 1.25 * usual_s
    assert len({round(wait_s, 3) for wait_s in waits[3:]}) > 10


def test_the_state_says_since_when() -> None:
    with ReconnectingSource("camera", opener(Camera(3), SourceError("off")), FAST) as source:
        reader = threading.Thread(target=lambda: list(source), daemon=True)
        reader.start()
        lost = state_when(source, lambda state: state.status == "lost")
        later = state_when(source, lambda state: state.message == "off")
        assert (lost.status, later.status, later.message) == ("lost", "lost", "off")
        assert later.since_s == lost.since_s <= time.monotonic()
        assert isinstance(later, SourceState)
    reader.join(PATIENCE_S)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"stall_s": 0}, "stall_s must be above 0"),
        ({"first_wait_s": -1}, "first_wait_s must be above 0"),
        ({"frozen_s": -1}, "frozen_s must be between 0"),
        ({"give_up_s": float("nan")}, "give_up_s must be between 0"),
    ],
)
def test_waits_out_of_range_are_refused(values: dict[str, float], complaint: str) -> None:
    with pytest.raises(InvalidInputError, match=complaint):
        ReconnectConfig(**values)


STILL = np.zeros((64, 64, 3), np.uint8)


def test_an_image_that_stays_is_noticed_and_one_that_changes_by_a_bit_is_not() -> None:
    watch = FreezeWatch(10)
    # Where opening again does not help, the scene is still: the limit doubles.
    assert [now_s for now_s in range(200) if watch.is_frozen(STILL, now_s)] == [11, 32, 73, 154]
    assert not watch.is_frozen(STILL + 1, 200)
    assert [now_s for now_s in range(201, 225) if watch.is_frozen(STILL + 1, now_s)] == [211]
    changing, watch = STILL.copy(), FreezeWatch(10)
    for now_s in range(50):
        changing[16, 16, 0] = now_s % 2
        assert not watch.is_frozen(changing, now_s)


def test_the_time_that_a_camera_was_away_does_not_count_as_frozen() -> None:
    watch = FreezeWatch(10)
    assert not watch.is_frozen(STILL, 0)
    watch.restart(100)
    assert [now_s for now_s in range(100, 120) if watch.is_frozen(STILL, now_s)] == [111]
    watch = FreezeWatch(0)
    assert not any(watch.is_frozen(STILL, now_s) for now_s in range(0, 100_000, 1000))


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
    assert times[-1] - times[0] == pytest.approx(7 / 20)
    assert source.state().status == "ended"


def test_what_is_late_is_not_made_up_for(make_video: Callable[..., Path]) -> None:
    with PacedSource(open_source(make_video("clip.mp4", 30, rate=20))) as source:
        frames = iter(source)
        first = next(frames)
        time.sleep(1.3)  # the machine slept, or the decoder was slow
        second, third = next(frames), next(frames)
    assert second.time_s - first.time_s > 1
    assert third.time_s - second.time_s == pytest.approx(0.05)


def test_closing_ends_the_wait_for_the_time_of_a_frame(make_video: Callable[..., Path]) -> None:
    source = PacedSource(open_source(make_video("slow.mkv", 3, rate=1)))
    reader = threading.Thread(target=lambda: list(source))
    reader.start()
    time.sleep(0.2)
    source.close()
    reader.join(PATIENCE_S)
    assert not reader.is_alive()
    assert source.state().status == "ended"


class Plugin(Camera):
    """A source of another package: endless where it is asked to be, or a camera of its own."""

    def __init__(self, address: str) -> None:
        known = ("fake:", "fake:frames=7", "fake:frames=endless", "fake:seed=3,frames=endless", "fake:live")
        if address not in known:
            raise InvalidInputError(f"{address} is not known")
        super().__init__(7)
        self.address = address

    @property
    def info(self) -> SourceInfo:
        frames = None if self.address.endswith("endless") else 7
        return SourceInfo(self.address, self.size, 100.0, frames, live=self.address == "fake:live")


@pytest.mark.parametrize(
    ("spec", "frame_count"),
    [("fake:", None), ("fake:seed=3", None), ("fake:seed=3,", None), ("fake:frames=7", 7)],
)
def test_another_package_s_source_is_endless_where_it_can_be(
    spec: str, frame_count: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = importlib.metadata.EntryPoint("fake", f"{__name__}:Plugin", "edge_fairmot.sources")
    monkeypatch.setattr(opening, "_entry_points", lambda: {"fake": point})
    monkeypatch.setattr(importlib.metadata.EntryPoint, "load", lambda self: Plugin)
    with open_live_source(spec) as source:
        assert isinstance(source, PacedSource)
        assert source.info.frame_count == frame_count
    with open_live_source("fake:live") as source:
        assert isinstance(source, ReconnectingSource)
        assert next(iter(source)).index == 0
    with pytest.raises(InvalidInputError, match="fake:speed=3 is not known"):
        open_live_source("fake:speed=3")


SCRIPT = """
import re
from pathlib import Path
from edge_fairmot.sources.live import return_unused_memory

def resident_mb():
    return int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

pieces = [bytes([1]) * 100_000 for _ in range(1000)]
kept = pieces[::50]
del pieces
cycle = [bytes([1]) * 100_000_000]
cycle.append(cycle)
del cycle
before = resident_mb()
return_unused_memory()
print(before - resident_mb())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs glibc")
def test_unused_memory_goes_back_to_the_system() -> None:
    """Freed blocks between blocks in use, and arrays of a reference cycle."""
    ran = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert float(ran.stdout) > 150
