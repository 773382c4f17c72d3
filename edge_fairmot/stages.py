"""The threads of the loop, which decode, letterbox and infer a few frames ahead, and the times of stages."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from threading import Thread
from time import monotonic
from typing import Any, TypeAlias

from edge_fairmot.channel import Channel, ChannelClosedError
from edge_fairmot.protocols import Detector, PreparingDetector, SharedDetector, Source
from edge_fairmot.schedule import HORIZON_S, DetectionPacer, DetectionSchedule
from edge_fairmot.types import Detections, Frame

STAGES = ("decode", "letterbox", "inference", "association", "sinks")

TURN = "turn"
"""One more stage, with a detector that several loops share: waiting for its turn."""

QUEUE_DEPTH = 2
"""Maximum number of frames between two stages: enough for an uneven decoder, and little memory."""

JOIN_TIMEOUT_S = 1.0
"""Maximum wait for the capture thread of a live source at the end of a run: its read may never return."""

STUCK_S = 2.0
"""Maximum wait for a decoder and a detector that may never return."""

Detecting: TypeAlias = Callable[[], Detections | None]


class StageTimes:
    """Busy seconds of each stage. Each stage writes its own entries only, so no lock is needed."""

    def __init__(self, clock: Callable[[], float], stages: Sequence[str]) -> None:
        self.clock = clock
        self.busy_s = dict.fromkeys(stages, 0.0)
        self.since_s: dict[str, float | None] = dict.fromkeys(stages)  # None: not at work

    def begin(self, stage: str) -> float:
        """Note that a stage begins with a frame; returns the time."""
        started_s = self.since_s[stage] = self.clock()
        return started_s

    def add(self, stage: str, started_s: float) -> float:
        """Add the time since ``started_s`` and return it."""
        elapsed_s = self.clock() - started_s
        self.since_s[stage] = None
        self.busy_s[stage] += elapsed_s
        return elapsed_s


class Stages:
    """Threads that turn a source into (frame, detections), in order, a few frames ahead of the consumer.

    Frames of a file wait in queues, and none is dropped. Of a live source only the newest frame waits. It is
    prepared only when the detector is free, so that it is recent.
    """

    def __init__(
        self, source: Source, detector: Detector, schedule: DetectionSchedule, times: StageTimes
    ) -> None:
        self._source, self._times = source, times
        self._live = source.info.live
        self._prepare: Callable[[Frame], Detecting] = (
            detector.prepare
            if isinstance(detector, PreparingDetector)
            else lambda frame: partial(detector.detect, frame)
        )
        self._shared = detector if isinstance(detector, SharedDetector) else None
        # Turns limit the detections of a shared detector; the target is kept by prediction until one comes.
        self._pacer = DetectionPacer(schedule if self._shared is None else DetectionSchedule(schedule.every))
        self._period_s = None if schedule.target_fps is None else 1 / schedule.target_fps
        self._due_s, self._postponed = -math.inf, 0
        self._replaced = self._outdated = 0
        self._captured: Channel[Frame] = Channel(1 if self._live else QUEUE_DEPTH)
        self._prepared: Channel[tuple[Frame, Detecting | None]] = Channel(QUEUE_DEPTH)
        self._detected: Channel[tuple[Frame, Detections | None]] = Channel(1)
        # One token for each frame that may be prepared ahead of the detector; a shared one has turns instead.
        self._tokens: Channel[bool] = Channel(1 if self._live else QUEUE_DEPTH)
        self._threads = (
            _worker("capture", self._run_capture, self._captured),
            _worker("letterbox", self._run_letterbox, self._prepared),
            _worker("inference", self._run_inference, self._detected),
        )

    @property
    def dropped(self) -> int:
        """Number of frames of a live source that newer ones replaced, here or in the source."""
        return self._replaced + self._outdated

    def start(self) -> None:
        """Start the threads."""
        for _ in range(1 if self._live else QUEUE_DEPTH):
            self._tokens.put(True)
        for thread in self._threads:
            thread.start()

    def __iter__(self) -> Iterator[tuple[Frame, Detections | None]]:
        """Yield frames in order, with None for a predicted frame. Raises the error of any stage."""
        return iter(self._detected)

    def end(self) -> None:
        """End the iteration. Safe in any thread."""
        self._detected.close()

    def stop(self) -> None:
        """End the threads and wait for them, ``STUCK_S`` at most: one may never return."""
        for channel in (self._captured, self._tokens, self._prepared, self._detected):
            channel.close()
        if self._shared is not None:
            self._shared.leave()
        until_s = monotonic() + STUCK_S
        capture, *others = self._threads
        for thread in others:
            if thread.ident is not None:
                thread.join(max(0.0, until_s - monotonic()))
        if capture.ident is not None:
            capture.join(JOIN_TIMEOUT_S if self._live else max(0.0, until_s - monotonic()))

    def _run_capture(self) -> None:
        times, frames = self._times, iter(self._source)
        expected: int | None = None
        while True:
            started_s = times.begin("decode")
            try:
                frame = next(frames, None)
            finally:
                times.add("decode", started_s)
            if frame is None:
                return
            if self._live:
                # A source with its own buffer also skips frames when this thread is late.
                self._replaced += max(0, frame.index - expected) if expected is not None else 0
                expected = frame.index + 1
                self._replaced += self._captured.put_latest(frame)
            else:
                self._captured.put(frame)

    def _run_letterbox(self) -> None:
        while True:
            waiting = self._captured.poll()
            frame = self._captured.get() if waiting is None else waiting
            awaited = self._live and waiting is None
            detecting: Detecting | None = None
            if self._pacer.wants_detection(self._times.clock(), source_was_awaited=awaited):
                has_turn = self._await_detector()
                frame = self._newest(frame)
                if has_turn:
                    started_s = self._times.begin("letterbox")
                    detecting = self._prepare(frame)
                    self._times.add("letterbox", started_s)
            self._prepared.put((frame, detecting))

    def _await_detector(self) -> bool:
        """Wait until one more frame may be prepared; False if the next result is due before that."""
        if self._shared is None:
            return self._tokens.get()
        started_s = self._times.begin(TURN)
        try:
            has_turn = self._shared.take_turn(self._turn_timeout_s(started_s))
        finally:
            self._times.add(TURN, started_s)
        self._postponed = 0 if has_turn else self._postponed + 1
        if not has_turn:
            self._pacer.postpone()
        return has_turn

    def _turn_timeout_s(self, now_s: float) -> float | None:
        """Return the time until the next result is due; None without a target, or if tracks get too old."""
        if self._period_s is None:
            return None
        self._due_s = max(self._due_s + self._period_s, now_s)
        return None if (self._postponed + 1) * self._period_s >= HORIZON_S else self._due_s - now_s

    def _newest(self, frame: Frame) -> Frame:
        """Return the newest frame: a live source may deliver one while this one waits for the detector."""
        newer = self._captured.poll() if self._live else None
        if newer is None:
            return frame
        self._outdated += 1
        return newer

    def _run_inference(self) -> None:
        for frame, detecting in self._prepared:
            detections: Detections | None = None
            if detecting is not None:
                started_s = self._times.begin("inference")
                detections = detecting()
                self._pacer.took(self._times.add("inference", started_s))
                if self._shared is None:
                    self._tokens.put(True)
            self._detected.put((frame, detections))


def _worker(name: str, work: Callable[[], None], output: Channel[Any]) -> Thread:
    def run() -> None:
        try:
            work()
        except ChannelClosedError:
            output.finish()
        except BaseException as error:  # raised again by the thread that gets from the channel
            output.finish(error)
        else:
            output.finish()

    # A daemon: a read that never returns must not keep the process alive.
    return Thread(target=run, name=f"edge-fairmot {name}", daemon=True)
