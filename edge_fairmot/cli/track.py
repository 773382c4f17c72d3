"""``edge-fairmot track``: a video goes in, identities come out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import edge_fairmot
from edge_fairmot.bundled import bundled_model
from edge_fairmot.cli.console import print_pairs, warn
from edge_fairmot.cli.counting import read_counting, totals_for_reading, totals_for_summary
from edge_fairmot.cli.frame_progress import frame_progress
from edge_fairmot.cli.interruption import INTERRUPTED, terminated_as_interrupted
from edge_fairmot.cli.runtime_flags import (
    ArithmeticFlag,
    CacheFolderFlag,
    DeviceIdFlag,
    HintFlag,
    RuntimeFlag,
    ThreadsFlag,
    advise_on_precision,
    runtime_options,
)
from edge_fairmot.cli.summary_file import write_summary
from edge_fairmot.cli.tapes import TapeObserver, check_model_path, check_record_path
from edge_fairmot.contracts import Runtime, Sink, SourceInfo
from edge_fairmot.counting import Counter
from edge_fairmot.errors import InvalidInputError, SinkError
from edge_fairmot.pipeline import Pipeline, RunSummary
from edge_fairmot.schedule import DetectionSchedule
from edge_fairmot.sinks import (
    CountingOverlay,
    EventsSink,
    JsonLinesHeader,
    JsonLinesSink,
    MotTextSink,
    TruthSink,
    VideoSink,
)
from edge_fairmot.sources import SyntheticSource, open_source
from edge_fairmot.tracking import Tracker, TrackerConfig

if TYPE_CHECKING:
    from edge_fairmot.runtimes import RuntimeOptions

TEXT_NAME, LINES_NAME, VIDEO_NAME, SUMMARY_NAME = "tracks.txt", "tracks.jsonl", "video.mp4", "summary.json"
EVENTS_NAME, TRUTH_NAME = "events.jsonl", "gt.txt"


@dataclass(frozen=True, slots=True)
class _Job:
    """What a run is made of, for its files."""

    source: SourceInfo
    model: Path
    runtime: Runtime
    runtime_options: RuntimeOptions
    config: TrackerConfig
    schedule: DetectionSchedule
    counter: Counter | None


def track(
    source: Annotated[
        str,
        typer.Argument(
            help="Video file, image folder, MOTChallenge sequence folder, tape, or synthetic: (a street)."
        ),
    ],
    model: Annotated[
        Path | None,
        typer.Option(
            "--model",
            "-m",
            help="ONNX file made by edge-fairmot convert, the bundled one if not given; a tape for replay.",
        ),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")] = Path("out"),
    runtime: RuntimeFlag = "cpu",
    device_id: DeviceIdFlag = None,
    threads: ThreadsFlag = None,
    precision: ArithmeticFlag = "",
    hint: HintFlag = "latency",
    cache_folder: CacheFolderFlag = None,
    score_threshold: Annotated[float, typer.Option(help="Detections must score more.")] = 0.4,
    track_buffer: Annotated[int, typer.Option(help="How long lost tracks are kept, frames at 30 Hz.")] = 30,
    detect_every: Annotated[
        int, typer.Option(metavar="N", help="Detect in every Nth frame, predict between.")
    ] = 1,
    target_fps: Annotated[
        float | None,
        typer.Option(metavar="F", help="Detect as often as keeps F frames/s, predict between."),
    ] = None,
    line: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME:X1,Y1,X2,Y2", help="Count over this line, in parts of the picture; repeat."
        ),
    ] = None,
    zone: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME:X,Y;X,Y;X,Y", help="Count in this polygon, in parts of the picture; repeat."
        ),
    ] = None,
    counting: Annotated[
        Path | None, typer.Option("--config", help="TOML file of lines and zones to count at.")
    ] = None,
    video: Annotated[bool, typer.Option(help="Write the annotated video.")] = True,
    record: Annotated[
        Path | None,
        typer.Option(help="Write what the network finds to this tape (.npz), for --runtime replay."),
    ] = None,
) -> None:
    """Track people; writes tracks.txt (MOTChallenge), tracks.jsonl, video.mp4 and summary.json.

    With lines or zones also events.jsonl, and counts in summary.json. Of synthetic: also gt.txt, for eval.
    """
    from edge_fairmot.runtimes import open_runtime

    model = model or bundled_model()
    schedule = DetectionSchedule(detect_every, target_fps)
    options = runtime_options(device_id, threads, precision, hint, cache_folder)
    to_count = read_counting(counting, line or (), zone or ())
    with ExitStack() as stack:
        stack.enter_context(terminated_as_interrupted())
        check_model_path(model, runtime)
        opened_source = open_source(source)
        stack.callback(opened_source.close)
        opened_runtime = open_runtime(model, runtime, options)
        stack.callback(opened_runtime.close)
        advise_on_precision(opened_runtime)
        info = opened_source.info
        config = TrackerConfig(
            score_threshold=score_threshold, track_buffer=track_buffer, frame_rate=info.frame_rate
        )
        counter = Counter(to_count, info.frame_size) if to_count.lines or to_count.zones else None
        job = _Job(info, model, opened_runtime, options, config, schedule, counter)
        observer = TapeObserver(info, opened_runtime, score_threshold)
        stack.callback(observer.close)
        if record is not None:
            check_record_path(record, Path(source), model)
        _prepare_folder(output, Path(source), model)
        sinks = _open_sinks(output, job, video)
        if isinstance(opened_source, SyntheticSource):
            sinks.append(TruthSink(output / TRUTH_NAME, opened_source.truth))
            stack.callback(sinks[-1].close)
        if record is not None:
            observer.record(record)
        pipeline = Pipeline(
            opened_source, opened_runtime, Tracker(config), sinks, schedule=schedule, on_detections=observer
        )
        ended = "crashed"
        try:
            with frame_progress("tracking", info.frame_count) as show, closing(observer):
                pipeline.run(lambda frame, tracks: show(f"{len(tracks)} live ids"))
            ended = ""
        except KeyboardInterrupt:
            ended = "interrupted"
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            ended = str(error)
            raise
        finally:
            _report(output, job, pipeline.summary(), ended)


def _prepare_folder(output: Path, source: Path, model: Path) -> None:
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


def _open_sinks(output: Path, job: _Job, video: bool) -> list[Sink]:
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
        for opener in openers:
            sinks.append(opener())
            stack.callback(sinks[-1].close)
        stack.pop_all()
    return sinks


def _report(output: Path, job: _Job, summary: RunSummary, ended: str) -> None:
    stages = ", ".join(f"{name} {ms:.1f}" for name, ms in summary.stage_ms.items())
    looked = f"{summary.detected} detected, {summary.predicted} predicted, {summary.dropped} dropped"
    print_pairs(
        (
            ("frames", f"{summary.frames} of {job.source.frame_count or 'unknown'} ({looked})"),
            ("identities", str(summary.identities)),
            ("detections", str(summary.detections)),
            ("speed", f"{summary.frame_rate:.2f} frames/s ({summary.wall_s:.1f} s)"),
            ("busy ms a frame", stages),
            *(totals_for_reading(job.counter) if job.counter is not None else ()),
            ("written to", str(output)),
        )
    )
    try:
        _write_summary(output / SUMMARY_NAME, job, summary, ended)
    except SinkError as error:
        if not ended:
            raise
        warn(str(error))  # what ended the run is the error to show


def _write_summary(path: Path, job: _Job, summary: RunSummary, ended: str) -> None:
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
