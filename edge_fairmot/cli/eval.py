"""``edge-fairmot eval``: results against ground truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
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
        str | None,
        typer.Option(
            "--class",
            metavar="NAME,NAME|all",
            help="Classes to score, by name or number, each alone and combined; people without it.",
        ),
    ] = None,
    labelled_frames_only: Annotated[
        bool, typer.Option("--labelled-frames-only", help="Score only frames with a box in the ground truth.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, ratios as fractions.")] = False,
) -> None:
    """Score tracks against ground truth.

    Shows HOTA, DetA, AssA, MOTA, IDF1, IDSW, FP and FN.

    Ground truth has classes, as in MOT16 to MOT20, where it has 8 or 9 columns
    with whole numbers in column 8. Then people (class 1) are scored, and results
    on distractors (classes 2, 7, 8 and 12, in MOT20 also 6) are left out, as in
    TrackEval. MOT20 is known by its name in the path. Class names are those of
    MOTChallenge, or of CVAT's labels.txt beside gt.txt. Results of several
    classes have the names of their model, from tracks.jsonl beside tracks.txt.

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
    wanted = [
        (path, truth_path, one)
        for path, truth_path in zip(results, ground_truth, strict=True)
        for one in _classes(class_name, path, truth_path, benchmark)
    ]
    for path, truth_path, one in wanted:
        truth = read_ground_truth(truth_path, benchmark=benchmark, class_name=one)
        found = read_mot_text(path, truth.class_id, truth.class_name)
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
        sequences[path, one] = truth.without_distractors(found), truth.rows
    # A file may be called as the total is.
    files = {path: str(path) if str(path) != TOTAL else f"./{path}" for path in results}
    several = len(sequences) > len(results)
    names = {key: f"{files[key[0]]} {key[1]}" if several else files[key[0]] for key in sequences}
    table = evaluate_many({names[key]: pair for key, pair in sequences.items()})
    rows = dict(table.sequences)
    if len(rows) > 1:
        rows[TOTAL] = table.combined
    if as_json:
        stdout.print_json(data={name: asdict(accuracy) for name, accuracy in rows.items()})
    else:
        short = Counter([TOTAL, *map(_short_name, results)])
        shown = {
            name: name.replace(files[path], _short_name(path), 1)
            for (path, _), name in names.items()
            if short[_short_name(path)] == 1
        }
        stdout.print(accuracy_table({shown.get(name, name): row for name, row in rows.items()}))


def _classes(
    wanted: str | None, results: Path, ground_truth: Path, benchmark: str | None
) -> Sequence[str | None]:
    """Return the classes to score; None for those that are scored by default."""
    from edge_fairmot.benchmarks.mot_text import PEOPLE, result_classes, scored_classes

    if wanted is None:
        return [None]
    if wanted != "all":
        return [one.strip() for one in wanted.split(",")]
    there = scored_classes(ground_truth, benchmark=benchmark)
    known = {name.lower() for name in result_classes(results)}
    known |= set(PEOPLE) if known.intersection(PEOPLE) else set()
    found = [name for name in there if not known or name.lower() in known]
    if not found:
        raise InvalidInputError(
            f"{results} has the classes {', '.join(sorted(known))}, and {ground_truth} has other ones: "
            f"{', '.join(there)}"
        )
    if len(found) < len(there):
        left_out = ", ".join(name for name in there if name not in found)
        warn(f"{results}: its model does not have {left_out}, of {ground_truth}: not scored")
    return found


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
