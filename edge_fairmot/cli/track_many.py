"""``edge-fairmot track-many``: many videos, tracked by worker processes or on a Ray cluster."""

from __future__ import annotations

import hashlib
import os
import re
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperCommand

from edge_fairmot.cli import run_flags as flags
from edge_fairmot.cli.console import print_pairs, report_after_results, terminated_as_interrupted, warn
from edge_fairmot.cli.many_view import print_plan, showing
from edge_fairmot.cli.run_config import RunConfig, read_run_config
from edge_fairmot.cli.track import LOCK_NAME, RESULT_NAMES
from edge_fairmot.cli.track_job import TrackingTask, fingerprint_of
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.fleet import (
    Driver,
    Outcome,
    Plan,
    ProcessWorkers,
    RayWorkers,
    Results,
    Running,
    Workers,
    find_videos,
    longest_first,
    make_plan,
)
from edge_fairmot.fleet.driver import Ended
from edge_fairmot.fleet.results import DONE, FAILED, LOG_NAME, TABLE_NAME

RAY = "--ray"
UNNAMED = "auto"
"""Value of ``--ray`` alone: RAY_ADDRESS, or a Ray of this command's own on this machine."""


class OptionalAddress(TyperCommand):
    """Takes ``--ray`` and ``--ray HEAD:PORT``; options of Typer have always a value, or never."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Give ``--ray`` a value where no address follows."""
        at = args.index(RAY) + 1 if RAY in args else 0
        if at and not (args[at:] and re.fullmatch(r"[\w.\-\[\]:]+:\d+|auto|local", args[at])):
            args = [*args[:at], UNNAMED, *args[at:]]
        return super().parse_args(ctx, args)


app = typer.Typer(add_completion=False)


