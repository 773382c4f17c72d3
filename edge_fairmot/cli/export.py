"""``edge-fairmot export``: trajectories as CSV or Parquet, and the mean embedding of each identity."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from edge_fairmot.cli.console import print_pairs
from edge_fairmot.cli.refine import read_embeddings, read_rows
from edge_fairmot.errors import InvalidInputError, MissingDependencyError, SinkError
from edge_fairmot.refinement import TrackRows
from edge_fairmot.sinks.files import UnbufferedFile
from edge_fairmot.system import atomic_write

FORMATS = (".csv", ".parquet")
DECIMALS = 3
"""Of pixels: a thousandth, as in MOTChallenge text."""


def export(
    tracks: Annotated[Path, typer.Argument(help="tracks.jsonl of track or refine, or a recording of live.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Trajectories: NAME.csv or NAME.parquet.")
    ],
    embeddings: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write the mean embedding of each identity: NAME.npz."),
    ] = None,
    detections: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Detection cache of the run, for --embeddings.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
) -> None:
    """Write trajectories as CSV or Parquet.

    One row per identity and frame, ordered by identity and time. Columns: id,
    frame (from 1), time_s, class_id, x1, y1, x2, y2, foot_x, foot_y (pixels),
    score, predicted, filled.
    """
    if output.suffix not in FORMATS:
        raise InvalidInputError(f"-o {output} must end in {' or '.join(FORMATS)}")
    if (embeddings is None) != (detections is None):
        raise InvalidInputError("--embeddings and --detections belong together: give both or none")
    if embeddings is not None and embeddings.suffix != ".npz":
        raise InvalidInputError(f"--embeddings {embeddings} must end in .npz")
    written = [path for path in (output, embeddings) if path is not None]
    for path in written:
        if path.exists() and not overwrite:
            raise InvalidInputError(f"{path} exists: choose another name, or give --overwrite")
    header, frames, rows = read_rows(tracks)
    columns = trajectory_columns(rows)
    if output.suffix == ".csv":
        _write_csv(output, columns)
    else:
        _write_parquet(output, columns)
    if embeddings is not None and detections is not None:
        found = read_embeddings(detections, header, frames)
        ids = np.array(sorted(found), np.int64)
        looks = [found[number] for number in ids.tolist()]
        with atomic_write(embeddings) as partial, partial.open("wb") as file:
            np.savez(file, id=ids, embedding=np.array(looks, np.float32))
    print_pairs(
        (
            ("identities", str(len(np.unique(rows.track_id)))),
            ("rows", str(len(rows))),
            ("written to", ", ".join(map(str, written))),
        )
    )


def trajectory_columns(rows: TrackRows) -> dict[str, Any]:
    """Return the columns of the table by name, each (N,)."""
    xyxy = rows.xyxy.round(DECIMALS)
    x1, y1, x2, y2 = xyxy.T
    return {
        "id": rows.track_id,
        "frame": rows.frame,
        "time_s": rows.time_s,
        "class_id": rows.class_id,
        **{"x1": x1, "y1": y1, "x2": x2, "y2": y2},
        "foot_x": ((x1 + x2) / 2).round(DECIMALS),
        "foot_y": y2,
        "score": rows.score.round(DECIMALS),
        "predicted": rows.predicted,
        "filled": rows.filled,
    }


def _write_csv(path: Path, columns: dict[str, Any]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    cells = [
        values.astype(int).tolist() if values.dtype == bool else values.tolist()
        for values in columns.values()
    ]
    writer.writerows(zip(*cells, strict=True))
    file = UnbufferedFile(path)
    try:
        file.write(text.getvalue().encode())
    finally:
        file.close()


def _write_parquet(path: Path, columns: dict[str, Any]) -> None:
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise MissingDependencyError("pyarrow", "parquet", "to write Parquet") from error
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as partial:
            parquet.write_table(pyarrow.table(columns), partial)
    except OSError as error:
        raise SinkError(
            f"{path} cannot be written ({error.strerror or error}): choose another place"
        ) from error
