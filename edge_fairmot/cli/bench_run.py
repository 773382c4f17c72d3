"""A measuring command of ``bench``: its flags and their checks, its progress, its reports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from edge_fairmot.cli.console import (
    INTERRUPTED,
    frame_progress,
    print_pairs,
    stdout,
    terminated_as_interrupted,
    warn,
)
from edge_fairmot.errors import EvaluationError, InvalidInputError, MissingDependencyError

if TYPE_CHECKING:
    from edge_fairmot.benchmarks.benchmark import Benchmark
    from edge_fairmot.benchmarks.report_tables import TextTable
    from edge_fairmot.benchmarks.results import Results, Settings
    from edge_fairmot.benchmarks.turns import Measurement, OnTurn

RESULTS_NAME, PAGE_NAME, MARKDOWN_NAME = "results.json", "report.html", "report.md"

PACKAGES = {"plotly": "to draw the report", "psutil": "to read memory", "pydantic": "to keep results"}

Video: TypeAlias = Annotated[
    list[str] | None, typer.Option(help="Video, image folder or sequence folder; may be repeated.")
]
GroundTruth: TypeAlias = Annotated[
    list[Path] | None, typer.Option("--gt", help="gt.txt; once for each --video, in order.")
]
Frames: TypeAlias = Annotated[int, typer.Option("--max-frames", help="Maximum frames of each video.")]
Threads: TypeAlias = Annotated[
    int | None, typer.Option(help="Threads of one inference. [default: as each runtime chooses]")
]
ScoreThreshold: TypeAlias = Annotated[float, typer.Option(help="Detections need a higher score.")]
LiveS: TypeAlias = Annotated[
    float, typer.Option("--live-seconds", help="Seconds of each video played at its own pace; 0 for none.")
]
DetectEvery: TypeAlias = Annotated[
    int | None,
    typer.Option(help="Interval for accuracy at device speed. [default: the least that keeps up]"),
]
WorstFramesFlag: TypeAlias = Annotated[
    int, typer.Option("--worst-frames", help="Most different frames of each row, for the report; 0 for none.")
]


def make_settings(
    frames: int, threads: int | None, score_threshold: float, live_s: float, detect_every: int | None
) -> Settings:
    """Return the settings of a run; InvalidInputError if one is out of range."""
    from edge_fairmot.benchmarks.results import Settings

    for name, value, low, high in (
        ("--max-frames", frames, 2, None),
        ("--threads", threads, 1, None),
        ("--score-threshold", score_threshold, 0, 1),
        ("--live-seconds", live_s, 0, None),
        ("--detect-every", detect_every, 1, None),
    ):
        if value is not None and not (low <= value and (high is None or value <= high)):
            span = f"at least {low}" if high is None else f"between {low} and {high}"
            raise InvalidInputError(f"{name} must be {span}, not {value}")
    return Settings(frames, score_threshold, threads, live_s=live_s, detect_every=detect_every)


def check_videos(video: Sequence[str] | None) -> Sequence[str]:
    """Refuse no video, or one that is given twice."""
    if not video:
        raise InvalidInputError("there are no frames to measure on: give --video street.mp4")
    if len(set(video)) < len(video):
        raise InvalidInputError("a --video was given twice: give each once")
    return video


def require_packages(ground_truth: Sequence[Path] | None) -> None:
    """Refuse a run with missing packages, before it measures for an hour."""
    for package, purpose in PACKAGES.items():
        if find_spec(package) is None:
            raise MissingDependencyError(package, "bench", purpose)
    if ground_truth and find_spec("scipy") is None:
        raise MissingDependencyError("scipy", "eval", "to compare with ground truth")


@contextmanager
def recorded(benchmark: Benchmark, output: Path, worst_frames: int) -> Iterator[None]:
    """Write and print the results of the measuring inside, also after an interruption."""
    ended = ""
    try:
        with terminated_as_interrupted():
            yield
    except KeyboardInterrupt:
        ended = "interrupted"
        benchmark.score()
    results = benchmark.results(ended)
    _write_reports(benchmark, results, output, worst_frames)
    _print_results(results, output)
    if ended:
        raise typer.Exit(INTERRUPTED)
    if not any(entry.done for entry in results.entries):
        raise EvaluationError(f"nothing could be measured: {results.entries[0].failure}")


def _write_reports(benchmark: Benchmark, results: Results, output: Path, worst_frames: int) -> None:
    from edge_fairmot.benchmarks.report_page import render_page
    from edge_fairmot.benchmarks.report_tables import render_markdown
    from edge_fairmot.benchmarks.results import write_results

    write_results(output / RESULTS_NAME, results)
    page = render_page(results, benchmark.worst_frames(worst_frames))
    try:
        (output / MARKDOWN_NAME).write_text(render_markdown(results), encoding="utf-8")
        (output / PAGE_NAME).write_text(page, encoding="utf-8")
    except OSError as error:
        raise EvaluationError(
            f"cannot write the report to {output}: {error.strerror}; free space there"
        ) from error


def _print_results(results: Results, output: Path) -> None:
    from edge_fairmot.benchmarks.report_tables import cautions, main_table

    print_table(main_table(results))
    for entry in results.entries:
        if entry.failure:
            warn(f"{entry.name}: {entry.failure}")
    for caution in cautions(results):
        warn(caution)
    names = ", ".join(str(output / name) for name in (PAGE_NAME, MARKDOWN_NAME, RESULTS_NAME))
    print_pairs([("written", names)])


def print_table(table: TextTable) -> None:
    """Print the cells of a table; numbers are right-aligned."""
    from rich.table import Table

    shown = Table(box=None)
    for index, name in enumerate(table.header):
        shown.add_column(name, justify="left" if index < table.text_columns else "right", overflow="fold")
    for cells in table.cells:
        shown.add_row(*cells)
    stdout.print(shown)


@contextmanager
def turn_progress(frames: int, pairs: int) -> Iterator[OnTurn]:
    """Show the progress of a group; yields a function to call after each turn."""
    timed: dict[int, int] = {}
    with frame_progress("measuring", frames * pairs) as on_frame:

        def on_turn(measurement: Measurement, what: str) -> None:
            # A failed pair has no frames left.
            done = frames if measurement.failure else measurement.frames
            now = f"{measurement.job.model.name} on {measurement.job.runtime}: {measurement.failure or what}"
            on_frame(now, done - timed.get(id(measurement), 0))
            timed[id(measurement)] = done

        yield on_turn