@app.command("track-many", cls=OptionalAddress)
def track_many(
    videos: Annotated[
        list[Path],
        typer.Argument(help="Folders of videos (and theirs), videos, or lists: a .txt with a path a line."),
    ],
    model: flags.ModelFlag = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")] = Path("out"),
    runtime: flags.RuntimeFlag = None,
    threads: Annotated[
        int | None, typer.Option("--threads", help="Threads of a worker. [default: 1 on processors]")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", metavar="N", help="Workers. [default: as many as cores / --threads]"),
    ] = None,
    precision: flags.PrecisionFlag = None,
    hint: flags.HintFlag = None,
    cache_folder: flags.CacheFolderFlag = None,
    score_threshold: flags.ScoreThresholdFlag = None,
    track_buffer: flags.TrackBufferFlag = None,
    preset: flags.PresetFlag = None,
    crowded: flags.CrowdedFlag = False,
    moving_camera: flags.MovingCameraFlag = None,
    detect_every: flags.DetectEveryFlag = None,
    line: flags.LineFlag = None,
    zone: flags.ZoneFlag = None,
    ignore: flags.IgnoreFlag = None,
    no_video: Annotated[bool, typer.Option("--no-video", help="Write no annotated videos.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Track again what failed in an earlier run.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")
    ] = False,
    give_up_after: Annotated[
        float,
        typer.Option("--give-up-after", metavar="S", help="A video without a new frame for S seconds fails."),
    ] = 600.0,
    ray: Annotated[
        str | None,
        typer.Option(
            RAY,
            metavar="[HEAD:PORT]",
            help="Track on this Ray cluster, on RAY_ADDRESS, or on a new one here.",
        ),
    ] = None,
    gpus: Annotated[
        float, typer.Option("--gpus", metavar="N", help="GPUs of a Ray worker, as 0.5 for two workers a GPU.")
    ] = 0.0,
    upload: Annotated[
        bool,
        typer.Option("--upload", help="Send videos to Ray's machines, and results back: no shared folder."),
    ] = False,
    config: flags.ConfigFlag = None,
    setting: flags.SetFlag = None,
) -> None:
    """Track many videos with several workers.

    out/NAME/ holds for each video what track writes, index.jsonl has a line for each, summary.csv their
    counts. The same command goes on where it was: videos that are done with the same model and settings are
    left out. The exit status is 1 if a video failed.
    """
    given = flags.runtime_flags(runtime, None, threads, precision, hint, cache_folder) | {
        "source": str(videos[0]),  # each video takes its place
        "model": model,
        "tracker.score_threshold": score_threshold,
        "tracker.track_buffer": track_buffer,
        "tracker.preset": flags.chosen_preset(preset, crowded),
        "tracker.camera_motion": "sparse" if moving_camera else None,
        "schedule.every": detect_every,
    }
    shapes = (line or (), zone or (), ignore or ())
    settings = _for_workers(read_run_config(config, setting or (), given, *shapes))
    for name, value, least in (("--workers", workers, 1), ("--give-up-after", give_up_after, 60)):
        if value is not None and value < least:
            raise InvalidInputError(f"{name} must be at least {least}, not {value:g}")
    if ray is None and (upload or gpus):
        raise InvalidInputError("--upload and --gpus are for Ray's workers: add --ray, or leave them out")
    model_bytes = _read_model(settings.model_path)
    sha256 = hashlib.sha256(model_bytes).hexdigest()
    jobs = [
        replace(job, fingerprint=fingerprint_of(settings, sha256, job.size, video=not no_video))
        for job in find_videos(videos, output)
    ]
    cores = len(os.sched_getaffinity(0))
    here = workers or max(1, cores // settings.runtime.threads if settings.runtime.threads else 1)

    def plan_run() -> Plan:
        plan = make_plan(output, jobs, retry_failed=retry_failed)
        return plan.with_jobs(longest_first(plan.jobs, settings.input, cores))

    if dry_run:
        print_plan(plan_run(), f"{here} on this machine" if ray is None else "those of Ray")
        return
    with terminated_as_interrupted(), ExitStack() as stack:
        results = Results(output, {*RESULT_NAMES, LOCK_NAME}, upload=upload)
        stack.callback(results.close)
        plan = plan_run()
        results.begin(plan.records)
        started_s, driver = time.monotonic(), None
        try:
            if plan.jobs:
                task = TrackingTask(settings, not no_video, "" if upload else str(results.parts))
                crew: Workers = ProcessWorkers(task, output / LOG_NAME)
                if ray is not None:
                    crew = RayWorkers(
                        task,
                        model_bytes,
                        ray,
                        cpus=settings.runtime.threads or 1,
                        gpus=gpus,
                        local_workers=here,
                    )
                    here = workers or max(1, crew.room)
                driver = Driver(
                    crew, here, _told(results.keep), results.prepare, warn, give_up_after_s=give_up_after
                )
                with showing(driver, plan.jobs) as on_change:
                    driver.run(plan.jobs, on_change)
        except KeyboardInterrupt:
            warn("interrupted: the same command goes on from here")
            raise
        finally:
            results.finish()
            with report_after_results():
                _report(output, plan, driver, time.monotonic() - started_s)
    if plan.count(FAILED) or (driver is not None and driver.failed):
        raise typer.Exit(1)


def _for_workers(settings: RunConfig) -> RunConfig:
    """Return the settings with one thread, where nothing else is given and processors compute.

    The folder of compiled models becomes absolute: a worker may run in another folder.
    """
    if settings.runtime.cache_folder is not None:
        folder = settings.runtime.cache_folder.absolute()
        settings = replace(settings, runtime=replace(settings.runtime, cache_folder=folder))
    name, _, device = settings.runtime.name.partition(":")
    device = device or settings.runtime.device
    if (
        settings.runtime.threads is not None
        or name not in ("auto", "cpu", "openvino")
        or device not in ("", "CPU")
    ):
        return settings
    return replace(settings, runtime=replace(settings.runtime, threads=1))


def _read_model(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInputError(f"no model at {path} ({error.strerror}): check --model") from error


def _told(keep: Ended) -> Ended:
    """Return the same, with a line about each video that failed."""

    def tell(running: Running, outcome: Outcome, tries: int, seconds: float) -> str:
        error = keep(running, outcome, tries, seconds)
        if error:
            video = running.job.video
            warn(error if error.startswith(video) else f"{video}: {error}")
        return error

    return tell


def _report(output: Path, plan: Plan, driver: Driver | None, wall_s: float) -> None:
    done, failed = plan.count(DONE), plan.count(FAILED)
    frames = 0
    if driver is not None:
        done, failed, frames = done + driver.done, failed + driver.failed, driver.frames
    before = f" ({plan.count(DONE)} before)" if plan.count(DONE) else ""
    again = "; --retry-failed tracks them again" if failed else ""
    print_pairs(
        (
            ("done", f"{done} of {len(plan.records)} videos{before}"),
            ("failed", f"{failed}{again}"),
            ("speed", f"{frames / max(wall_s, 1e-3):.2f} frames/s ({frames} frames, {wall_s:.1f} s)"),
            ("written to", f"{output}: index.jsonl, {TABLE_NAME}, a folder a video"),
        )
    )
