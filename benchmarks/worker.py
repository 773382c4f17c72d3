"""A model on a runtime in its own process: the measurements, and the connection to the process.

Pairs of model and runtime are apart because memory and processor time are known by process, a cold start
needs a cold process, and a crash of one backend must not end the others.
"""

from __future__ import annotations

import resource
import signal
import subprocess
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import islice
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

from edge_fairmot.benchmarks.frame_sources import FirstFrames, FrameChunk, LivePlayback
from edge_fairmot.detection_cache import CacheInfo, DetectionWriter
from edge_fairmot.detector import FairMotDetector
from edge_fairmot.errors import (
    EdgeFairmotError,
    EvaluationError,
    InvalidInputError,
    MissingDependencyError,
)
from edge_fairmot.letterbox import Letterbox
from edge_fairmot.pipeline import Pipeline
from edge_fairmot.protocols import Sink, Source
from edge_fairmot.sinks import JsonLinesHeader, JsonLinesSink, MotTextSink
from edge_fairmot.sources import open_source
from edge_fairmot.system import python_command
from edge_fairmot.tracking import Tracker, TrackerConfig
from edge_fairmot.types import Detections, Frame, FrameResult

CACHED_MARGIN = 0.02
"""Caches reach this far below the score threshold: peaks within the margin count neither way."""

THROUGHPUT_FRAMES = 120
"""Frames of each source. Throughput is a mean, which needs fewer frames than a percentile."""

CLOSE_TIMEOUT_S = 10.0
"""A process that has not ended after it is killed."""


@dataclass(frozen=True, slots=True)
class Job:
    """Work of a pair of model and runtime."""

    model: Path
    runtime: str
    sources: tuple[str, ...]
    caches: tuple[Path, ...]  # folder of each source's detection cache
    scratch: Path  # folder of the sinks' files
    frames: int  # of each source, at most
    block: int  # frames of a turn that times stages
    chunk: int  # frames of a turn that measures throughput
    score_threshold: float
    threads: int | None
    warm_up: int  # inferences before anything is timed, besides the first


@dataclass(frozen=True, slots=True)
class Start:
    """Cold start of a worker."""

    open_ms: float  # importing the runtime and opening the file
    first_ms: float  # the first inference
    before_mb: float  # resident memory before that


