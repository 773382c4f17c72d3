"""``edge-fairmot track``: a video goes in, a folder of results comes out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from edge_fairmot.cli import run_flags as flags
from edge_fairmot.cli.console import INTERRUPTED, frame_progress, print_pairs, terminated_as_interrupted
from edge_fairmot.cli.run import Run, open_run, reason_of, shown_counts, summary_document, write_summary
from edge_fairmot.cli.run_config import read_run_config
from edge_fairmot.errors import InvalidInputError, SinkError
from edge_fairmot.protocols import HasGroundTruth, Sink
from edge_fairmot.sinks import EventsSink, GroundTruthSink, JsonLinesSink, MotTextSink, VideoSink
from edge_fairmot.sources import open_source

TEXT_NAME, LINES_NAME, VIDEO_NAME, SUMMARY_NAME = "tracks.txt", "tracks.jsonl", "video.mp4", "summary.json"
EVENTS_NAME, TRUTH_NAME = "events.jsonl", "gt.txt"
RESULT_NAMES = (TEXT_NAME, LINES_NAME, VIDEO_NAME, EVENTS_NAME, TRUTH_NAME, SUMMARY_NAME)


def track(
    source: Annotated[
        str | None,
        typer.Argument(help="Video, image folder, MOTChallenge sequence, or synthetic: (a street)."),
    ] = None,
    model: flags.ModelFlag = None,
    fps: Annotated[
        float | None, typer.Option(help="Frame rate, where the file states none or a wrong one.")
    ] = None,
    start: Annotated[float | None, typer.Option(metavar="S", help="Start at this time, seconds.")] = None,
    duration: Annotated[float | None, typer.Option(metavar="S", help="Track this many seconds.")] = None,
    max_frames: Annotated[
        int | None, typer.Option(metavar="N", help="Track at most this many frames.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")] = Path("out"),
    runtime: flags.RuntimeFlag = None,
    device_id: flags.DeviceIdFlag = None,
    threads: flags.ThreadsFlag = None,
    precision: flags.PrecisionFlag = None,
    hint: flags.HintFlag = None,
    cache_folder: flags.CacheFolderFlag = None,
    integrity_check: flags.IntegrityFlag = None,
    stall_after: flags.StallAfterFlag = None,
    score_threshold: flags.ScoreThresholdFlag = None,
    track_buffer: flags.TrackBufferFlag = None,
    preset: flags.PresetFlag = None,
    crowded: flags.CrowdedFlag = False,
    detect_every: flags.DetectEveryFlag = None,
    target_fps: flags.TargetFpsFlag = None,
    line: flags.LineFlag = None,
    zone: flags.ZoneFlag = None,
    video: Annotated[bool, typer.Option(help="Write the annotated video.")] = True,
    save_detections: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Save what the network finds to this folder.")
    ] = None,
    detections: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Track saved detections of this source, without the network."),
    ] = None,
    config: flags.ConfigFlag = None,
    setting: flags.SetFlag = None,
) -> None:
    """Track people in a video; writes tracks, video and a summary.

    The folder holds tracks.txt (MOTChallenge), tracks.jsonl, video.mp4 and summary.json; with lines or zones
    also events.jsonl, and for synthetic: gt.txt, the ground truth for eval.
    """
    given = flags.runtime_flags(runtime, device_id, threads, precision, hint, cache_folder) | {
        "source": source,
        "model": model,
        "stall_after_s": stall_after,
        "runtime.integrity_check": integrity_check,
        "input.frame_rate": fps,
        "input.start_s": start,
        "input.duration_s": duration,
        "input.max_frames": max_frames,
        "tracker.score_threshold": score_threshold,
        "tracker.track_buffer": track_buffer,
        "tracker.preset": flags.chosen_preset(preset, crowded),
        "schedule.every": detect_every,
        "schedule.target_fps": target_fps,
    }
    settings = read_run_config(config, setting or (), given, line or (), zone or ())
    if detections is not None and save_detections is not None:
        raise InvalidInputError("--detections and --save-detections exclude each other: give one of them")
    with ExitStack() as stack:
        stack.enter_context(terminated_as_interrupted())
        opened = open_source(settings.source, settings.input)
        stack.callback(opened.close)
        run = open_run(settings, opened, stack, detections=detections, save_detections=save_detections)
        prepare_folder(output, Path(settings.source), settings.model_path)
        sinks = open_sinks(output, run, video=video)
        ended = "the run was ended from outside"
        try:
            with frame_progress("tracking", opened.info.frame_count) as show:
                run.pipeline.run(sinks, lambda result: show(f"{len(result.tracks)} tracks"))
            ended = ""
        except BaseException as error:
            ended = reason_of(error)
            if isinstance(error, KeyboardInterrupt):
                raise typer.Exit(INTERRUPTED) from None
            raise
        finally:
            write_summary(output / SUMMARY_NAME, summary_document(run, ended), ended)
            _report(output, run)


def prepare_folder(output: Path, source: Path, model: Path) -> None:
    """Make the folder, refuse to write over the input, and remove the summary of an earlier run."""
    inputs = [path for path in (source, model) if path.exists()]
    try:
        output.mkdir(parents=True, exist_ok=True)
        overwritten = [
            path
            for name in RESULT_NAMES
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


def open_sinks(output: Path, run: Run, *, video: bool) -> list[Sink]:
    """Open the files of a run, all of them or none; files of an earlier run that are not written go."""
    info, source = run.source.info, run.source
    openers: dict[str, Callable[[Path], Sink]] = {}
    if video:  # first: without PyAV no file of an earlier run is touched
        openers[VIDEO_NAME] = lambda path: VideoSink(path, info.frame_size, info.frame_rate)
    openers[TEXT_NAME] = MotTextSink
    openers[LINES_NAME] = lambda path: JsonLinesSink(path, run.header())
    if run.counter is not None:
        openers[EVENTS_NAME] = EventsSink
    if isinstance(source, HasGroundTruth):
        openers[TRUTH_NAME] = lambda path: GroundTruthSink(path, source.truth)
    with ExitStack() as stack:
        sinks: list[Sink] = []
        for name, opener in openers.items():
            sinks.append(opener(output / name))
            stack.callback(sinks[-1].close)
        for name in {VIDEO_NAME, EVENTS_NAME, TRUTH_NAME} - openers.keys():
            (output / name).unlink(missing_ok=True)
        stack.pop_all()
    return sinks


def _report(output: Path, run: Run) -> None:
    summary, counts = run.pipeline.summary(), run.counts
    stages = ", ".join(f"{name} {ms:.1f}" for name, ms in summary.stage_ms.items())
    kinds = f"{summary.detected} detected, {summary.predicted} predicted, {summary.dropped} dropped"
    print_pairs(
        (
            ("frames", f"{summary.frames} of {run.source.info.frame_count or 'unknown'} ({kinds})"),
            ("identities", str(summary.identities)),
            ("detections", str(summary.detections)),
            ("speed", f"{summary.frame_rate:.2f} frames/s ({summary.wall_s:.1f} s)"),
            ("busy ms a frame", stages),
            *(() if counts is None else shown_counts(counts)),
            ("written to", str(output)),
        )
    )
