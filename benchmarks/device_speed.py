"""Accuracy at device speed: what a viewer of a live source would have seen, had this device tracked it.

While a detector looks at one frame the world goes on. Li, Wang and Ramanan ("Towards Streaming Perception",
ECCV 2020, arXiv:2005.10420) therefore compare, at every moment, what is true then with the newest result that
is ready then. Here that is done for tracks: the measured times of every frame are played against the source's
clock through a model of the product's live loop, which drops what it has no time for; the tracker runs on
what is left; and each frame of the source is compared with the tracks that were on the screen at its moment.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from edge_fairmot.pipeline import QUEUE_DEPTH, DetectionPacer, DetectionSchedule
from edge_fairmot.tape import Tape
from edge_fairmot.tracking import Tracker, TrackerConfig
from edge_fairmot.types import Float64Array, Tracks


@dataclass(frozen=True, slots=True)
class FrameCosts:
    """Times of the frames of one source on a device.

    Attributes
    ----------
    time_s : float64 (F,)
        When each frame was exposed, on the source's clock; rises.
    decode_s, letterbox_s, inference_s, output_s : float64 (F,)
        What each stage takes; ``output_s`` is association and sinks.
    """

    time_s: Float64Array
    decode_s: Float64Array
    letterbox_s: Float64Array
    inference_s: Float64Array
    output_s: Float64Array

    def __len__(self) -> int:
        return len(self.time_s)


@dataclass(frozen=True, slots=True)
class Shown:
    """One frame that went through the loop.

    Attributes
    ----------
    frame : int
    detected : bool
        False where its tracks were predicted.
    at_s : float
        When they were ready, on the source's clock.
    """

    frame: int
    detected: bool
    at_s: float


def keep_up_interval(costs: FrameCosts) -> int:
    """Detect every so many frames, the least with which the network keeps up with the source."""
    if len(costs) < 2:
        return 1
    period_s = float(costs.time_s[-1] - costs.time_s[0]) / (len(costs) - 1)
    busy_s = float(np.mean(costs.letterbox_s + costs.inference_s))
    return max(1, math.ceil(busy_s / period_s - 1e-9))


def play_live(costs: FrameCosts, schedule: DetectionSchedule) -> list[Shown]:
    """Let a device track a live source.

    The loop is :class:`edge_fairmot.pipeline.Stages` on a live source, stage by stage: the camera keeps one
    frame, the newest; it is letterboxed when the network is free; what is to be predicted passes the
    letterbox at once and waits in order behind what is being detected; association and output follow in
    order.

    Parameters
    ----------
    costs : FrameCosts
    schedule : DetectionSchedule

    Returns
    -------
    list of Shown
        In the order of the frames; those that are missing were dropped.
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
        now_s = loop.hand_on(frame, detected, now_s)
        waiting = frame + 1
    return loop.shown


@dataclass(slots=True)
class _LiveLoop:
    """Moments at which the stages of the loop are free again."""

    costs: FrameCosts
    ready_s: Float64Array = field(init=False)
    shown: list[Shown] = field(default_factory=list)
    network_free_s: float = -math.inf
    _taken_s: list[float] = field(default_factory=list)
    _given_s: float = -math.inf
    _got_s: float = -math.inf

    def __post_init__(self) -> None:
        # Decoding is a stage of its own: frame by frame, each not before its moment.
        ready, free_s = [], -math.inf
        for time_s, decode_s in zip(self.costs.time_s.tolist(), self.costs.decode_s.tolist(), strict=True):
            free_s = max(free_s, time_s) + decode_s
            ready.append(free_s)
        self.ready_s = np.array(ready)

    def newest(self, oldest: int, now_s: float) -> int:
        """Newest frame that is ready, ``oldest`` or later."""
        return max(oldest, int(np.searchsorted(self.ready_s, now_s, "right")) - 1)

    def hand_on(self, frame: int, detected: bool, now_s: float) -> float:
        """Give a frame to the network's thread and on to the output; returns when the giver is free again."""
        if len(self._taken_s) >= QUEUE_DEPTH:
            now_s = max(now_s, self._taken_s[-QUEUE_DEPTH])
        taken_s = max(now_s, self._given_s)
        self._taken_s.append(taken_s)
        done_s = taken_s + (float(self.costs.inference_s[frame]) if detected else 0.0)
        if detected:
            self.network_free_s = done_s
        self._given_s = max(done_s, self._got_s)  # one may wait for the output
        self._got_s = max(self._given_s, self.shown[-1].at_s if self.shown else -math.inf)
        self.shown.append(Shown(frame, detected, self._got_s + float(self.costs.output_s[frame])))
        return now_s


def track_shown(tape: Tape, shown: Sequence[Shown], config: TrackerConfig) -> list[Tracks]:
    """Track the frames that went through the loop, from what was recorded.

    Parameters
    ----------
    tape : Tape
        Of every frame of the source that was measured.
    shown : sequence of Shown
        ``frame`` is the place on the tape.
    config : TrackerConfig

    Returns
    -------
    list of Tracks
        One a frame shown.
    """
    tracker = Tracker(config)
    return [
        tracker.update(tape.detections(entry.frame), float(tape.time_s[entry.frame]))
        if entry.detected
        else tracker.predict(float(tape.time_s[entry.frame]))
        for entry in shown
    ]


def track_tape(tape: Tape, config: TrackerConfig) -> list[Tracks]:
    """Track every frame on a tape; gives one for each."""
    return track_shown(tape, [Shown(frame, True, 0.0) for frame in range(len(tape))], config)


def on_screen(time_s: Float64Array, shown: Sequence[Shown], tracks: Sequence[Tracks]) -> list[Tracks]:
    """Find what was to be seen at the moment of every frame.

    Parameters
    ----------
    time_s : float64 (F,)
        Moments of all frames of the source.
    shown : sequence of Shown
    tracks : sequence of Tracks
        Of each of them.

    Returns
    -------
    list of Tracks
        One a frame of the source; nobody before the first result.
    """
    ready_s = np.array([entry.at_s for entry in shown])
    newest = np.searchsorted(ready_s, time_s, "right") - 1
    return [tracks[index] if index >= 0 else _NOBODY for index in newest.tolist()]


_NOBODY = Tracks(
    track_id=np.zeros(0, np.int64),
    xyxy=np.zeros((0, 4), np.float32),
    score=np.zeros(0, np.float32),
    class_id=np.zeros(0, np.int64),
    predicted=np.zeros(0, np.bool_),
)
