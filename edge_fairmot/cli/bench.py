"""``edge-fairmot bench``: models on runtimes, on this device and this video."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from edge_fairmot.cli.bench_run import (
    DetectEvery,
    Frames,
    GroundTruth,
    LiveS,
    ScoreThreshold,
    Threads,
    Video,
    WorstFramesFlag,
    check_videos,
    make_settings,
    print_table,
    recorded,
    require_packages,
    turn_progress,
)
from edge_fairmot.cli.bench_sweep import sweep
from edge_fairmot.cli.console import print_pairs, stdout, step_progress, warn
from edge_fairmot.errors import InvalidInputError

if TYPE_CHECKING:
    from edge_fairmot.benchmarks.comparison import Change

MANY = "--models"

TRACKER_NAME, PROFILE_NAME = "tracker.md", "profile.json"


class ManyModels(TyperGroup):
    """Takes ``--models a.onnx b.onnx``, which a shell makes of ``--models *.onnx``."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Repeat ``--models`` before every file."""
        spread, many = [], False
        for argument in args:
            if argument.startswith("-"):
                many = argument == MANY
                spread += [] if many else [argument]
            else:
                spread += [MANY, argument] if many else [argument]
        return super().parse_args(ctx, spread)


app = typer.Typer(cls=ManyModels, invoke_without_command=True, add_completion=False)
app.command("sweep")(sweep)


@app.callback()
def bench(
    ctx: typer.Context,
    models: Annotated[
        list[Path] | None,
        typer.Option(help="ONNX files; several may follow. [default: the bundled one]"),
    ] = None,
    runtimes: Annotated[
        str, typer.Option(help="Runtimes, comma-separated, as in cpu,openvino:GPU; or all.")
    ] = "cpu",
    video: Video = None,
    ground_truth: GroundTruth = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the report.")] = Path("bench"),
    reference: Annotated[
        Path | None,
        typer.Option(help="The model that others are compared with. [default: the first in fp32]"),
    ] = None,
    frames: Frames = 300,
    threads: Threads = None,
    score_threshold: ScoreThreshold = 0.4,
    live_s: LiveS = 10.0,
    detect_every: DetectEvery = None,
    worst_frames: WorstFramesFlag = 4,
    profile: Annotated[
        bool,
        typer.Option("--profile", help="Milliseconds by operator and layer instead, of one frame."),
    ] = False,
) -> None:
    """Measure models on runtimes: speed and accuracy.

    Writes report.html, report.md and results.json; with --profile, profile.json.
    """
    if ctx.invoked_subcommand is not None:
        return
    if profile:
        _profile(models, runtimes, video, threads, output)
        return
    require_packages(ground_truth)
    videos = check_videos(video)
    from edge_fairmot.benchmarks.benchmark import (
        Benchmark,
        PairSpec,
        choose_runtimes,
        describe_model,
        name_models,
    )
    from edge_fairmot.bundled import PEOPLE, choose_model

    chosen = choose_runtimes(runtimes)
    settings = make_settings(frames, threads, score_threshold, live_s, detect_every)
    named = name_models([choose_model(model) for model in models or [Path(PEOPLE)]])
    if reference is not None and reference not in named.values():
        raise InvalidInputError(f"--reference {reference} is not among the --models: add it to them")
    described = {name: describe_model(path, name) for name, path in named.items()}
    preferred = next((name for name, path in named.items() if path == reference), "")
    benchmark = Benchmark(output, videos, ground_truth or (), settings, preferred_reference=preferred)
    specs = []
    for name, path in named.items():
        model, fault = described[name]
        for runtime in chosen:
            if fault:
                benchmark.add_failure(model, runtime, fault)
            else:
                specs.append(PairSpec(model, path, runtime))
    with recorded(benchmark, output, worst_frames), turn_progress(benchmark.frames, len(specs)) as on_turn:
        benchmark.measure(specs, on_turn)


