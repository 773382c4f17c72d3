"""``edge-fairmot bench tracker``: what association costs as crowds grow."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from edge_fairmot.cli.console import print_pairs, stderr, stdout
from edge_fairmot.errors import InvalidInputError

NAME = "tracker.md"


def tracker(
    targets: Annotated[str, typer.Option(help="Numbers of people, comma-separated.")] = "10,50,100,200,500",
    frames: Annotated[int, typer.Option(help="Timed of each crowd.")] = 300,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the table as Markdown.")
    ] = None,
) -> None:
    """Time the tracker alone on simulated crowds."""
    from edge_fairmot.benchmarks.device.machine import describe_machine
    from edge_fairmot.benchmarks.report.markdown import render_rows
    from edge_fairmot.benchmarks.tracker_scaling import tabulate_crowds, time_crowds

    try:
        sizes = [int(part) for part in targets.split(",")]
    except ValueError:
        raise InvalidInputError(f"--targets {targets!r} is not a list of numbers, as in 10,50,100") from None
    with stderr.status("tracking crowds ..."):
        rows = tabulate_crowds(time_crowds(sizes, frames))
    table = Table(box=None)
    for name in rows.header:
        table.add_column(name, justify="right")
    for cells in rows.cells:
        table.add_row(*cells)
    stdout.print(table)
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        text = f"# {rows.title}\n\n{render_rows(rows)}\n\n{rows.note} {describe_machine()}.\n"
        (output / NAME).write_text(text, encoding="utf-8")
        print_pairs([("written", str(output / NAME))])
