"""Accuracy at device speed: the tracks that a viewer of a live source would have seen on this device.

While a detector works on one frame, the scene changes. Li, Wang and Ramanan ("Towards Streaming Perception",
ECCV 2020, arXiv:2005.10420) therefore compare the truth of every moment with the newest result that is ready
then. Here this is done for tracks. The measured times of every frame are played against the source's clock,
through a model of the live pipeline that drops frames it has no time for. The tracker runs on the others.
Each frame of the source is compared with the tracks on the screen at its moment.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from edge_fairmot.schedule import DetectionPacer, DetectionSchedule
from edge_fairmot.stages import QUEUE_DEPTH
from edge_fairmot.tracking import Tracker, TrackerConfig
from edge_fairmot.types import Detections, Float64Array, Tracks


@dataclass(frozen=True, slots=True)
class FrameCosts:
    """Seconds that each stage takes for the frames of one source, float64 (F,) each."""

    time_s: Float64Array  # moment of exposure, on the source's clock; rises
    decode_s: Float64Array
    letterbox_s: Float64Array
    inference_s: Float64Array
    output_s: Float64Array  # association and sinks

    def __len__(self) -> int:
        return len(self.time_s)


@dataclass(frozen=True, slots=True)
class Shown:
    """One frame that went through the pipeline."""

    frame: int
    detected: bool  # False where its tracks were predicted
    at_s: float  # the moment its tracks were ready, on the source's clock


def keep_up_interval(costs: FrameCosts) -> int:
    """Return the least N with which detection in every Nth frame keeps up with the source."""
    if len(costs) < 2:
        return 1
    period_s = float(costs.time_s[-1] - costs.time_s[0]) / (len(costs) - 1)
    busy_s = float(np.mean(costs.letterbox_s + costs.inference_s))
    return max(1, math.ceil(busy_s / period_s - 1e-9))


def play_live(costs: FrameCosts, schedule: DetectionSchedule) -> list[Shown]:
    """Return the frames that a device shows of a live source, in their order; the others are dropped.

    The model is that of :class:`edge_fairmot.Pipeline` on a live source, stage by stage. The camera keeps the
    newest frame. It is letterboxed when the network is free. A frame to be predicted passes the letterbox at
    once and waits in order behind the detection in progress. Association and output follow in order.
    """
    loop, pacer = _LiveLoop(costs), DetectionPacer(schedule)
    waiting, now_s = 0, -math.inf
    while waiting < len(costs):
        awaited = loop.ready_s[waiting] > now_s
        now_s = max(now_s, loop.ready_s[waiting])
        frame = loop.newest(waiting, now_s)
        detected = pacer.wants_detection(now_s, source_was_awaited=awaited)
        if detected:
            now_s = max(now_s, loop.network_free_s)
            frame = loop.newest(frame, now_s)
            now_s += costs.letterbox_s[frame]
            pacer.took(float(costs.inference_s[frame]))
        now_s = loop.pass_on(frame, detected, now_s)
        waiting = frame + 1
    return loop.shown


@dataclass(slots=True)
class _LiveLoop:
    """Moments at which the stages are free again."""

    costs: FrameCosts
    ready_s: Float64Array = field(init=False)
    shown: list[Shown] = field(default_factory=list)
    network_free_s: float = -math.inf
    _taken_s: list[float] = field(default_factory=list)
    _given_s: float = -math.inf
    _got_s: float = -math.inf

    def __post_init__(self) -> None:
        # Decoding is its own stage: each frame is decoded no earlier than its time.
        ready, free_s = [], -math.inf
        for time_s, decode_s in zip(self.costs.time_s.tolist(), self.costs.decode_s.tolist(), strict=True):
            free_s = max(free_s, time_s) + decode_s
            ready.append(free_s)
        self.ready_s = np.array(ready)

    def newest(self, oldest: int, now_s: float) -> int:
        """Return the newest frame that is ready, ``oldest`` or later."""
        return max(oldest, int(np.searchsorted(self.ready_s, now_s, "right")) - 1)

    def pass_on(self, frame: int, detected: bool, now_s: float) -> float:
        """Pass a frame on to the network and the output; returns the moment the letterbox is free again."""
        if len(self._taken_s) >= QUEUE_DEPTH:
            now_s = max(now_s, self._taken_s[-QUEUE_DEPTH])
        taken_s = max(now_s, self._given_s)
        self._taken_s.append(taken_s)
        done_s = taken_s + (float(self.costs.inference_s[frame]) if detected else 0.0)
        if detected:
            self.network_free_s = done_s
        self._given_s = max(done_s, self._got_s)  # one frame may wait for the output
        self._got_s = max(self._given_s, self.shown[-1].at_s if self.shown else -math.inf)
        self.shown.append(Shown(frame, detected, self._got_s + float(self.costs.output_s[frame])))
        return now_s


def track_shown(
    detections: Sequence[Detections], time_s: Float64Array, shown: Sequence[Shown], config: TrackerConfig
) -> list[Tracks]:
    """Return the tracks of each shown frame, from the detections of all frames of the source."""
    tracker = Tracker(config)
    return [
        tracker.update(detections[entry.frame], float(time_s[entry.frame]))
        if entry.detected
        else tracker.predict(float(time_s[entry.frame]))
        for entry in shown
    ]


def on_screen(time_s: Float64Array, shown: Sequence[Shown], tracks: Sequence[Tracks]) -> list[Tracks]:
    """Return the tracks on the screen at the moment of every frame; none before the first result."""
    ready_s = np.array([entry.at_s for entry in shown])
    newest = np.searchsorted(ready_s, time_s, "right") - 1
    return [tracks[index] if index >= 0 else Tracks.empty() for index in newest.tolist()]
