"""A file on a runtime, in the loop: what is in a contender's process."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

from edge_fairmot.benchmarks.speed.camera import FirstFrames, LivePlayback
from edge_fairmot.benchmarks.speed.stage_timing import TimedFrame, time_stages
from edge_fairmot.errors import InvalidInputError, MissingDependencyError
from edge_fairmot.letterbox import Letterbox
from edge_fairmot.pipeline import Pipeline
from edge_fairmot.protocols import Sink, Source
from edge_fairmot.sinks import JsonLinesHeader, JsonLinesSink, MotTextSink
from edge_fairmot.sources import open_source
from edge_fairmot.tape import TapeHeader
from edge_fairmot.tape_recorder import TapeRecorder
from edge_fairmot.tracking import Tracker, TrackerConfig

RECORDED_MARGIN = 0.02
"""Tapes reach this far below the score threshold: whether two peaks agree is judged within that margin."""


PIPELINED_FRAMES = 100
"""Of each source, for the throughput: a mean, which needs fewer frames than a percentile."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a contender is to do.

    Attributes
    ----------
    model : Path
    runtime : str
    sources : tuple of str
    tapes : tuple of Path
        Where what is found in each source is recorded.
    scratch : Path
        Folder for what the sinks write.
    frames : int
        Of each source, at most.
    score_threshold : float
    threads : int or None
    warm_up : int
        Inferences before anything is timed, besides the first.
    """

    model: Path
    runtime: str
    sources: tuple[str, ...]
    tapes: tuple[Path, ...]
    scratch: Path
    frames: int
    score_threshold: float
    threads: int | None
    warm_up: int


@dataclass(frozen=True, slots=True)
class Start:
    """How a contender came up.

    Attributes
    ----------
    open_ms, first_ms : float
        Importing the runtime and opening the file; the first inference.
    before_mb : float
        Resident memory before that.
    """

    open_ms: float
    first_ms: float
    before_mb: float


@dataclass(frozen=True, slots=True)
class Block:
    """Frames of one source, measured one right after the other; none when all sources are through.

    Attributes
    ----------
    frames : tuple of TimedFrame
    resident_mb : float
        Memory of the process after them.
    """

    frames: tuple[TimedFrame, ...]
    resident_mb: float


@dataclass(frozen=True, slots=True)
class LiveRun:
    """What the pipelined loop did on sources that were played at their own pace."""

    played: int
    dropped: int
    age_ms: tuple[float, ...]


class Contender:
    """Opens the file, and goes through the sources when told to.

    Parameters
    ----------
    job : Job

    Raises
    ------
    EdgeFairmotError
        If the runtime cannot run the file, or a source cannot be opened.
    """

    def __init__(self, job: Job) -> None:
        try:
            import psutil  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise MissingDependencyError("psutil", "bench", "to read memory") from error
        self._job = job
        self._process: Any = psutil.Process()
        with open_source(job.sources[0]) as source:
            picture = next(iter(source)).image
        before_mb, started_s = self._resident_mb(), perf_counter()
        # Here, not at the top: loading the backend is part of the cold start.
        from edge_fairmot.runtimes import RuntimeOptions, open_runtime  # noqa: PLC0415

        self._runtime = open_runtime(job.model, job.runtime, RuntimeOptions(threads=job.threads))
        opened_s = perf_counter()
        if self._runtime.manifest.batch_size != 1:
            raise InvalidInputError(f"{job.model} takes batches: convert again without --batch-size")
        letterbox = Letterbox((picture.shape[1], picture.shape[0]), self._runtime.manifest.input_size)
        self._batch = letterbox.apply(picture)[None]
        ready_s = perf_counter()
        self._runtime.infer(self._batch)
        self.start = Start(1e3 * (opened_s - started_s), 1e3 * (perf_counter() - ready_s), before_mb)
        for _ in range(job.warm_up):
            self.warm_up()
        self._open = ExitStack()
        self._source_number = -1
        self._frames: Iterator[TimedFrame] = iter(())

    def warm_up(self) -> None:
        """Run one inference that does not count."""
        self._runtime.infer(self._batch)

    def run_block(self, count: int) -> Block:
        """Time the next frames: so many, fewer at the end of a source."""
        while not (frames := tuple(islice(self._frames, count))):
            self._source_number += 1
            self._open.close()  # finishes the tape of the source before
            if self._source_number == len(self._job.sources):
                break
            self._frames = self._begin(self._source_number)
        return Block(frames, self._resident_mb())

    def run_pipelined(self) -> tuple[int, float]:
        """Take frames through the product's loop, as fast as it can; gives frames and seconds."""
        frames, wall_s = 0, 0.0
        for name in self._job.sources:
            with open_source(name) as opened:
                source = FirstFrames(opened, min(self._job.frames, PIPELINED_FRAMES))
                summary = Pipeline(source, self._runtime, self._tracker(source), self._sinks(source)).run()
            frames, wall_s = frames + summary.frames, wall_s + summary.wall_s
        return frames, wall_s

    def run_live(self, seconds: float) -> LiveRun:
        """Play the beginning of every source at its own pace, and track what there is time for."""
        age_ms: list[float] = []
        played = dropped = 0
        for name in self._job.sources:
            with open_source(name) as opened:
                source = LivePlayback(FirstFrames(opened, self._job.frames), seconds)
                sinks = self._sinks(source)
                pipeline = Pipeline(source, self._runtime, self._tracker(source), sinks)
                for frame, _ in pipeline:
                    age_ms.append(1e3 * source.age_s(frame))
                summary = pipeline.summary()
                for sink in sinks:
                    sink.close()
            played, dropped = played + source.played, dropped + summary.dropped
        return LiveRun(played, dropped, tuple(age_ms))

    def peak_mb(self) -> float:
        """Largest resident memory of the process up to now."""
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Linux tells kilobytes

    def close(self) -> None:
        """Finish the tape that is being recorded, and close the runtime."""
        self._open.close()
        self._runtime.close()

    def _begin(self, number: int) -> Iterator[TimedFrame]:
        job = self._job
        opened = open_source(job.sources[number])
        self._open.callback(opened.close)
        source = FirstFrames(opened, job.frames)
        info, lowest = source.info, max(0.0, job.score_threshold - RECORDED_MARGIN)
        header = TapeHeader(info.name, info.frame_size, info.frame_rate, lowest, self._runtime.manifest)
        recorder = self._open.enter_context(TapeRecorder(job.tapes[number], header))
        sinks = self._sinks(source)
        for sink in sinks:
            self._open.callback(sink.close)
        for timed, frame, raw in time_stages(source, self._runtime, self._tracker(source), sinks):
            recorder.record(frame, raw)
            yield timed

    def _tracker(self, source: Source) -> Tracker:
        return Tracker(
            TrackerConfig(score_threshold=self._job.score_threshold, frame_rate=source.info.frame_rate)
        )

    def _sinks(self, source: Source) -> list[Sink]:
        info = source.info
        return [
            MotTextSink(self._job.scratch / "tracks.txt"),
            JsonLinesSink(
                self._job.scratch / "tracks.jsonl",
                JsonLinesHeader(info.name, info.frame_size, info.frame_rate),
            ),
        ]

    def _resident_mb(self) -> float:
        return float(self._process.memory_info().rss) / 2**20
