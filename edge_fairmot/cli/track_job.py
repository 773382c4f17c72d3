"""What a worker of ``track-many`` does: it opens the model once, and tracks video after video."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from dataclasses import replace as with_changes
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2

import edge_fairmot
from edge_fairmot.cli.run import Run, open_network, open_run, reason_of, summary_document, write_summary
from edge_fairmot.cli.run_config import RunConfig
from edge_fairmot.cli.track import SUMMARY_NAME, open_sinks
from edge_fairmot.errors import EdgeFairmotError, WorkerError
from edge_fairmot.fleet import Job, Outcome, Progress, Tracking
from edge_fairmot.protocols import Runtime, Sink, Source, SourceInfo
from edge_fairmot.sources import open_source
from edge_fairmot.types import Frame

PROGRESS_EVERY_S, PROGRESS_SHARE = (2.0, 30.0), 0.05
"""A message costs the driver of a Ray cluster 3 ms, so a long video tells of its progress less often."""


def fingerprint_of(config: RunConfig, model_sha256: str, size: int, *, video: bool) -> str:
    """Return a hash of all that decides the results of a video of this many bytes.

    Threads, devices and caches change the time, not the results.
    """
    decisive = {
        "model": model_sha256,
        "runtime": (config.runtime.name, config.runtime.precision),
        "input": asdict(config.input),
        "tracker": asdict(config.tracker),
        "schedule": asdict(config.schedule),
        "counting": asdict(config.counted),
        "video": video,
        "size": size,
    }
    return hashlib.sha256(json.dumps(decisive, sort_keys=True, default=str).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class TrackingTask:
    """Tracks videos as ``track`` does.

    Attributes
    ----------
    config : RunConfig
    draws_video : bool
        Write the annotated video.
    parts : str
        Folder that workers write into; empty where they send files.
    version : str
        Version of the toolkit, which must be the same on every machine.
    """

    config: RunConfig
    draws_video: bool = True
    parts: str = ""
    version: str = edge_fairmot.__version__

    def open(self, model: bytes | None) -> Tracking:
        """Open the model; WorkerError if this machine cannot work for the driver."""
        if self.version != edge_fairmot.__version__:
            raise WorkerError(
                f"edge-fairmot is {edge_fairmot.__version__} here and {self.version} at the driver: "
                "install the same version"
            )
        if self.parts and not Path(self.parts).is_dir():
            raise WorkerError(
                f"{self.parts} is not on this machine: share the folder with it, or use --upload"
            )
        threads = self.config.runtime.threads
        if threads is not None:
            cv2.setNumThreads(threads)
        if model is None:
            runtime = open_network(self.config)
        else:
            with TemporaryDirectory() as folder:
                path = Path(folder) / self.config.model_path.name
                path.write_bytes(model)
                runtime = open_network(self.config, path)
        return lambda job: self._track(runtime, job)

    def _track(self, runtime: Runtime, job: Job) -> Iterator[Progress | Outcome]:
        if job.data is None:
            Path(job.folder).mkdir()
            yield from self._track_file(runtime, job, Path(job.path), Path(job.folder))
            return
        with TemporaryDirectory() as local:
            path, folder = Path(local) / Path(job.path).name, Path(local) / "results"
            path.write_bytes(job.data)
            folder.mkdir()
            for answer in self._track_file(runtime, job, path, folder):
                if isinstance(answer, Progress):
                    yield answer
                else:
                    files = {one.name: one.read_bytes() for one in folder.iterdir()}
                    yield with_changes(answer, files=files)

    def _track_file(
        self, runtime: Runtime, job: Job, path: Path, folder: Path
    ) -> Iterator[Progress | Outcome]:
        """Track a file into a folder, as ``track`` does."""
        try:
            with ExitStack() as stack:
                opened = open_source(path, self.config.input)
                stack.callback(opened.close)
                source = _Named(opened, job.video)
                run = open_run(with_changes(self.config, source=job.video), source, stack, runtime=runtime)
                sinks = open_sinks(folder, run, video=self.draws_video)
                error = ""
                try:
                    yield from _run(run, sinks)
                except (EdgeFairmotError, OSError) as ended:
                    error = reason_of(ended).replace(str(path), job.video)
                summary = summary_document(run, error) | {"fingerprint": job.fingerprint}
                write_summary(folder / SUMMARY_NAME, summary, error)
        except EdgeFairmotError as refused:
            yield Outcome(reason_of(refused).replace(str(path), job.video))
        else:
            yield Outcome(error, summary)


def _run(run: Run, sinks: Sequence[Sink]) -> Iterator[Progress]:
    """Run to the end of the source; the sinks are closed in any case."""
    with ExitStack() as stack:
        for sink in sinks:
            stack.callback(sink.close)
        (least_s, most_s), started_s = PROGRESS_EVERY_S, time.monotonic()
        next_s = started_s
        for number, _ in enumerate(run.pipeline.results(sinks), 1):
            now_s = time.monotonic()
            if now_s >= next_s:
                next_s = now_s + min(most_s, max(least_s, PROGRESS_SHARE * (now_s - started_s)))
                yield Progress(number, run.source.info.frame_count)


class _Named:
    """A source under the name that the user gave it."""

    def __init__(self, source: Source, name: str) -> None:
        self._source, self.info = source, with_changes(source.info, name=name)

    info: SourceInfo

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._source)

    def close(self) -> None:
        self._source.close()
