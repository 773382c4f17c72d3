"""Detections are as frequent as the schedule allows, decided from times that the test makes up."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.schedule import HORIZON_S, DetectionPacer, DetectionSchedule


class Device:
    """A loop on made-up time: a decoder, a network and a sink beside each other, few frames in flight."""

    IN_FLIGHT = 5
    BATCHES = 2

    def __init__(self, detection_s: float, other_s: float = 0.001) -> None:
        self.detection_s, self.other_s = detection_s, other_s
        self.now_s, self.network_free_s = 100.0, 0.0
        self.finished_s: list[float] = []
        self.detected: list[bool] = []
        self._running_s: list[float] = []

    def run(self, pacer: DetectionPacer, frames: int) -> None:
        for _ in range(frames):
            self.now_s += self.other_s
            if len(self.finished_s) >= self.IN_FLIGHT:
                self._wait_until(self.finished_s[-self.IN_FLIGHT], pacer)
            self.detected.append(pacer.wants_detection(self.now_s))
            ready_s = self._detect(pacer) if self.detected[-1] else self.now_s
            self.finished_s.append(max(ready_s, *self.finished_s[-1:], 0.0) + self.other_s)

    def _detect(self, pacer: DetectionPacer) -> float:
        if len(self._running_s) >= self.BATCHES:
            self._wait_until(self._running_s[-self.BATCHES], pacer)
        self.network_free_s = max(self.network_free_s, self.now_s) + self.detection_s
        self._running_s.append(self.network_free_s)
        return self.network_free_s

    def _wait_until(self, time_s: float, pacer: DetectionPacer) -> None:
        self.now_s = max(self.now_s, time_s)
        while self._running_s and self._running_s[0] <= self.now_s:
            self._running_s.pop(0)
            pacer.took(self.detection_s)

    def speed(self, last: int) -> float:
        return last / (self.finished_s[-1] - self.finished_s[-1 - last])

    def share_detected(self, last: int) -> float:
        return sum(self.detected[-last:]) / last


def gaps(detected: list[bool]) -> list[int]:
    at = [index for index, looked in enumerate(detected) if looked]
    return [after - before for before, after in itertools.pairwise(at)]


@pytest.mark.parametrize("every", [0, -3])
def test_an_interval_below_one_is_refused(every):
    with pytest.raises(InvalidInputError, match=f"1 or more frames, not {every}: use --detect-every 1"):
        DetectionSchedule(every=every)


@pytest.mark.parametrize("target", [0.0, -1.0, math.nan, math.inf])
def test_a_target_that_is_no_speed_is_refused(target):
    with pytest.raises(InvalidInputError, match=f"more than 0 frames/s, not {target}: use --target-fps"):
        DetectionSchedule(target_fps=target)


@pytest.mark.parametrize("every", [1, 2, 5])
def test_every_nth_frame_is_detected_from_the_first(every):
    pacer = DetectionPacer(DetectionSchedule(every))
    assert [pacer.wants_detection(0.0) for _ in range(11)] == [index % every == 0 for index in range(11)]


@given(
    target=st.floats(2, 60),
    busy=st.floats(1.05, 8),
    every=st.sampled_from([1, 1, 2]),
)
@settings(max_examples=100)
def test_the_target_is_kept_with_as_many_detections_as_it_leaves_time_for(target, busy, every):
    """A detection takes ``busy`` periods of the target, less than the horizon; all else is quick."""
    detection_s = min(busy / target, 0.8 * HORIZON_S)
    device, last = Device(detection_s, other_s=0.02 / target), 300
    device.run(DetectionPacer(DetectionSchedule(every, target)), 100 + last)
    assert device.detected[0]
    assert device.speed(last) > 0.95 * target
    possible = min(1 / every, 1 / (target * detection_s))
    assert device.share_detected(last) > 0.85 * possible
    # In turns, not in bursts.
    assert every <= min(gaps(device.detected)) <= max(gaps(device.detected[-last:])) <= 3 + 2 / possible


def test_a_fast_device_detects_every_frame():
    device = Device(detection_s=0.02)
    device.run(DetectionPacer(DetectionSchedule(target_fps=30)), 200)
    assert all(device.detected)


def test_the_interval_follows_the_device_as_it_gets_slower_and_faster():
    pacer, device = DetectionPacer(DetectionSchedule(target_fps=20)), Device(detection_s=0.04)
    shares = []
    for detection_s in (0.04, 0.2, 0.04):
        device.detection_s = detection_s
        device.run(pacer, 300)
        shares.append(device.share_detected(200))
        if detection_s == 0.2:
            assert set(gaps(device.detected[-200:])) <= {3, 4, 5}
    assert shares == pytest.approx([1, 0.25, 1], abs=0.02)


def test_time_saved_long_ago_is_not_spent_later():
    pacer, device = DetectionPacer(DetectionSchedule(target_fps=20)), Device(detection_s=0.01)
    device.run(pacer, 1000)
    device.detection_s = 0.2
    device.run(pacer, 200)
    assert device.speed(160) > 0.95 * 20


def test_one_slow_start_is_soon_forgotten():
    pacer, detected = DetectionPacer(DetectionSchedule(target_fps=16)), []
    pacer.took(30.0)
    for index in range(60):
        if pacer.wants_detection(index / 16):
            detected.append(index)
            pacer.took(0.04)
    assert detected == [0, 16, *range(32, 60)]


def test_a_target_out_of_reach_still_leaves_a_detection_a_second():
    device = Device(detection_s=0.01, other_s=0.2)
    device.run(DetectionPacer(DetectionSchedule(target_fps=10)), 101)
    assert set(gaps(device.detected)) == {10}


def test_detect_every_may_be_longer_than_the_horizon():
    device = Device(detection_s=0.01, other_s=0.2)
    device.run(DetectionPacer(DetectionSchedule(every=25, target_fps=10)), 101)
    assert set(gaps(device.detected)) == {25}


def test_a_pause_of_the_user_is_forgotten_after_the_horizon():
    pacer, device = DetectionPacer(DetectionSchedule(target_fps=20)), Device(detection_s=0.02)
    device.run(pacer, 100)
    device.now_s += 1000
    device.run(pacer, 100)
    assert device.share_detected(60) == 1


def test_a_live_source_below_the_target_is_not_late():
    """A camera of 10 frames/s and a network of 8: nearly every frame, whatever higher speed is asked for."""
    counts = []
    for awaited in (True, False):
        pacer = DetectionPacer(DetectionSchedule(target_fps=100))
        pacer.took(0.125)
        answers = [pacer.wants_detection(index / 10, source_was_awaited=awaited) for index in range(100)]
        counts.append(sum(answers))
    assert counts == [50, 1]
