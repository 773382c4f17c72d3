"""``edge-fairmot bench compare``: what has changed between two runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from edge_fairmot.cli.console import stdout, warn

if TYPE_CHECKING:
    from edge_fairmot.benchmarks.comparison import Change


def compare(
    old: Annotated[Path, typer.Argument(help="results.json of the run before.")],
    new: Annotated[Path, typer.Argument(help="results.json of the run after.")],
    tolerance: Annotated[
        float, typer.Option(help="Share by which a mean time must have changed, with 95 % confidence.")
    ] = 0.05,
) -> None:
    """Compare two runs row by row; exit status 1 when something is worse beyond noise."""
    from edge_fairmot.benchmarks.comparison import compare as compare_results
    from edge_fairmot.benchmarks.results_file import read_results

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
        name = "" if change.row == before else change.row  # once, however many figures it has
        table.add_row(name, *_cells(change), change.verdict, style=style)
        before = change.row
    stdout.print(table)
    for warning in comparison.warnings:
        warn(warning)
    if comparison.regressions:
        count = len(comparison.regressions)
        stdout.print(f"{count} regression{'s' if count > 1 else ''} beyond noise", highlight=False)
        raise typer.Exit(1)
    stdout.print("no regression seen" if comparison.seen else "no difference seen", highlight=False)


def _cells(change: Change) -> tuple[str, str, str, str, str]:
    timed = change.figure.startswith("ms")

    def show(value: float | None, *, signed: bool) -> str:
        if value is None:
            return ""
        if signed:
            return f"{100 * value:+.1f} %" if timed else f"{100 * value:+.1f}"
        return f"{value:.1f}" if timed else f"{100 * value:.1f}"

    interval = change.interval
    span = (
        "" if interval is None else f"{show(interval.low, signed=True)} to {show(interval.high, signed=True)}"
    )
    return (
        change.figure,
        show(change.old, signed=False),
        show(change.new, signed=False),
        show(change.change, signed=True),
        span,
    )
