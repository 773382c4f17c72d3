"""``edge-fairmot eval``: results against ground truth."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from edge_fairmot.cli.console import stdout
from edge_fairmot.errors import InvalidInputError

if TYPE_CHECKING:
    from edge_fairmot.benchmarks.accuracy import Accuracy

PERCENTAGES = ("hota", "deta", "assa", "mota", "idf1")
COUNTS = ("idsw", "fp", "fn")
"""Figures that fit a terminal; ``--json`` prints all."""


def evaluate(
    results: Annotated[list[Path], typer.Argument(help="tracks.txt files, MOTChallenge text.")],
    ground_truth: Annotated[
        list[Path], typer.Option("--gt", help="gt.txt; once for each file of results, in order.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, ratios as fractions.")] = False,
) -> None:
    """Score tracks against ground truth with TrackEval.

    Shows HOTA, DetA, AssA, MOTA, IDF1, IDSW, FP and FN.
    """
    if len(results) != len(ground_truth):
        raise InvalidInputError(
            f"{len(results)} files of results and {len(ground_truth)} of ground truth: give one --gt each"
        )
    if len(set(results)) < len(results):
        raise InvalidInputError("a file of results was given twice: give each once, with its own --gt")
    from edge_fairmot.benchmarks.accuracy import evaluate_many
    from edge_fairmot.benchmarks.mot_text import read_mot_text

    table = evaluate_many(
        {
            str(path): (read_mot_text(path), read_mot_text(truth, ground_truth=True))
            for path, truth in zip(results, ground_truth, strict=True)
        }
    )
    rows = dict(table.sequences)
    if len(rows) > 1:
        rows["combined"] = table.combined
    if as_json:
        stdout.print_json(data={name: asdict(accuracy) for name, accuracy in rows.items()})
    else:
        stdout.print(accuracy_table({_short_name(path): row for path, row in rows.items()}))


def accuracy_table(rows: dict[str, Accuracy]) -> Table:
    """Return a table of scores with one line for each name."""
    table = Table(box=None)
    table.add_column("results", overflow="fold")
    for name in (*PERCENTAGES, *COUNTS):
        table.add_column(name.upper(), justify="right")
    for name, accuracy in rows.items():
        ratios = [f"{100 * getattr(accuracy, name):.1f}" for name in PERCENTAGES]
        table.add_row(name, *ratios, *(str(getattr(accuracy, name)) for name in COUNTS))
    return table


def _short_name(path: str) -> str:
    """Return the folder of a ``tracks.txt``, because ``track`` names all of them so."""
    return Path(path).resolve().parent.name if Path(path).name == "tracks.txt" else path
