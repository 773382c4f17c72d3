"""``edge-fairmot bench``: which file, on which runtime, on this device and this video."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from typer.core import TyperGroup

from edge_fairmot.bundled import bundled_model
from edge_fairmot.cli.console import INTERRUPTED, print_pairs, stderr, stdout, terminated_as_interrupted, warn
from edge_fairmot.errors import EvaluationError, InvalidInputError, MissingDependencyError

if TYPE_CHECKING:
    from edge_fairmot.benchmarks.benchmark import Benchmark
    from edge_fairmot.benchmarks.results import Results, Settings
    from edge_fairmot.benchmarks.speed.rounds import Measurement

RESULTS_NAME, PAGE_NAME, MARKDOWN_NAME = "results.json", "report.html", "report.md"

MANY = "--models"

PACKAGES = {"plotly": "to draw the report", "psutil": "to read memory", "pydantic": "to keep results"}


class ManyModels(TyperGroup):
    """Takes ``--models a.onnx b.onnx``, as a shell makes it of ``--models *.onnx``."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Give every file its own ``--models``."""
        spread, many = [], False
        for argument in args:
            if argument.startswith("-"):
                many = argument == MANY
                spread += [] if many else [argument]
            else:
                spread += [MANY, argument] if many else [argument]
        return super().parse_args(ctx, spread)


app = typer.Typer(cls=ManyModels, invoke_without_command=True)

Video = Annotated[
    list[str] | None, typer.Option(help="Video, picture folder or sequence folder; may be repeated.")
]
GroundTruth = Annotated[
    list[Path] | None, typer.Option("--gt", help="gt.txt; once for each --video, in order.")
]
Frames = Annotated[int, typer.Option(help="Of each video, at most.")]
Threads = Annotated[int | None, typer.Option(help="For one inference; each runtime chooses if not given.")]
ScoreThreshold = Annotated[float, typer.Option(help="Detections must score more.")]
LiveS = Annotated[
    float, typer.Option("--live", help="Seconds of each video played at its own pace; 0 for none.")
]
DetectEvery = Annotated[
    int | None,
    typer.Option(help="Interval for accuracy at device speed; the least that keeps up if not given."),
]
Pictures = Annotated[
    int, typer.Option(help="Frames a row that differ most, shown in the report; 0 for none.")
]


@app.callback()
def bench(
    ctx: typer.Context,
    models: Annotated[
        list[Path] | None,
        typer.Option(help="ONNX files; several may follow. The bundled one if not given."),
    ] = None,
    runtimes: Annotated[
        str, typer.Option(help="Comma-separated, as in cpu,openvino:GPU; or all that are here.")
    ] = "cpu",
    video: Video = None,
    ground_truth: GroundTruth = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the report.")] = Path("bench"),
    reference: Annotated[
        Path | None,
        typer.Option(help="The model that others are compared with; the first in fp32 if not given."),
    ] = None,
    frames: Frames = 300,
    threads: Threads = None,
    score_threshold: ScoreThreshold = 0.4,
    live_s: LiveS = 10.0,
    detect_every: DetectEvery = None,
    pictures: Pictures = 4,
) -> None:
    """Measure speed, accuracy and agreement of files on runtimes; writes a report and results.json."""
    if ctx.invoked_subcommand is not None:
        return
    require_packages(ground_truth)
    from edge_fairmot.benchmarks.benchmark import Benchmark
    from edge_fairmot.benchmarks.contenders import Starter, choose_runtimes, describe_model, name_models

    chosen = choose_runtimes(runtimes)
    settings = make_settings(frames, threads, score_threshold, live_s, detect_every)
    named = name_models(models or [bundled_model()])
    if reference is not None and reference not in named.values():
        raise InvalidInputError(f"--reference {reference} is not among the --models: add it to them")
    preferred = next((name for name, path in named.items() if path == reference), "")
    benchmark = Benchmark(
        output, check_videos(video), ground_truth or (), settings, preferred_reference=preferred
    )
    starters = []
    for name, path in named.items():
        model, fault = describe_model(path, name)
        for runtime in chosen:
            if fault:
                benchmark.add_failure(model, runtime, fault)
            else:
                starters.append(Starter(model, path, runtime))
    with recorded(benchmark, output, pictures), turn_progress(benchmark.frames, len(starters)) as on_turn:
        benchmark.measure(starters, on_turn)


