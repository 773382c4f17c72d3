"""The one loop: source, letterbox, runtime, tracker, sinks."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from threading import Thread
from time import perf_counter
from typing import Any

import numpy as np

from edge_fairmot.channel import Channel, ChannelClosedError
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.letterbox import Letterbox
from edge_fairmot.protocols import Runtime, Sink, Source
from edge_fairmot.tracking import Tracker
from edge_fairmot.types import Detections, Frame, RawDetections, Tracks, UInt8Array

# FOLDED schedule.py: Which frames the network looks at; between them tracks are predicted.

HORIZON_S = 1.0
"""A speed is kept over about this long: time lost or saved longer ago is forgotten, and however slow the
device, no longer than this many frames at the speed asked for pass without a detection."""

COSTS_REMEMBERED = 5
"""The median of the newest detections' times is what the next is thought to take: the first is often slower
by far than all that follow, and must not count for long."""


@dataclass(frozen=True, slots=True)
class DetectionSchedule:
    """Which frames are detected. The first always is.

    Attributes
    ----------
    every : int
        Detect every so many frames, or less often where ``target_fps`` asks for it.
    target_fps : float or None
        Frames per second to keep: detections are as frequent as they can be without falling below it. Where
        the rest of the work alone is slower, one frame a second at that speed is detected still.

    Raises
    ------
    InvalidInputError
        If one of them is not positive.
    """

    every: int = 1
    target_fps: float | None = None

    def __post_init__(self) -> None:
        if self.every < 1:
            raise InvalidInputError(f"detect every 1 or more frames, not {self.every}: use --detect-every 1")
        if self.target_fps is not None and not 0 < self.target_fps < math.inf:
            raise InvalidInputError(
                f"the target must be more than 0 frames/s, not {self.target_fps}: use --target-fps 15, "
                "or leave it out"
            )


class DetectionPacer:
    """Decides frame by frame, from the times it is told. It has no clock of its own.

    The detector is thought of as a server that is busy for the time a detection takes, and a frame as due one
    period of the target after the one before. A frame is detected if, when it is due, the server is free and
    the run is not late.

    Parameters
    ----------
    schedule : DetectionSchedule
    """

    def __init__(self, schedule: DetectionSchedule) -> None:
        self._every = schedule.every
        self._period_s = None if schedule.target_fps is None else 1 / schedule.target_fps
        self._passed: int | None = None
        self._costs_s: tuple[float, ...] = ()
        self._due_s = self._free_s = 0.0

    def wants_detection(self, now_s: float, *, source_was_awaited: bool = False) -> bool:
        """Decide about the next frame; to be asked once for each, in order.

        Parameters
        ----------
        now_s : float
            The time, on any clock that does not go back.
        source_was_awaited : bool
            True where a live source had no frame ready: then nothing was late, however slow the source is.
        """
        if self._period_s is None:
            wanted = self._passed is None or self._passed + 1 >= self._every
        else:
            self._follow(now_s, self._period_s, source_was_awaited)
            wanted = self._is_affordable(now_s, self._period_s)
        self._passed = 0 if wanted else (self._passed or 0) + 1
        return wanted

    def took(self, cost_s: float) -> None:
        """Tell how long a detection took. May be called from another thread."""
        self._costs_s = (*self._costs_s[1 - COSTS_REMEMBERED :], cost_s)

    def _follow(self, now_s: float, period_s: float, source_was_awaited: bool) -> None:
        if self._passed is None:
            self._due_s = self._free_s = now_s
            return
        earliest_s = now_s if source_was_awaited else now_s - HORIZON_S
        self._due_s = min(max(self._due_s + period_s, earliest_s), now_s + HORIZON_S)

    def _is_affordable(self, now_s: float, period_s: float) -> bool:
        if self._passed is not None:
            if self._passed + 1 < self._every:
                return False
            overdue = (self._passed + 1) * period_s >= HORIZON_S
            if not overdue and max(self._free_s, now_s) > self._due_s:
                return False
        cost_s = median(self._costs_s) if self._costs_s else 0.0
        self._free_s = min(max(self._free_s, now_s) + cost_s, now_s + HORIZON_S)
        return True


# FOLDED stages.py: The stages before association, each in a thread of its own: capture, letterbox, inference.

QUEUE_DEPTH = 2
"""Frames that may wait between two stages: enough for an uneven decoder, and little memory."""

LONGEST_FAREWELL_S = 1.0
"""How long the end of a run waits for a live source that may never give another frame."""

Clock = Callable[[], float]


class StageTimes:
    """Seconds that each stage was busy. A stage adds to its own alone, so no lock is needed.

    Parameters
    ----------
    names : tuple of str
    clock : callable
        Gives seconds.
    """

    def __init__(self, names: tuple[str, ...], clock: Clock) -> None:
        self.clock = clock
        self.busy_s = dict.fromkeys(names, 0.0)

    def add(self, stage: str, started_s: float) -> float:
        """Add the time since then, and return it."""
        elapsed_s = self.clock() - started_s
        self.busy_s[stage] += elapsed_s
        return elapsed_s


@dataclass(frozen=True, slots=True)
class _Prepared:
    frame: Frame
    letterbox: Letterbox
    batch: UInt8Array | None


@dataclass(frozen=True, slots=True)
class Inferred:
    """A frame after inference.

    Attributes
    ----------
    frame : Frame
    letterbox : Letterbox
        The one that its picture went or would have gone through.
    raw : RawDetections or None
        None where the frame is to be predicted.
    """

    frame: Frame
    letterbox: Letterbox
    raw: RawDetections | None


class Stages:
    """Three threads that turn a source into inferred frames, in order, a few frames ahead of who iterates.

    Frames of a file wait for each other, and none is dropped. Of a live source only the newest frame waits;
    it is prepared when the network is free and not before, so that it does not grow old.

    Parameters
    ----------
    source : Source
    runtime : Runtime
        Called from one thread, in frame order.
    schedule : DetectionSchedule
    times : StageTimes
        Of the stages ``decode``, ``letterbox`` and ``inference``.
    """

    def __init__(
        self, source: Source, runtime: Runtime, schedule: DetectionSchedule, times: StageTimes
    ) -> None:
        self._source, self._runtime, self._times = source, runtime, times
        self._live = source.info.live
        self._pacer = DetectionPacer(schedule)
        self._replaced = self._outdated = 0
        self._captured: Channel[Frame] = Channel(1 if self._live else QUEUE_DEPTH)
        self._prepared: Channel[_Prepared] = Channel(QUEUE_DEPTH)
        self._inferred: Channel[Inferred] = Channel(1)
        # A ring: a batch goes round from the letterbox to the network and back.
        self._batches: Channel[UInt8Array] = Channel(1 if self._live else QUEUE_DEPTH)
        self._threads = (
            _worker("capture", self._capture, self._captured),
            _worker("letterbox", self._prepare, self._prepared),
            _worker("inference", self._infer, self._inferred),
        )

    @property
    def dropped(self) -> int:
        """Frames of a live source that a newer one took the place of, here or in the source."""
        return self._replaced + self._outdated

    def start(self) -> None:
        """Start the threads."""
        width, height = self._runtime.manifest.input_size
        for _ in range(1 if self._live else QUEUE_DEPTH):
            self._batches.put(np.empty((1, height, width, 3), np.uint8))
        for thread in self._threads:
            thread.start()

    def __iter__(self) -> Iterator[Inferred]:
        """Inferred frames in order, and then what any stage failed with."""
        return iter(self._inferred)

    def end(self) -> None:
        """Give out no more frames; from any thread."""
        self._inferred.close()

    def stop(self) -> None:
        """End the threads and wait for them: for the read and the inference that are going on, no longer."""
        for channel in (self._captured, self._batches, self._prepared, self._inferred):
            channel.close()
        capture, *others = self._threads
        for thread in others:
            if thread.ident is not None:
                thread.join()
        if capture.ident is not None:
            capture.join(LONGEST_FAREWELL_S if self._live else None)

    def _capture(self) -> None:
        times, frames = self._times, iter(self._source)
        due: int | None = None
        while True:
            started_s = times.clock()
            frame = next(frames, None)
            times.add("decode", started_s)
            if frame is None:
                return
            if self._live:
                # A source that buffers passes over frames too when this thread is late.
                self._replaced += max(0, frame.index - due) if due is not None else 0
                due = frame.index + 1
                self._replaced += self._captured.put_latest(frame)
            else:
                self._captured.put(frame)

    def _prepare(self) -> None:
        letterbox: Letterbox | None = None
        while True:
            waiting = self._captured.poll()
            frame = self._captured.get() if waiting is None else waiting
            awaited = self._live and waiting is None
            batch: UInt8Array | None = None
            if self._pacer.wants_detection(self._times.clock(), source_was_awaited=awaited):
                batch = self._batches.get()
                frame = self._newest(frame)
            size = frame.image.shape[1::-1]
            if letterbox is None or letterbox.source_size != size:
                letterbox = Letterbox((size[0], size[1]), self._runtime.manifest.input_size)
            if batch is not None:
                started_s = self._times.clock()
                _fill(batch[0], frame, letterbox)
                self._times.add("letterbox", started_s)
            self._prepared.put(_Prepared(frame, letterbox, batch))

    def _newest(self, frame: Frame) -> Frame:
        """Give what has come in from a live source while this frame waited for the network, if anything."""
        newer = self._captured.poll() if self._live else None
        if newer is None:
            return frame
        self._outdated += 1
        return newer

    def _infer(self) -> None:
        for prepared in self._prepared:
            raw: RawDetections | None = None
            if prepared.batch is not None:
                started_s = self._times.clock()
                raw = self._runtime.infer(prepared.batch)
                self._pacer.took(self._times.add("inference", started_s))
                self._batches.put(prepared.batch)
            self._inferred.put(Inferred(prepared.frame, prepared.letterbox, raw))


def _fill(batch: UInt8Array, frame: Frame, letterbox: Letterbox) -> None:
    if frame.reduced is None:
        letterbox.apply(frame.image, out=batch)
        return
    width, height = frame.reduced.shape[1::-1]
    reduced = Letterbox((width, height), letterbox.input_size)
    if reduced.inner_size != letterbox.inner_size:
        large = "x".join(map(str, letterbox.source_size))
        raise InvalidInputError(
            f"the camera's small picture, {width}x{height}, is of another shape than its large one, {large}: "
            "ask for one shape, as in size=1152x640,lores=576x320"
        )
    reduced.apply(frame.reduced, out=batch)


def _worker(name: str, work: Callable[[], None], output: Channel[Any]) -> Thread:
    def run() -> None:
        try:
            work()
        except ChannelClosedError:
            output.finish()
        except BaseException as error:  # raised again by who gets from the channel
            output.finish(error)
        else:
            output.finish()

    # A daemon: a read that never returns must not keep the process alive.
    return Thread(target=run, name=f"edge-fairmot {name}", daemon=True)


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
