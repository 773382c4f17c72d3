"""Cameras of the kernel: OpenCV's capture is replaced at its seam by one that can be unplugged."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_fairmot.errors import SourceError
from edge_fairmot.sources import ReconnectConfig, ReconnectingSource
from edge_fairmot.sources.v4l2 import MOTION_JPEG, DeviceOptions, DeviceSource, parse_device

DEVICE = "/dev/null"
"""A device that is there and may be used."""


class Driver:
    """As ``cv2.VideoCapture``: gives what it can, not what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, float]] = []
        self.opened: list[tuple[str, int]] = []
        self.left = 5
        self.stamped = True
        self.opens = True
        self.breaks_at = range(0)
        self.released = 0

    def __call__(self, path: str, backend: int) -> Driver:
        self.opened.append((path, backend))
        return self

    def isOpened(self) -> bool:  # noqa: N802
        return self.opens

    def set(self, name: int, value: float) -> bool:
        self.asked.append((name, value))
        return True

    def get(self, name: int) -> float:
        stamp_ms = time.monotonic() * 1000 - 5000 if self.stamped else 0.0
        return {cv2.CAP_PROP_FPS: 15.0, cv2.CAP_PROP_POS_MSEC: stamp_ms}[name]

    def grab(self) -> bool:
        self.left -= 1
        time.sleep(0.005)
        return self.opens and self.left >= 0

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return self.left not in self.breaks_at, np.full((48, 64, 3), self.left % 256, np.uint8)

    def release(self) -> None:
        self.released += 1


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    driver = Driver()
    monkeypatch.setattr(cv2, "VideoCapture", driver)
    return driver


def test_the_real_capture_has_what_the_double_has() -> None:
    used = {name for name in vars(Driver) if not name.startswith("_")}
    assert used == {"isOpened", "set", "get", "grab", "retrieve", "release"}
    assert used <= set(dir(cv2.VideoCapture))


def test_motion_jpeg_is_asked_for_first_and_the_rate_is_read_back(driver: Driver) -> None:
    with DeviceSource(DEVICE, DeviceOptions((1280, 720), 30.0)) as source:
        assert source.info.frame_size == (64, 48)  # what comes, not what was asked for
        assert (source.info.frame_rate, source.info.live) == (15.0, True)
    assert driver.opened == [(DEVICE, cv2.CAP_V4L2)]
    assert driver.asked == [
        (cv2.CAP_PROP_FOURCC, MOTION_JPEG),
        (cv2.CAP_PROP_FRAME_WIDTH, 1280),
        (cv2.CAP_PROP_FRAME_HEIGHT, 720),
        (cv2.CAP_PROP_FPS, 30.0),
    ]
    assert driver.released == 1


@pytest.mark.parametrize("stamped", [True, False], ids=["kernel's stamp", "no stamp"])
def test_frames_are_stamped_by_the_kernel_where_it_does(driver: Driver, stamped: bool) -> None:
    driver.stamped = stamped
    with DeviceSource(DEVICE) as source:
        frame = next(iter(source))
        age_s = time.monotonic() - frame.time_s
    assert (age_s >= 5) is stamped


def test_an_unplugged_camera_is_an_error_after_its_last_frame(driver: Driver) -> None:
    seen: list[int] = []
    with (
        DeviceSource(DEVICE) as source,
        pytest.raises(SourceError, match="after 5: was the camera unplugged"),
    ):
        seen.extend(frame.index for frame in source)
    assert seen == list(range(5))
    assert driver.released == 1


def test_a_broken_frame_is_passed_over(driver: Driver) -> None:
    driver.left, driver.breaks_at = 50, range(20, 30)
    with DeviceSource(DEVICE) as source:
        frames = iter(source)
        greys = [int(next(frames).image[0, 0, 0]) for _ in range(40)]
    assert greys == [*range(49, 29, -1), *range(19, -1, -1)]


def test_a_camera_that_gives_only_broken_frames_is_lost(driver: Driver) -> None:
    driver.left, driver.breaks_at = 1000, range(900)
    with DeviceSource(DEVICE) as source, pytest.raises(SourceError, match="gives no more frames after 100"):
        list(source)
    assert driver.left > 800


def test_an_unplugged_camera_comes_back(driver: Driver) -> None:
    def open_again() -> DeviceSource:
        driver.left = 5
        return DeviceSource(DEVICE)

    config = ReconnectConfig(first_wait_s=0.01, longest_wait_s=0.02)
    with ReconnectingSource("camera", open_again, config) as source:
        indices = []
        for frame in source:
            indices.append(frame.index)
            if source.state().reconnects == 2:
                break
    assert indices == sorted(set(indices))
    assert len(driver.opened) == 3


def test_a_camera_that_is_in_use_is_told(driver: Driver) -> None:
    driver.opens = False
    with pytest.raises(SourceError, match=r"gives no frame: .* fuser -v /dev/null"):
        DeviceSource(DEVICE)
    assert driver.released == 1


def test_a_camera_that_is_not_allowed_is_told(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(SourceError, match=r"may not be used: sudo usermod -aG video"):
        DeviceSource(DEVICE)


def test_closing_ends_the_iteration_without_an_error(driver: Driver) -> None:
    source = DeviceSource(DEVICE)
    frames = iter(source)
    next(frames)
    source.close()
    assert list(frames) == []
    with pytest.raises(SourceError, match="was read or closed already"):
        iter(source)


def test_options_stand_in_the_address() -> None:
    assert parse_device("/dev/video0") == (Path("/dev/video0"), DeviceOptions())
    assert parse_device("/dev/video2?size=1280x720&fps=7.5") == (
        Path("/dev/video2"),
        DeviceOptions((1280, 720), 7.5),
    )
