"""The one loop: frames of a source go through a detector, the tracker and a counter to the sinks."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from time import perf_counter

from edge_fairmot.camera_motion import CameraMotion
from edge_fairmot.classes import class_name
from edge_fairmot.counting import Counter, IgnoredZones
from edge_fairmot.protocols import Detector, HasClassNames, SharedDetector, Sink, Source
from edge_fairmot.schedule import DetectionSchedule
from edge_fairmot.stages import STAGES, TURN, Stages, StageTimes
from edge_fairmot.tracking import Tracker
from edge_fairmot.types import CountingEvent, Counts, Detections, Frame, FrameResult, Tracks


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
        Detections above the score threshold and in no ignored zone, over all frames.
    wall_s : float
        Seconds since the first frame was requested.
    stage_ms : dict of str to float
        Busy milliseconds of each stage, mean over ``frames``. Stages overlap: their sum may exceed a frame's
        time. For a live source, ``decode`` is mostly waiting for the next frame.
    identities_by_class : mapping of str to int
        Distinct track ids of each class that was tracked, by name.
    unknown_motion : int
        Frames in which the motion of a moving camera could not be estimated: the tracks were not moved.
    """

    frames: int
    detected: int
    predicted: int
    dropped: int
    identities: int
    detections: int
    wall_s: float
    stage_ms: dict[str, float]
    identities_by_class: Mapping[str, int] = field(default_factory=dict)
    unknown_motion: int = 0

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
    camera_motion : CameraMotion, optional
        Estimates the motion of a moving camera, by which the tracks are then moved.
    ignored : IgnoredZones, optional
        Zones whose detections are left out; ``on_detections`` gets those too.
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
        camera_motion: CameraMotion | None = None,
        ignored: IgnoredZones | None = None,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._source = source
        self._detector = detector
        self._tracker = tracker
        self._counter = counter
        self._on_detections = on_detections
        self._camera_motion = camera_motion
        self._ignored = ignored or IgnoredZones()
        self._objects = Detections.empty().xyxy  # boxes of the last frame
        self._times = StageTimes(clock, (*STAGES, TURN) if isinstance(detector, SharedDetector) else STAGES)
        self._schedule = schedule or DetectionSchedule()
        self._stages: Stages | None = None
        self._class_names = detector.class_names if isinstance(detector, HasClassNames) else ("person",)
        self._detected = self._predicted = self._detections = 0
        self._identities: Tally[int] = Tally()  # by class id
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
            for result in self.results(sinks):
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
            identities=self._identities.total(),
            detections=self._detections,
            wall_s=self._last_s - self._started_s if self._started_s is not None else 0.0,
            stage_ms={name: 1e3 * busy_s / max(frames, 1) for name, busy_s in self._times.busy_s.items()},
            identities_by_class={
                class_name(one, self._class_names): count for one, count in sorted(self._identities.items())
            },
            unknown_motion=self._camera_motion.unknown if self._camera_motion is not None else 0,
        )

    def busy_s(self) -> dict[str, float]:
        """Return the time that each stage has worked on its present frame, to find one that hangs.

        From any thread. A stage that waits for another is absent; ``decode`` of a live source is mostly
        waiting for the next frame.
        """
        now_s = self._times.clock()
        return {stage: now_s - at_s for stage, at_s in self._times.since_s.items() if at_s is not None}

    def __iter__(self) -> Generator[FrameResult, None, None]:
        return self.results()

    def results(self, sinks: Sequence[Sink] = ()) -> Generator[FrameResult, None, None]:
        """Yield each result after the sinks have it. The caller closes the sinks."""
        clock = self._times.clock
        self._started_s = self._last_s = clock()
        self._stages = stages = Stages(self._source, self._detector, self._schedule, self._times)
        try:
            if self._stopped:  # before the stages existed
                return
            stages.start()
            for frame, found in stages:
                detections = None if found is None else self._ignored.apply(found, frame.size)
                if self._on_detections is not None:
                    self._on_detections(frame, found)
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
        self._follow_camera(frame)
        if detections is None:
            tracks = self._tracker.predict(frame.time_s)
        else:
            tracks = self._tracker.update(detections, frame.time_s)
        self._objects = tracks.xyxy if detections is None else detections.xyxy
        events: tuple[CountingEvent, ...] = ()
        counts: Counts | None = None
        if self._counter is not None:
            events = self._counter.update(tracks, frame.time_s, frame.size)
            counts = self._counter.counts
        self._times.add("association", started_s)
        return FrameResult(frame, tracks, events, counts, self._class_names)

    def _follow_size(self, frame: Frame) -> None:
        """Scale the tracks when the source changes its frame size."""
        if self._frame_size is not None and self._frame_size != frame.size:
            (width, height), (old_width, old_height) = frame.size, self._frame_size
            self._tracker.rescale((width / old_width, height / old_height))
        self._frame_size = frame.size

    def _follow_camera(self, frame: Frame) -> None:
        """Move the tracks as the camera moved."""
        if self._camera_motion is None:
            return
        moved = self._camera_motion.estimate(frame.image, self._objects)
        if moved is not None:
            self._tracker.move(moved)

    def _sum_up(self, detections: Detections | None, tracks: Tracks) -> None:
        if detections is None:
            self._predicted += 1
        else:
            self._detected += 1
            self._detections += len(detections)
        # Ids rise with the start frame, and a track is confirmed in the next frame or never. So a new id is
        # higher than all before, and no set of ids is needed.
        new = tracks.class_id[tracks.track_id > self._highest_id]
        if len(new):  # replaced and not changed: other threads read it
            self._identities = self._identities + Tally(new.tolist())
        self._highest_id = max(self._highest_id, int(tracks.track_id.max(initial=0)))
