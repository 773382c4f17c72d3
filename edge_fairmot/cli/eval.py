"""``edge-fairmot eval``: results against ground truth."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.table import Table

from edge_fairmot.cli.console import stdout, warn
from edge_fairmot.errors import InvalidInputError

if TYPE_CHECKING:
    from edge_fairmot.benchmarks.accuracy import Accuracy

PERCENTAGES = ("hota", "deta", "assa", "mota", "idf1")
COUNTS = ("idsw", "fp", "fn")
"""Figures that fit a terminal; ``--json`` prints all."""

TOTAL = "combined"


def evaluate(
    results: Annotated[list[Path], typer.Argument(help="tracks.txt files, MOTChallenge text.")],
    ground_truth: Annotated[
        list[Path], typer.Option("--gt", help="gt.txt; once for each file of results, in order.")
    ],
    benchmark: Annotated[
        str | None,
        typer.Option(help="MOT15, MOT16, MOT17 or MOT20: reads the ground truth so, whatever its columns."),
    ] = None,
    class_name: Annotated[
        str | None, typer.Option("--class", help="Class to score, by name or number; people without it.")
    ] = None,
    labelled_frames_only: Annotated[
        bool, typer.Option("--labelled-frames-only", help="Score only frames with a box in the ground truth.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, ratios as fractions.")] = False,
) -> None:
    """Score tracks against ground truth with TrackEval.

    Shows HOTA, DetA, AssA, MOTA, IDF1, IDSW, FP and FN.

    Ground truth has classes, as in MOT16 to MOT20, where it has 8 or 9 columns
    with whole numbers in column 8. Then people (class 1) are scored, and results
    on distractors (classes 2, 7, 8 and 12, in MOT20 also 6) are left out, as in
    TrackEval. MOT20 is known by its name in the path. Class names are those of
    MOTChallenge, or of CVAT's labels.txt beside gt.txt.

    In 10 columns, as in MOT15, columns 8 to 10 are a place in the world, and
    every box is scored.
    """
    if len(results) != len(ground_truth):
        raise InvalidInputError(
            f"{len(results)} files of results and {len(ground_truth)} of ground truth: give one --gt each"
        )
    if len(set(results)) < len(results):
        raise InvalidInputError("a file of results was given twice: give each once, with its own --gt")
    from edge_fairmot.benchmarks.accuracy import evaluate_many
    from edge_fairmot.benchmarks.mot_text import read_ground_truth, read_mot_text

    sequences = {}
    for path, truth_path in zip(results, ground_truth, strict=True):
        truth = read_ground_truth(truth_path, benchmark=benchmark, class_name=class_name)
        found = read_mot_text(path, truth.class_id)
        outside = ~np.isin(found.frame, truth.labelled_frames)
        if labelled_frames_only:
            found = found[~outside]
        elif outside.any():
            frames = np.unique(found.frame[outside])
            warn(
                f"{path}: {outside.sum()} of {len(found)} results lie in {len(frames)} frames ({frames[0]} "
                f"to {frames[-1]}) in which {truth_path} has no box. They count as false positives: give "
                "--labelled-frames-only if these frames are not labelled"
            )
        sequences[path] = truth.without_distractors(found), truth.rows
    # A file may be called as the total is.
    names = {path: str(path) if str(path) != TOTAL else f"./{path}" for path in sequences}
    table = evaluate_many({names[path]: pair for path, pair in sequences.items()})
    rows = dict(table.sequences)
    if len(rows) > 1:
        rows[TOTAL] = table.combined
    if as_json:
        stdout.print_json(data={name: asdict(accuracy) for name, accuracy in rows.items()})
    else:
        short = Counter([TOTAL, *map(_short_name, results)])
        shown = {names[path]: _short_name(path) for path in results if short[_short_name(path)] == 1}
        stdout.print(accuracy_table({shown.get(name, name): row for name, row in rows.items()}))


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


def _short_name(path: Path) -> str:
    """Return the folder of a ``tracks.txt``, because ``track`` names all of them so."""
    return path.resolve().parent.name if path.name == "tracks.txt" else str(path)
