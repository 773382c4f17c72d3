"""``edge-fairmot track``: a video goes in, a folder of results comes out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Annotated

import typer

from edge_fairmot.cli import run_flags as flags
from edge_fairmot.cli.console import (
    INTERRUPTED,
    frame_progress,
    print_pairs,
    report_after_results,
    warn,
)
from edge_fairmot.cli.run import Run, open_run, reason_of, shown_counts, summary_document, write_summary
from edge_fairmot.cli.run_config import read_run_config
from edge_fairmot.cli.watch import EndingSignals, StallWatch, stall_of
from edge_fairmot.errors import InvalidInputError, SinkError
from edge_fairmot.protocols import HasGroundTruth, Sink
from edge_fairmot.sinks import CropsSink, EventsSink, GroundTruthSink, JsonLinesSink, MotTextSink, VideoSink
from edge_fairmot.sinks.events import TimeOf, parse_rfc3339
from edge_fairmot.sources import open_source
from edge_fairmot.system import FileLock

TEXT_NAME, LINES_NAME, VIDEO_NAME, SUMMARY_NAME = "tracks.txt", "tracks.jsonl", "video.mp4", "summary.json"
EVENTS_NAME, TRUTH_NAME = "events.jsonl", "gt.txt"
RESULT_NAMES = (TEXT_NAME, LINES_NAME, VIDEO_NAME, EVENTS_NAME, TRUTH_NAME, SUMMARY_NAME)
LOCK_NAME = ".lock"


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
    start_time: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="When the video begins, as 2026-11-30T09:15:00Z or in local time: events get a time.",
        ),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")] = Path("out"),
    runtime: flags.RuntimeFlag = None,
    device_id: flags.DeviceIdFlag = None,
    threads: flags.ThreadsFlag = None,
    precision: flags.PrecisionFlag = None,
    hint: flags.HintFlag = None,
    cache_folder: flags.CacheFolderFlag = None,
    no_integrity_check: flags.NoIntegrityFlag = False,
    stall_after: flags.StallAfterFlag = None,
    classes: flags.ClassesFlag = None,
    score_threshold: flags.ScoreThresholdFlag = None,
    track_buffer: flags.TrackBufferFlag = None,
    preset: flags.PresetFlag = None,
    crowded: flags.CrowdedFlag = False,
    moving_camera: flags.MovingCameraFlag = None,
    detect_every: flags.DetectEveryFlag = None,
    target_fps: flags.TargetFpsFlag = None,
    line: flags.LineFlag = None,
    zone: flags.ZoneFlag = None,
    ignore: flags.IgnoreFlag = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results in the folder, instead of making DIR-2.")
    ] = False,
    no_video: Annotated[bool, typer.Option("--no-video", help="Write no annotated video.")] = False,
    crops: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write the best crop of each identity to this folder."),
    ] = None,
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
    """Track people in a video.

    The folder holds tracks.txt (MOTChallenge), tracks.jsonl, video.mp4 and summary.json; with lines or zones
    also events.jsonl, and for synthetic: gt.txt, the ground truth for eval. A folder with results is left as
    it is, and DIR-2 is made.
    """
    given = flags.runtime_flags(runtime, device_id, threads, precision, hint, cache_folder) | {
        "source": source,
        "model": model,
        "stall_after_s": stall_after,
        "runtime.integrity_check": False if no_integrity_check else None,
        "input.frame_rate": fps,
        "input.start_s": start,
        "input.duration_s": duration,
        "input.max_frames": max_frames,
        **flags.class_flags(classes, score_threshold),
        "tracker.track_buffer": track_buffer,
        "tracker.preset": flags.chosen_preset(preset, crowded),
        "tracker.camera_motion": "sparse" if moving_camera else None,
        "schedule.every": detect_every,
        "schedule.target_fps": target_fps,
    }
    settings = read_run_config(config, setting or (), given, line or (), zone or (), ignore or ())
    if detections is not None and save_detections is not None:
        raise InvalidInputError("--detections and --save-detections exclude each other: give one of them")
    time_of = None if start_time is None else _clock_from(start_time)
    with ExitStack() as stack:
        signals = stack.enter_context(EndingSignals())
        opened = open_source(settings.source, settings.input)
        stack.callback(opened.close)
        run = open_run(settings, opened, stack, detections=detections, save_detections=save_detections)
        inputs = (Path(settings.source), settings.model_path)
        output, lock = take_folder(output, inputs, overwrite=overwrite)
        stack.callback(lock.close)
        sinks = open_sinks(output, run, video=not no_video, crops=crops, time_of=time_of)
        files = _identify(output)
        signals.give_up = lambda: _finish(output, run, "interrupted, and the run did not end")
        signals.stop = run.pipeline.stop
        ended = "the run was ended from outside"
        try:
            _track(run, sinks)
            _require_kept(files)
            ended = "interrupted" if signals.asked else ""
        except BaseException as error:
            ended = reason_of(error)
            if isinstance(error, KeyboardInterrupt):
                raise typer.Exit(INTERRUPTED) from None
            raise
        finally:
            _finish(output, run, ended)
            signals.give_up = lambda: None
            with report_after_results():
                _report(output, run)
        if ended:
            raise typer.Exit(INTERRUPTED)


def _track(run: Run, sinks: Sequence[Sink]) -> None:
    """Run to the end of the source; a stall is reported on stderr."""
    after_s = run.config.stall_after_s

    def tell(stall: str) -> None:
        warn(f"stalled: {stall}" if stall else "the run goes on after a stall")

    with (
        StallWatch(lambda: stall_of(run.pipeline.busy_s(), after_s), tell, after_s),
        frame_progress("tracking", run.source.info.frame_count) as show,
    ):
        run.pipeline.run(sinks, lambda result: show(f"{len(result.tracks)} tracks"))


def numbered_folders(output: Path) -> Iterator[Path]:
    """Yield DIR, DIR-2, DIR-3, ..."""
    yield output
    output = output if output.name not in ("", "..") else output.resolve()
    yield from (output.with_name(f"{output.name}-{number}") for number in count(2))


def holds_results(folder: Path) -> bool:
    """Return whether a run has written to this folder."""
    return any((folder / name).exists() for name in RESULT_NAMES)


def take_folder(output: Path, inputs: Sequence[Path], *, overwrite: bool) -> tuple[Path, FileLock]:
    """Make and lock the folder, or the first of DIR-2, DIR-3, ... without results; its old summary goes.

    InvalidInputError if the run would write over its input; SinkError if another run writes there.
    """
    for folder in numbered_folders(output):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _require_other_than(inputs, folder)
            lock = FileLock(folder / LOCK_NAME, f"the folder {folder}", "choose another with -o")
            if overwrite or not holds_results(folder):
                (folder / SUMMARY_NAME).unlink(missing_ok=True)
                break
        except OSError as error:
            raise SinkError(
                f"cannot use the folder {folder}: {error.strerror}; choose another with -o"
            ) from error
        lock.close()
    if folder != output:
        warn(f"{output} holds the results of an earlier run: writing to {folder} (--overwrite replaces them)")
    return folder, lock


def _require_other_than(inputs: Sequence[Path], folder: Path) -> None:
    """Refuse a folder in which a run would write over its input."""
    given = [path for path in inputs if path.exists()]
    for path in (folder, *(folder / name for name in RESULT_NAMES)):
        if path.exists() and any(path.samefile(one) for one in given):
            raise InvalidInputError(f"-o {folder} would write over the input ({path}): choose another folder")


def _identify(output: Path) -> dict[Path, tuple[int, int]]:
    """Return the files of a run, with device and inode."""
    found = {path: path.stat() for name in RESULT_NAMES if (path := output / name).exists()}
    return {path: (status.st_dev, status.st_ino) for path, status in found.items()}


def _require_kept(files: Mapping[Path, tuple[int, int]]) -> None:
    """Raise SinkError if a file was deleted, moved or replaced during the run."""
    for path, identity in files.items():
        if not path.exists() or (path.stat().st_dev, path.stat().st_ino) != identity:
            raise SinkError(
                f"{path} was deleted, moved or replaced during the run, and its results with it: run again"
            )


def _finish(output: Path, run: Run, ended: str) -> None:
    stall = stall_of(run.pipeline.busy_s(), run.config.stall_after_s)
    reason = f"{ended}; {stall}" if ended and stall else ended
    write_summary(output / SUMMARY_NAME, summary_document(run, reason), reason)


def _clock_from(text: str) -> TimeOf:
    """Return the wall-clock time by a video's clock, which is 0 at the time given."""
    try:
        begun = parse_rfc3339(text)
        return lambda time_s: begun + timedelta(seconds=time_s)
    except ValueError as error:
        raise InvalidInputError(
            f"--start-time {text!r} is no time: write it as 2026-11-30T09:15:00Z, or without Z for local time"
        ) from error