def make_settings(
    frames: int, threads: int | None, score_threshold: float, live_s: float, detect_every: int | None
) -> Settings:
    """Check the options that all measuring commands share.

    Raises
    ------
    InvalidInputError
        If one is out of range.
    """
    from edge_fairmot.benchmarks.results import Settings

    for name, value, low, high in (
        ("--frames", frames, 2, None),
        ("--threads", threads, 1, None),
        ("--score-threshold", score_threshold, 0, 1),
        ("--live", live_s, 0, None),
        ("--detect-every", detect_every, 1, None),
    ):
        if value is not None and not (low <= value and (high is None or value <= high)):
            span = f"at least {low}" if high is None else f"between {low} and {high}"
            raise InvalidInputError(f"{name} must be {span}, not {value}")
    return Settings(frames, score_threshold, threads, live_s=live_s, detect_every=detect_every)


def check_videos(video: Sequence[str] | None) -> Sequence[str]:
    """Refuse to measure on nothing, or on the same frames twice."""
    if not video:
        raise InvalidInputError("there are no frames to measure on: give --video street.mp4")
    if len(set(video)) < len(video):
        raise InvalidInputError("a --video was given twice: give each once")
    return video


def require_packages(ground_truth: Sequence[Path] | None) -> None:
    """Refuse now what would be missed after an hour's work.

    Raises
    ------
    MissingDependencyError
    """
    for package, purpose in PACKAGES.items():
        if find_spec(package) is None:
            raise MissingDependencyError(package, "bench", purpose)
    if ground_truth and find_spec("trackeval") is None:
        raise MissingDependencyError("trackeval", "eval", "to compare with ground truth")


@contextmanager
def recorded(benchmark: Benchmark, output: Path, pictures: int) -> Iterator[None]:
    """Write the results and the reports of what is done inside, however it ends.

    Raises
    ------
    typer.Exit
        After an interruption.
    EvaluationError
        If nothing could be measured.
    """
    ended = ""
    try:
        with terminated_as_interrupted():
            yield
    except KeyboardInterrupt:
        ended = "interrupted"
        benchmark.judge()
    results = benchmark.results(ended)
    write_reports(benchmark, results, output, pictures)
    print_results(results, output)
    if ended:
        raise typer.Exit(INTERRUPTED)
    if not any(entry.done for entry in results.entries):
        raise EvaluationError(f"nothing could be measured: {results.entries[0].failure}")


def write_reports(benchmark: Benchmark, results: Results, output: Path, pictures: int) -> None:
    """Write ``results.json`` first, and what is made of it then."""
    from edge_fairmot.benchmarks.report.markdown import render_markdown
    from edge_fairmot.benchmarks.report.page import render_page
    from edge_fairmot.benchmarks.results_file import write_results

    write_results(output / RESULTS_NAME, results)
    page = render_page(results, benchmark.worst_frames(pictures))
    try:
        (output / MARKDOWN_NAME).write_text(render_markdown(results), encoding="utf-8")
        (output / PAGE_NAME).write_text(page, encoding="utf-8")
    except OSError as error:
        raise EvaluationError(
            f"cannot write the report to {output}: {error.strerror}; free space there"
        ) from error


def print_results(results: Results, output: Path) -> None:
    """Print the table of speed and accuracy, and what speaks against it."""
    from edge_fairmot.benchmarks.report.cautions import cautions
    from edge_fairmot.benchmarks.report.rows import main_table

    rows = main_table(results)
    table = Table(box=None)
    for index, name in enumerate(rows.header):
        table.add_column(name, justify="left" if index < rows.text_columns else "right")
    for cells in rows.cells:
        table.add_row(*cells)
    stdout.print(table)
    for entry in results.entries:
        if entry.failure:
            warn(f"{entry.name}: {entry.failure}")
    for caution in cautions(results):
        warn(caution)
    names = ", ".join(str(output / name) for name in (PAGE_NAME, MARKDOWN_NAME, RESULTS_NAME))
    print_pairs([("written", names)])


@contextmanager
def turn_progress(frames: int, contenders: int) -> Iterator[Callable[[Measurement, str], None]]:
    """Show how far a group is, on stderr, where that is a terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[now]}"),
    )
    with Progress(*columns, console=stderr, disable=not sys.stderr.isatty(), transient=True) as progress:
        task = progress.add_task("measuring", total=frames * contenders, now="")
        timed: dict[int, int] = {}

        def on_turn(measurement: Measurement, what: str) -> None:
            # A contender that failed has no frames left to come.
            timed[id(measurement)] = frames if measurement.failure else measurement.frames
            now = f"{measurement.job.model.name} on {measurement.job.runtime}: {measurement.failure or what}"
            progress.update(task, completed=sum(timed.values()), now=now)

        yield on_turn
