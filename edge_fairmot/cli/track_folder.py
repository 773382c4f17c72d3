"""The folder of results that ``edge-fairmot track`` writes, and what each of its files is of."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import edge_fairmot
from edge_fairmot.cli.counting import totals_for_summary
from edge_fairmot.cli.summary_file import write_summary
from edge_fairmot.counting import Counter
from edge_fairmot.errors import InvalidInputError, SinkError
from edge_fairmot.pipeline import DetectionSchedule, RunSummary
from edge_fairmot.protocols import Runtime, Sink, SourceInfo
from edge_fairmot.sinks import (
    CountingOverlay,
    EventsSink,
    JsonLinesHeader,
    JsonLinesSink,
    MotTextSink,
    TruthSink,
    VideoSink,
)
from edge_fairmot.tracking import TrackerConfig
from edge_fairmot.types import Truth

if TYPE_CHECKING:
    from edge_fairmot.runtimes import RuntimeOptions

TEXT_NAME, LINES_NAME, VIDEO_NAME, SUMMARY_NAME = "tracks.txt", "tracks.jsonl", "video.mp4", "summary.json"
EVENTS_NAME, TRUTH_NAME = "events.jsonl", "gt.txt"


@dataclass(frozen=True, slots=True)
class Job:
    """What a run is made of, for its files."""

    source: SourceInfo
    model: Path
    runtime: Runtime
    runtime_options: RuntimeOptions
    config: TrackerConfig
    schedule: DetectionSchedule
    counter: Counter | None


def prepare_folder(output: Path, source: Path, model: Path) -> None:
    """Make the folder, refuse to write over the input, and clear the summary of an earlier run."""
    inputs = [path for path in (source, model) if path.exists()]
    try:
        output.mkdir(parents=True, exist_ok=True)
        overwritten = [
            path
            for name in (TEXT_NAME, LINES_NAME, VIDEO_NAME, EVENTS_NAME, TRUTH_NAME, SUMMARY_NAME)
            if (path := output / name).exists() and any(path.samefile(given) for given in inputs)
        ]
        if overwritten or any(output.samefile(given) for given in inputs):
            raise InvalidInputError(
                f"-o {output} would write over the input ({(overwritten or [output])[0]}): "
                "choose another folder"
            )
        (output / SUMMARY_NAME).unlink(missing_ok=True)
    except OSError as error:
        raise SinkError(
            f"cannot use the folder {output}: {error.strerror}; choose another with -o"
        ) from error


def open_sinks(output: Path, job: Job, *, video: bool, truth: Callable[[int], Truth] | None) -> list[Sink]:
    """Open the files that are written frame by frame; all of them or none.

    Parameters
    ----------
    output : Path
        The folder.
    job : Job
    video : bool
        Whether to write the annotated video.
    truth : callable, optional
        Says who was in a frame, where the source knows.

    Raises
    ------
    SinkError
        If one cannot be written.
    MissingDependencyError
        If video is wanted and PyAV is not installed.
    """
    header = JsonLinesHeader(
        source=job.source.name,
        frame_size=job.source.frame_size,
        frame_rate=job.source.frame_rate,
        model={"file": job.model.name, "checkpoint_sha256": job.runtime.manifest.checkpoint_sha256},
        settings=asdict(job.config) | {"schedule": asdict(job.schedule)},
    )
    with ExitStack() as stack:
        sinks: list[Sink] = []
        openers: list[Callable[[], Sink]] = [
            lambda: MotTextSink(output / TEXT_NAME),
            lambda: JsonLinesSink(output / LINES_NAME, header),
        ]
        counter = job.counter
        if counter is not None:
            openers.append(lambda: EventsSink(output / EVENTS_NAME, counter))
        else:
            (output / EVENTS_NAME).unlink(missing_ok=True)
        if video:
            # First: without PyAV nothing of an earlier run is touched.
            size, rate = job.source.frame_size, job.source.frame_rate
            overlay = None if counter is None else CountingOverlay(counter)
            openers.insert(0, lambda: VideoSink(output / VIDEO_NAME, size, rate, overlay))
        else:
            (output / VIDEO_NAME).unlink(missing_ok=True)
        if truth is not None:
            openers.append(lambda: TruthSink(output / TRUTH_NAME, truth))
        for opener in openers:
            sinks.append(opener())
            stack.callback(sinks[-1].close)
        stack.pop_all()
    return sinks


def write_job_summary(path: Path, job: Job, summary: RunSummary, ended: str) -> None:
    """Write what was done, how fast, and how it ended: "" if all went well."""
    content: dict[str, Any] = {
        "schema_version": 1,
        "edge_fairmot": edge_fairmot.__version__,
        "complete": not ended,
        "ended": ended,
        "source": asdict(job.source),
        "model": {"path": str(job.model), "checkpoint_sha256": job.runtime.manifest.checkpoint_sha256},
        "runtime": job.runtime.name,
        "runtime_options": asdict(job.runtime_options),
        "tracker": asdict(job.config),
        "schedule": asdict(job.schedule),
        **asdict(summary),
        "frame_rate": summary.frame_rate,
    }
    if job.counter is not None:
        content["counts"] = totals_for_summary(job.counter)
    write_summary(path, content)
