"""The one loop: frames of a source go through a detector, the tracker and a counter to the sinks."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from threading import Thread
from time import monotonic, perf_counter
from typing import Any, TypeAlias

from edge_fairmot.channel import Channel, ChannelClosedError
from edge_fairmot.counting import Counter
from edge_fairmot.protocols import Detector, PreparingDetector, SharedDetector, Sink, Source
from edge_fairmot.schedule import HORIZON_S, DetectionPacer, DetectionSchedule
from edge_fairmot.tracking import Tracker
from edge_fairmot.types import CountingEvent, Counts, Detections, Frame, FrameResult, Tracks

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


@dataclass(frozen=True, slots=True)
class RunSummary:
    """Figures of a run up to now.

    Attributes
    ----------
    frames : int
        Frames with a result: ``detected + predicted``.
    detected : int
        Frames in which the detector ran.
    predicted : int
        Frames between them, in which tracks were moved by prediction.
    dropped : int
        Frames of a live source that were replaced by newer ones.
    identities : int
        Distinct track ids.
    detections : int
        Detections above the score threshold, over all frames.
    wall_s : float
        Seconds since the first frame was requested.
    stage_ms : dict of str to float
        Busy milliseconds of each stage, mean over ``frames``. Stages overlap: their sum may exceed a frame's
        time. For a live source, ``decode`` is mostly waiting for the next frame.
    """

    frames: int
    detected: int
    predicted: int
    dropped: int
    identities: int
    detections: int
    wall_s: float
    stage_ms: dict[str, float]

    @property
    def frame_rate(self) -> float:
        """Frames per second, wall clock."""
        return self.frames / self.wall_s if self.wall_s else 0.0


class Pipeline:
    """Runs a detector, a tracker and a counter over a source.

    Iterating yields a :class:`FrameResult` per frame, in order. Meanwhile threads decode, letterbox and infer
    the next few frames. Association, counting, and the code that uses a result run in the iterating thread.
    An error in any stage is raised there, after the frames before it.

    The threads end with the iteration: after the last frame, at an error, and when a loop is left early. A
    thread that hangs in a decoder or a detector is abandoned after two seconds. The source and the detector
    stay open; :meth:`run` closes its sinks.

    Parameters
    ----------
    source : Source
    detector : Detector
    tracker : Tracker
    counter : Counter, optional
        Counts the tracks of each frame. Without it, results have no events and no counts.
    schedule : DetectionSchedule, optional
        Chooses the frames in which the detector runs: all of them when not given.
    on_detections : callable, optional
        Called in the iterating thread with each frame and its detections, before the frame's result is
        yielded. The detections of a predicted frame are None.
    clock : callable, optional
        Monotonic clock, in seconds, for the times of the summary and for the schedule.

    Examples
    --------
    >>> from edge_fairmot import FairMotDetector, Pipeline, Tracker, open_runtime, open_source
    >>> detector = FairMotDetector(open_runtime("fairmot.onnx"))  # doctest: +SKIP
    >>> for result in Pipeline(open_source("street.mp4"), detector, Tracker()):  # doctest: +SKIP
    ...     print(result.frame.number, result.tracks.track_id, result.tracks.xyxy)
    """

    def __init__(
        self,
        source: Source,
        detector: Detector,
        tracker: Tracker,
        *,
        counter: Counter | None = None,
        schedule: DetectionSchedule | None = None,
        on_detections: Callable[[Frame, Detections | None], None] | None = None,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._source = source
        self._detector = detector
        self._tracker = tracker
        self._counter = counter
        self._on_detections = on_detections
        self._times = _StageTimes(clock, (*STAGES, TURN) if isinstance(detector, SharedDetector) else STAGES)
        self._schedule = schedule or DetectionSchedule()
        self._stages: _Stages | None = None
        self._detected = self._predicted = self._identities = self._detections = 0
        self._highest_id = 0
        self._started_s: float | None = None
        self._last_s = 0.0
        self._frame_size: tuple[int, int] | None = None
        self._stopped = False

    def run(
        self, sinks: Sequence[Sink] = (), on_result: Callable[[FrameResult], None] | None = None
    ) -> RunSummary:
        """Run over the whole source and write every result to the sinks, which are closed in any case.

        Parameters
        ----------
        sinks : sequence of Sink
        on_result : callable, optional
            Called with each result, after the sinks.

        Returns
        -------
        RunSummary

        Raises
        ------
        EdgeFairmotError
            From any stage; the results before it are in the sinks, and :meth:`summary` counts them.
        """
        with ExitStack() as stack:
            for sink in sinks:
                stack.callback(sink.close)
            for result in self._results(sinks):
                if on_result is not None:
                    on_result(result)
        return self.summary()

    def stop(self) -> None:
        """End the run after the current result, as if the source had ended.

        Safe in any thread and in a signal handler. No sink is interrupted. Frames that are still in earlier
        stages are discarded.
        """
        self._stopped = True
        if self._stages is not None:
            self._stages.end()

    def summary(self) -> RunSummary:
        """Return the figures up to now. Safe in any thread."""
        frames = self._detected + self._predicted
        return RunSummary(
            frames=frames,
            detected=self._detected,
            predicted=self._predicted,
            dropped=self._stages.dropped if self._stages is not None else 0,
            identities=self._identities,
            detections=self._detections,
            wall_s=self._last_s - self._started_s if self._started_s is not None else 0.0,
            stage_ms={name: 1e3 * busy_s / max(frames, 1) for name, busy_s in self._times.busy_s.items()},
        )

    def busy_s(self) -> dict[str, float]:
        """Return the time that each stage has worked on its present frame, to find one that hangs.

        From any thread. A stage that waits for another is absent; ``decode`` of a live source is mostly
        waiting for the next frame.
        """
        now_s = self._times.clock()
        return {stage: now_s - at_s for stage, at_s in self._times.since_s.items() if at_s is not None}

    def __iter__(self) -> Generator[FrameResult, None, None]:
        return self._results(())

    def _results(self, sinks: Sequence[Sink]) -> Generator[FrameResult, None, None]:
        clock = self._times.clock
        self._started_s = self._last_s = clock()
        self._stages = stages = _Stages(self._source, self._detector, self._schedule, self._times)
        try:
            if self._stopped:  # before the stages existed
                return
            stages.start()
            for frame, detections in stages:
                result = self._associate(frame, detections)
                started_s = self._times.begin("sinks")
                for sink in sinks:
                    sink.write(result)
                self._last_s = started_s + self._times.add("sinks", started_s)
                self._sum_up(detections, result.tracks)
                yield result
                self._last_s = clock()
        finally:
            stages.stop()

    def _associate(self, frame: Frame, detections: Detections | None) -> FrameResult:
        started_s = self._times.begin("association")
        self._follow_size(frame)
        if detections is None:
            tracks = self._tracker.predict(frame.time_s)
        else:
            tracks = self._tracker.update(detections, frame.time_s)
        events: tuple[CountingEvent, ...] = ()
        counts: Counts | None = None
        if self._counter is not None:
            events = self._counter.update(tracks, frame.time_s, frame.size)
            counts = self._counter.counts
        self._times.add("association", started_s)
        if self._on_detections is not None:
            self._on_detections(frame, detections)
        return FrameResult(frame, tracks, events, counts)

    def _follow_size(self, frame: Frame) -> None:
        """Scale the tracks when the source changes its frame size."""
        if self._frame_size is not None and self._frame_size != frame.size:
            (width, height), (old_width, old_height) = frame.size, self._frame_size
            self._tracker.rescale((width / old_width, height / old_height))
        self._frame_size = frame.size

    def _sum_up(self, detections: Detections | None, tracks: Tracks) -> None:
        if detections is None:
            self._predicted += 1
        else:
            self._detected += 1
            self._detections += len(detections)
        # Ids rise with the start frame, and a track is confirmed in the next frame or never. So a new id is
        # higher than all before, and no set of ids is needed.
        self._identities += int((tracks.track_id > self._highest_id).sum())
        self._highest_id = max(self._highest_id, int(tracks.track_id.max(initial=0)))


class _StageTimes:
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


class _Stages:
    """Threads that turn a source into (frame, detections), in order, a few frames ahead of the consumer.

    Frames of a file wait in queues, and none is dropped. Of a live source only the newest frame waits. It is
    prepared only when the detector is free, so that it is recent.
    """

    def __init__(
        self, source: Source, detector: Detector, schedule: DetectionSchedule, times: _StageTimes
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