@dataclass(frozen=True, slots=True)
class TimedFrame:
    """Times of one frame."""

    at_s: float  # its begin, by time.perf_counter
    stage_ms: tuple[float, ...]  # decode, letterbox, inference, association, sinks
    cpu_ms: float  # processor time meanwhile, over all threads of the process


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive frames of one source; no frame when all sources are through."""

    frames: tuple[TimedFrame, ...]
    resident_mb: float  # memory of the process after them


@dataclass(frozen=True, slots=True)
class LiveRun:
    """The pipeline on sources that are played at their own pace."""

    played: int
    dropped: int
    age_ms: tuple[float, ...]


def cache_threshold(score_threshold: float) -> float:
    """Return the score threshold of the caches of a run with this score threshold."""
    return max(0.0, score_threshold - CACHED_MARGIN)


class Worker:
    """Opens the file, and measures one turn after the other."""

    def __init__(self, job: Job) -> None:
        try:
            import psutil  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise MissingDependencyError("psutil", "bench", "to read memory") from error
        self._job = job
        self._process: Any = psutil.Process()
        with closing(open_source(job.sources[0])) as source:
            image = next(iter(source)).image
        before_mb, started_s = self._resident_mb(), perf_counter()
        # Here, not at the top: loading the backend is part of the cold start.
        from edge_fairmot.runtimes import RuntimeOptions, open_runtime  # noqa: PLC0415

        self._runtime = open_runtime(job.model, job.runtime, RuntimeOptions(threads=job.threads))
        opened_s = perf_counter()
        if self._runtime.manifest.batch_size != 1:
            raise InvalidInputError(f"{job.model} takes batches: convert again without --batch-size")
        letterbox = Letterbox((image.shape[1], image.shape[0]), self._runtime.manifest.input_size)
        self._batch = letterbox.apply(image)[None]
        ready_s = perf_counter()
        self._runtime.infer(self._batch)
        self.start = Start(1e3 * (opened_s - started_s), 1e3 * (perf_counter() - ready_s), before_mb)
        for _ in range(job.warm_up):
            self.warm_up()
        self._detector = FairMotDetector(self._runtime, job.score_threshold)
        self._blocks, self._chunks = self._time_blocks(), self._time_chunks()

    def warm_up(self) -> None:
        """Run one inference that is not measured."""
        self._runtime.infer(self._batch)

    def run_block(self) -> Block:
        """Time each stage of the next frames."""
        return next(self._blocks, Block((), 0.0))

    def run_chunk(self) -> tuple[int, float] | None:
        """Return frames and seconds of the next chunk in the pipeline; None when all are through."""
        return next(self._chunks, None)

    def run_live(self, seconds: float) -> LiveRun:
        """Play the beginning of every source at its own pace, in the pipeline, which drops late frames."""
        age_ms: list[float] = []
        played = dropped = 0
        for name in self._job.sources:
            with ExitStack() as stack:
                source = LivePlayback(self._open(stack, name, self._job.frames), seconds)
                sinks = self._open_sinks(stack, source)
                pipeline = Pipeline(source, self._detector, self._tracker(source))
                for result in pipeline:
                    _write(sinks, result)
                    age_ms.append(1e3 * source.age_s(result.frame))
            played, dropped = played + source.played, dropped + pipeline.summary().dropped
        return LiveRun(played, dropped, tuple(age_ms))

    def peak_mb(self) -> float:
        """Return the largest resident memory of the process so far."""
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # kilobytes on Linux

    def close(self) -> None:
        """Close sources, sinks, caches and the runtime."""
        self._blocks.close()
        self._chunks.close()
        self._runtime.close()

    def _time_blocks(self) -> Generator[Block, None, None]:
        job, manifest = self._job, self._runtime.manifest
        for name, cache in zip(job.sources, job.caches, strict=True):
            with ExitStack() as stack:
                source = self._open(stack, name, job.frames)
                sinks = self._open_sinks(stack, source)
                detector = FairMotDetector(self._runtime, cache_threshold(job.score_threshold))
                info = CacheInfo(
                    source=source.info.name,
                    frame_size=source.info.frame_size,
                    frame_rate=source.info.frame_rate,
                    score_threshold=detector.score_threshold,
                    embedding_dim=manifest.embedding_dim,
                    model=job.model.name,
                    checkpoint_sha256=manifest.checkpoint_sha256,
                    class_names=detector.class_names,
                )
                write = stack.enter_context(DetectionWriter(cache, info))
                timed = time_stages(source, detector, self._tracker(source), sinks, write)
                while frames := tuple(islice(timed, job.block)):
                    yield Block(frames, self._resident_mb())

    def _time_chunks(self) -> Generator[tuple[int, float], None, None]:
        job = self._job
        for name in job.sources:
            with ExitStack() as stack:
                source = self._open(stack, name, min(job.frames, THROUGHPUT_FRAMES))
                sinks, tracker = self._open_sinks(stack, source), self._tracker(source)
                frames = iter(source)
                while True:
                    chunk = FrameChunk(source.info, frames, job.chunk)
                    done_s = []
                    for result in Pipeline(chunk, self._detector, tracker):
                        _write(sinks, result)
                        done_s.append(perf_counter())
                    if len(done_s) < 2:
                        break
                    # From result to result: filling the pipeline is not part of its rate.
                    yield len(done_s) - 1, done_s[-1] - done_s[0]

    def _tracker(self, source: Source) -> Tracker:
        return Tracker(
            TrackerConfig(score_threshold=self._job.score_threshold, frame_rate=source.info.frame_rate)
        )

    def _open(self, stack: ExitStack, name: str, frames: int) -> FirstFrames:
        return FirstFrames(stack.enter_context(closing(open_source(name))), frames)

    def _open_sinks(self, stack: ExitStack, source: Source) -> list[Sink]:
        info, folder = source.info, self._job.scratch
        names = tuple(self._runtime.manifest.class_names)
        header = JsonLinesHeader(info.name, info.frame_size, info.frame_rate, class_names=names)
        return [
            stack.enter_context(MotTextSink(folder / "tracks.txt")),
            stack.enter_context(JsonLinesSink(folder / "tracks.jsonl", header)),
        ]

    def _resident_mb(self) -> float:
        return float(self._process.memory_info().rss) / 2**20


def time_stages(
    source: Source,
    detector: FairMotDetector,
    tracker: Tracker,
    sinks: Sequence[Sink],
    on_detections: Callable[[Frame, Detections], None],
) -> Iterator[TimedFrame]:
    """Return times of every frame, whose stages run one after the other; ``on_detections`` is not timed.

    The pipeline overlaps its stages, which then slow each other down; here each stage runs alone. The gain of
    the overlap is measured apart, as throughput.
    """
    frames = iter(source)
    while True:
        cpu_s, moments = process_time(), [perf_counter()]
        frame = next(frames, None)
        moments.append(perf_counter())
        if frame is None:
            return
        infer = detector.prepare(frame)
        moments.append(perf_counter())
        detections = infer()
        moments.append(perf_counter())
        tracks = tracker.update(detections, frame.time_s)
        result = FrameResult(frame, tracks, class_names=detector.class_names)
        moments.append(perf_counter())
        _write(sinks, result)
        moments.append(perf_counter())
        stage_ms = tuple(round(1e3 * float(taken), 4) for taken in np.diff(moments))
        timed = TimedFrame(moments[0], stage_ms, round(1e3 * (process_time() - cpu_s), 4))
        on_detections(frame, detections)
        yield timed


def _write(sinks: Sequence[Sink], result: FrameResult) -> None:
    for sink in sinks:
        sink.write(result)


class WorkerError(EvaluationError):
    """A worker cannot go on; the message is the reason."""


class WorkerProcess:
    """A worker in its own process. WorkerError if the worker fails or its process dies."""

    def __init__(self, job: Job) -> None:
        # Not by multiprocessing: a fork would begin with this process's memory and without its threads, and a
        # spawn would run the user's own script once more.
        self._pipe, theirs = Pipe()
        self._process = subprocess.Popen(
            python_command(f"from {__name__} import serve; serve({theirs.fileno()})"),
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # a backend's messages; errors stay
        )
        theirs.close()
        self._pipe.send(job)
        try:
            self.start: Start = self._receive()
        except WorkerError:
            self.close()
            raise

    def close(self) -> None:
        """End the process. May be called twice."""
        self._pipe.close()  # the worker reads the end of the connection and closes its files
        try:
            self._process.wait(CLOSE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def call(self, method: str, *arguments: object) -> Any:
        """Call a method of the worker and return its value."""
        try:
            self._pipe.send((method, arguments))
        except OSError:
            raise WorkerError(self._exit_reason()) from None
        return self._receive()

    def _receive(self) -> Any:
        try:
            value, problem = self._pipe.recv()
        except (EOFError, OSError):
            raise WorkerError(self._exit_reason()) from None
        if problem:
            raise WorkerError(problem)
        return value

    def _exit_reason(self) -> str:
        code = self._process.wait()  # its end of the connection is closed
        if code < 0:
            name = signal.Signals(-code).name
            cause = ": perhaps memory ran out" if -code == signal.SIGKILL else ": the runtime crashed"
            return f"its process died of {name}{cause}"
        return f"its process ended with status {code}"


def serve(descriptor: int) -> None:
    """Run the worker of the job that comes from a connection, until the other side closes it."""
    # Ctrl-C reaches every process of a terminal; only the measuring process acts on it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    pipe = Connection(descriptor)
    try:
        worker = Worker(pipe.recv())
    except Exception as error:
        pipe.send((None, _explain(error)))
        return
    try:
        pipe.send((worker.start, ""))
        while True:
            method, arguments = pipe.recv()
            try:
                pipe.send((getattr(worker, method)(*arguments), ""))
            except Exception as error:
                pipe.send((None, _explain(error)))
    except (EOFError, OSError):
        pass
    finally:
        worker.close()


def _explain(error: Exception) -> str:
    """Return an error in one line; of an unexpected one, with its place."""
    if isinstance(error, EdgeFairmotError):
        return str(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {' '.join(str(error).split())} ({place.name})"