def open_sinks(
    output: Path, run: Run, *, video: bool, crops: Path | None = None, time_of: TimeOf | None = None
) -> list[Sink]:
    """Open the files of a run, all of them or none; files of an earlier run that are not written go."""
    info, source = run.source.info, run.source
    openers: dict[str, Callable[[Path], Sink]] = {}
    if video:  # first: without PyAV no file of an earlier run is touched
        openers[VIDEO_NAME] = lambda path: VideoSink(path, info.frame_size, info.frame_rate)
    openers[TEXT_NAME] = MotTextSink
    openers[LINES_NAME] = lambda path: JsonLinesSink(path, run.header())
    if run.counter is not None:
        openers[EVENTS_NAME] = lambda path: EventsSink(path, time_of)
    if isinstance(source, HasGroundTruth):
        openers[TRUTH_NAME] = lambda path: GroundTruthSink(path, source.truth)
    with ExitStack() as stack:
        sinks: list[Sink] = []
        for name, opener in openers.items():
            sinks.append(opener(output / name))
            stack.callback(sinks[-1].close)
        if crops is not None:
            sinks.append(CropsSink(crops))
            stack.callback(sinks[-1].close)
        for name in {VIDEO_NAME, EVENTS_NAME, TRUTH_NAME} - openers.keys():
            (output / name).unlink(missing_ok=True)
        stack.pop_all()
    return sinks


def _describe_runtime(run: Run) -> str:
    found = run.model.runtime
    chosen = run.config.runtime.name == "auto" and found.startswith("openvino")
    return f"{found}, the faster one here (--runtime takes another)" if chosen else found


def _report(output: Path, run: Run) -> None:
    summary, counts = run.pipeline.summary(), run.counts
    stages = ", ".join(f"{name} {ms:.1f}" for name, ms in summary.stage_ms.items())
    classes = ", ".join(f"{name} {number}" for name, number in summary.identities_by_class.items())
    by_class = f" ({classes})" if len(run.model.class_names) > 1 and classes else ""
    kinds = f"{summary.detected} detected, {summary.predicted} predicted, {summary.dropped} dropped"
    print_pairs(
        (
            ("frames", f"{summary.frames} of {run.source.info.frame_count or 'unknown'} ({kinds})"),
            ("identities", f"{summary.identities}{by_class}"),
            ("detections", str(summary.detections)),
            ("runtime", _describe_runtime(run)),
            ("speed", f"{summary.frame_rate:.2f} frames/s ({summary.wall_s:.1f} s)"),
            ("busy ms a frame", stages),
            *(() if counts is None else shown_counts(counts)),
            ("written to", str(output)),
        )
    )
