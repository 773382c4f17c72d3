"""``edge-fairmot track``: a video goes in, identities come out."""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path
from typing import Annotated

import typer

from edge_fairmot.cli.console import print_pairs, warn
from edge_fairmot.cli.counting import read_counting, totals_for_reading
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
from edge_fairmot.cli.tapes import TapeObserver, check_record_path, choose_model
from edge_fairmot.cli.track_folder import SUMMARY_NAME, Job, open_sinks, prepare_folder, write_job_summary
from edge_fairmot.counting import Counter
from edge_fairmot.errors import SinkError
from edge_fairmot.pipeline import DetectionSchedule, Pipeline, RunSummary
from edge_fairmot.sources import SyntheticSource, open_source
from edge_fairmot.tracking import Tracker, TrackerConfig


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
            help="ONNX file made by edge-fairmot convert, the bundled one if not given; a tape is played.",
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
    crowded: Annotated[
        bool,
        typer.Option(
            "--crowded",
            help="People hide one another: low scores keep tracks in view, and whoever is behind another is "
            "not forgotten.",
        ),
    ] = False,
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
        typer.Option(
            help="Write what the network finds to this tape (.npz), to be tracked again without it."
        ),
    ] = None,
) -> None:
    """Track people; writes tracks.txt (MOTChallenge), tracks.jsonl, video.mp4 and summary.json.

    With lines or zones also events.jsonl, and counts in summary.json. Of synthetic: also gt.txt, for eval.
    """
    from edge_fairmot.runtimes import open_runtime

    model, runtime = choose_model(model, source, runtime)
    schedule = DetectionSchedule(detect_every, target_fps)
    options = runtime_options(device_id, threads, precision, hint, cache_folder)
    to_count = read_counting(counting, line or (), zone or ())
    with ExitStack() as stack:
        stack.enter_context(terminated_as_interrupted())
        opened_source = open_source(source)
        stack.callback(opened_source.close)
        opened_runtime = open_runtime(model, runtime, options)
        stack.callback(opened_runtime.close)
        advise_on_precision(opened_runtime)
        info = opened_source.info
        config = TrackerConfig(
            score_threshold=score_threshold, track_buffer=track_buffer, frame_rate=info.frame_rate
        )
        config = config.bytetrack() if crowded else config
        counter = Counter(to_count, info.frame_size) if to_count.lines or to_count.zones else None
        job = Job(info, model, opened_runtime, options, config, schedule, counter)
        observer = TapeObserver(info, opened_runtime, config.lowest_score)
        stack.callback(observer.close)
        if record is not None:
            check_record_path(record, Path(source), model)
        prepare_folder(output, Path(source), model)
        truth = opened_source.truth if isinstance(opened_source, SyntheticSource) else None
        sinks = open_sinks(output, job, video=video, truth=truth)
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


def _report(output: Path, job: Job, summary: RunSummary, ended: str) -> None:
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
        write_job_summary(output / SUMMARY_NAME, job, summary, ended)
    except SinkError as error:
        if not ended:
            raise
        warn(str(error))  # what ended the run is the error to show