def _profile(
    models: list[Path] | None, runtimes: str, video: Sequence[str] | None, threads: int | None, output: Path
) -> None:
    """Profile each model on each runtime, on the first frame of the video or of the bundled clip."""
    from edge_fairmot.benchmarks.benchmark import choose_runtimes
    from edge_fairmot.benchmarks.frame_sources import sample_frames
    from edge_fairmot.benchmarks.profile import layer_table, operator_table, write_profiles
    from edge_fairmot.benchmarks.profile import profile as profile_file
    from edge_fairmot.bundled import PEOPLE, bundled_clip, choose_model
    from edge_fairmot.model_file import read_onnx_file
    from edge_fairmot.sources import open_source

    made = []
    for path in [choose_model(model) for model in models or [Path(PEOPLE)]]:
        manifest = read_onnx_file(path).manifest
        source = open_source(video[0] if video else str(bundled_clip()))
        try:
            images = sample_frames(source, manifest.input_size, 1).repeat(manifest.batch_size, axis=0)
        finally:
            source.close()
        for runtime in choose_runtimes(runtimes):
            with step_progress(f"profiling {path.name} on {runtime}"):
                found = profile_file(path, runtime, images, threads)
            made.append(found)
            print_table(operator_table(found))
            print_table(layer_table(found))
            print_pairs([(f"{path.name} on {runtime}", found.verdict)])
    write_profiles(output / PROFILE_NAME, made)
    print_pairs([("written", str(output / PROFILE_NAME))])


@app.command("tracker")
def tracker(
    targets: Annotated[str, typer.Option(help="Numbers of people, comma-separated.")] = "10,50,100,200,500",
    frames: Annotated[int, typer.Option("--timed-frames", help="Timed frames per crowd.")] = 300,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the table as Markdown.")
    ] = None,
) -> None:
    """Time the tracker alone on simulated crowds."""
    try:
        sizes = [int(part) for part in targets.split(",")]
    except ValueError:
        raise InvalidInputError(f"--targets {targets!r} is not a list of numbers, as in 10,50,100") from None
    from edge_fairmot.benchmarks.machine import describe_machine
    from edge_fairmot.benchmarks.report_tables import render_table
    from edge_fairmot.benchmarks.tracker_scaling import tabulate_crowds, time_crowds

    with step_progress("tracking crowds"):
        table = tabulate_crowds(time_crowds(sizes, frames))
    print_table(table)
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        text = f"# {table.title}\n\n{render_table(table)}\n\n{table.note} {describe_machine()}.\n"
        (output / TRACKER_NAME).write_text(text, encoding="utf-8")
        print_pairs([("written", str(output / TRACKER_NAME))])


@app.command("compare")
def compare(
    old: Annotated[Path, typer.Argument(help="results.json of the run before.")],
    new: Annotated[Path, typer.Argument(help="results.json of the run after.")],
    tolerance: Annotated[
        float, typer.Option(help="Least relative change of a mean time that counts, with 95 % confidence.")
    ] = 0.05,
) -> None:
    """Compare two runs row by row; exit status 1 when a figure is worse beyond noise."""
    from rich.table import Table

    from edge_fairmot.benchmarks.comparison import compare as compare_results
    from edge_fairmot.benchmarks.results import read_results

    comparison = compare_results(read_results(old), read_results(new), tolerance)
    table = Table(box=None)
    for name in ("row", "figure", "old", "new", "change", "95 %", "verdict"):
        table.add_column(
            name,
            justify="left" if name in ("row", "figure", "verdict") else "right",
            overflow="fold",
            no_wrap=name not in ("row", "verdict"),
        )
    before = ""
    for change in comparison.changes:
        style = "bold red" if change.regression else None
        name = "" if change.row == before else change.row  # once for all its figures
        table.add_row(name, *_change_cells(change), change.verdict, style=style)
        before = change.row
    stdout.print(table)
    for warning in comparison.warnings:
        warn(warning)
    if comparison.regressions:
        count = len(comparison.regressions)
        stdout.print(f"{count} regression{'s' if count > 1 else ''} beyond noise", highlight=False)
        raise typer.Exit(1)
    stdout.print("no regression seen" if comparison.seen else "no difference seen", highlight=False)


def _change_cells(change: Change) -> tuple[str, str, str, str, str]:
    timed = change.figure.startswith("ms")

    def show(value: float | None, *, signed: bool) -> str:
        if value is None:
            return ""
        if signed:
            return f"{100 * value:+.1f} %" if timed else f"{100 * value:+.1f}"
        return f"{value:.1f}" if timed else f"{100 * value:.1f}"

    span = ""
    if change.interval is not None:
        low, high = change.interval.low, change.interval.high
        span = f"{show(low, signed=True)} to {show(high, signed=True)}"
    values = show(change.old, signed=False), show(change.new, signed=False)
    return change.figure, *values, show(change.change, signed=True), span
