"""The one loop: source, letterbox, runtime, tracker, sinks."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from time import perf_counter

from edge_fairmot.contracts import Runtime, Sink, Source
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.geometry import Letterbox
from edge_fairmot.schedule import DetectionSchedule
from edge_fairmot.stages import Inferred, Stages, StageTimes
from edge_fairmot.tracking import Tracker
from edge_fairmot.types import Detections, Frame, RawDetections, Tracks

STAGES = ("decode", "letterbox", "inference", "association", "sinks")


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What a run did, so far.

    Attributes
    ----------
    frames : int
        Frames that went through to the sinks: ``detected + predicted``.
    detected : int
        Frames that the network looked at.
    predicted : int
        Frames between them, in which tracks were moved on by prediction.
    dropped : int
        Frames of a live source that came while there was no time for them, and went nowhere.
    identities : int
        Different track ids given out.
    detections : int
        Detections above the score threshold, over all frames.
    wall_s : float
        Since the first frame was asked for.
    stage_ms : dict of str to float
        Milliseconds a frame that each stage was busy, as a mean over ``frames``. Stages run at the same time:
        their sum may be more than the time a frame took, and each is slower than it would be alone. For a
        live source, ``decode`` is mostly waiting for the next frame.
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
    """Runs a tracker over a source.

    Iterating gives ``(frame, tracks)`` pairs in order, after the sinks have had them. Meanwhile threads
    decode, letterbox and infer the next few frames; association and sinks, and whatever is done with a pair,
    run in the thread that iterates. An error in any stage is raised there, after the frames before it.

    The threads end with the iteration: after the last frame, at an error, and when a loop is left early. What
    else was opened stays open, except that :meth:`run` closes the sinks.

    Parameters
    ----------
    source : Source
    runtime : Runtime
        Its file must have a batch size of 1.
    tracker : Tracker
    sinks : sequence of Sink, optional
    schedule : DetectionSchedule, optional
        Which frames the network looks at. All when not given.
    on_detections : callable, optional
        Called with each frame that the network looked at and what it gave, in order, before the sinks have
        the frame; in the thread that iterates.
    clock : callable, optional
        Gives seconds, and does not go back: what the summary's times and the schedule go by.

    Raises
    ------
    InvalidInputError
        If the file has another batch size.

    Examples
    --------
    >>> from edge_fairmot import Pipeline, Tracker
    >>> from edge_fairmot.runtimes import open_runtime
    >>> from edge_fairmot.sources import open_source
    >>> pipeline = Pipeline(open_source("street.mp4"), open_runtime("fairmot.onnx"), Tracker())
    >>> for frame, tracks in pipeline:
    ...     print(frame.index, tracks.track_id, tracks.xyxy)  # doctest: +SKIP
    """

    def __init__(
        self,
        source: Source,
        runtime: Runtime,
        tracker: Tracker,
        sinks: Sequence[Sink] = (),
        *,
        schedule: DetectionSchedule | None = None,
        on_detections: Callable[[Frame, RawDetections], None] | None = None,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        if runtime.manifest.batch_size != 1:
            raise InvalidInputError(
                f"the file takes batches of {runtime.manifest.batch_size}, the pipeline needs 1: "
                "convert again without --batch-size"
            )
        self._source = source
        self._runtime = runtime
        self._tracker = tracker
        self._sinks = tuple(sinks)
        self._on_detections = on_detections
        self._times = StageTimes(STAGES, clock)
        self._schedule = schedule or DetectionSchedule()
        self._stages: Stages | None = None
        self._detected = self._predicted = self._identities = self._detections = 0
        self._highest_id = 0
        self._started_s: float | None = None
        self._last_s = 0.0
        self._frame_size: tuple[int, int] | None = None
        self._stopped = False

    def run(self, on_frame: Callable[[Frame, Tracks], None] | None = None) -> RunSummary:
        """Go through the whole source, and close the sinks whatever happens.

        Parameters
        ----------
        on_frame : callable, optional
            Called with each frame and its tracks.

        Returns
        -------
        RunSummary

        Raises
        ------
        EdgeFairmotError
            From any stage; what was tracked before is in the sinks, and :meth:`summary` tells how much.
        """
        with ExitStack() as stack:
            for sink in self._sinks:
                stack.callback(sink.close)
            for frame, tracks in self:
                if on_frame is not None:
                    on_frame(frame, tracks)
        return self.summary()

    def stop(self) -> None:
        """End the run after the frame that the sinks have, as if the source had ended.

        From any thread, and from a signal handler: no sink is interrupted. Frames that went no further than
        inference are not waited for.
        """
        self._stopped = True
        if self._stages is not None:
            self._stages.end()

    def summary(self) -> RunSummary:
        """Tell what was done up to now; from any thread."""
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

    def __iter__(self) -> Generator[tuple[Frame, Tracks], None, None]:
        clock = self._times.clock
        self._started_s = self._last_s = clock()
        self._stages = stages = Stages(self._source, self._runtime, self._schedule, self._times)
        try:
            if self._stopped:  # before there were stages to end
                return
            stages.start()
            for inferred in stages:
                yield inferred.frame, self._track(inferred)
                self._last_s = clock()
        finally:
            stages.stop()

    def _track(self, inferred: Inferred) -> Tracks:
        clock, frame, detections = self._times.clock, inferred.frame, None
        started_s = clock()
        self._follow_size(frame)
        if inferred.raw is None:
            tracks = self._tracker.predict(frame.time_s)
        else:
            threshold = self._tracker.config.lowest_score
            detections = select_detections(inferred.raw, inferred.letterbox, threshold)
            tracks = self._tracker.update(detections, frame.time_s)
        self._times.add("association", started_s)
        started_s = clock()
        if self._on_detections is not None and inferred.raw is not None:
            self._on_detections(frame, inferred.raw)
        for sink in self._sinks:
            sink.write(frame, tracks)
        self._times.add("sinks", started_s)
        self._last_s = clock()
        self._count(detections, tracks)
        return tracks

    def _follow_size(self, frame: Frame) -> None:
        """Take the tracks along where a source shows its picture in another size from now on."""
        height, width = frame.image.shape[:2]
        if self._frame_size not in (None, (width, height)):
            assert self._frame_size is not None
            self._tracker.rescale((width / self._frame_size[0], height / self._frame_size[1]))
        self._frame_size = width, height

    def _count(self, detections: Detections | None, tracks: Tracks) -> None:
        if detections is None:
            self._predicted += 1
        else:
            self._detected += 1
            self._detections += len(detections)
        # Ids rise with the frame of birth and are first given out one frame later, so a new one is higher
        # than all before: no set of ids has to be kept.
        self._identities += int((tracks.track_id > self._highest_id).sum())
        self._highest_id = max(self._highest_id, int(tracks.track_id.max(initial=0)))


def select_detections(raw: RawDetections, letterbox: Letterbox, score_threshold: float) -> Detections:
    """Keep what is above the threshold, in source pixels.

    Parameters
    ----------
    raw : RawDetections
        Of one picture.
    letterbox : Letterbox
        The one the picture went through.
    score_threshold : float

    Returns
    -------
    Detections
    """
    count = int((raw.scores[0] > score_threshold).sum())  # scores descend
    return Detections(
        xyxy=letterbox.to_source(raw.boxes[0, :count]),
        score=raw.scores[0, :count],
        embedding=raw.embeddings[0, :count],
        class_id=raw.class_ids[0, :count],
    )
