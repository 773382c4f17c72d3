"""``edge-fairmot report``: how many between 9 and 10."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta, timezone, tzinfo
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from edge_fairmot.cli.console import printable, stdout
from edge_fairmot.errors import InvalidInputError, MissingDependencyError, SinkError
from edge_fairmot.service.history import Buckets, CountRow, History, count_events, history_path
from edge_fairmot.system import atomic_write

FORMATS = (".csv", ".parquet", ".jsonl")
FIRST = datetime(1970, 1, 2, tzinfo=timezone.utc)

CHUNK = 10_000
"""Rows of a Parquet file that are in memory at a time."""

COLUMNS = {
    **{"start": "string", "end": "string", "camera": "string", "kind": "string", "name": "string"},
    **{"id": "string", "class": "string", "in": "int64", "out": "int64", "entries": "int64"},
    **{"stays": "int64", "mean_dwell_s": "float64", "mean_occupancy": "float64", "max_occupancy": "int64"},
}
"""Columns of a report and their types in Parquet."""


class Span(str, Enum):
    """Length of a row."""

    minute = "minute"
    hour = "hour"
    day = "day"


def report(
    counts: Annotated[
        Path | None,
        typer.Argument(
            help="State folder or history.db of live, events.jsonl, or a folder of recorded events. "
            "[default: the state folder]"
        ),
    ] = None,
    begin: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="TIME", help="A date, or a time as 2026-11-30T09:00. [default: the first]"
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="TIME", help="Up to this time; a date is included. [default: now]"),
    ] = None,
    by: Annotated[Span, typer.Option("--by", metavar="minute|hour|day", help="Length of a row.")] = Span.hour,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="NAME.csv, NAME.parquet or NAME.jsonl."),
    ] = None,
    camera: Annotated[str | None, typer.Option(metavar="NAME", help="Only this camera.")] = None,
    utc: Annotated[bool, typer.Option("--utc", help="Hours and days in UTC, not in local time.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")] = False,
) -> None:
    """Report what was counted, by minute, hour or day.

    One row per line or zone, class and time in which something was counted. Without -o, a table.
    """
    if output is not None and output.suffix not in FORMATS:
        raise InvalidInputError(f"-o {output} must end in {', '.join(FORMATS)}")
    if output is not None and output.exists() and not overwrite:
        raise InvalidInputError(f"{output} exists: choose another name, or give --overwrite")
    zone = timezone.utc if utc else None
    now = datetime.now(timezone.utc) + timedelta(minutes=1)
    start = FIRST if begin is None else _parse("--from", begin, zone)[0]
    end = now if to is None else _parse("--to", to, zone)[1]
    if end <= start:
        raise InvalidInputError(f"--to {to} is not after --from {begin}")
    rows = map(_document, _read(counts, start, end, Buckets(by.value, zone), camera))
    if output is None:
        _print_table(rows)
        return
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(output) as partial:
            _WRITERS[output.suffix](partial, rows)
    except OSError as error:
        raise SinkError(f"{output} cannot be written ({error.strerror}): choose another place") from error
    stdout.print(f"written to {printable(str(output))}", highlight=False)


def _parse(flag: str, text: str, zone: tzinfo | None) -> tuple[datetime, datetime]:
    """Return a time twice, or the begin and the end of a date; local without a zone."""
    try:
        found = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
        is_date = re.fullmatch(r"\d{4}-\d\d-\d\d", text.strip()) is not None
        zone = found.tzinfo or zone
        times = (found, found + timedelta(days=is_date))
        begin, end = (one.replace(tzinfo=zone) if zone else one.astimezone() for one in times)
        return begin, end
    except (ValueError, OverflowError) as error:
        raise InvalidInputError(
            f"{flag} {text!r} is no time: write 2026-11-30, or 2026-11-30T09:00"
        ) from error


def _read(
    path: Path | None, start: datetime, end: datetime, buckets: Buckets, camera: str | None
) -> Iterator[CountRow]:
    """Yield the rows of a history, or of files of events."""
    if path is None or (path / "history.db").exists():
        path = history_path(path)
    if path.suffix == ".db":
        return History(path, buckets.zone).counts(start, end, buckets.by, camera)
    files = sorted(path.rglob("*events.jsonl")) if path.is_dir() else [path]
    if not files:
        raise InvalidInputError(
            f"{path} has no history.db and no events.jsonl: give the state folder of live"
        )
    return count_events(files, start, end, buckets, camera)


def _document(row: CountRow) -> dict[str, Any]:
    """Return a row by the names of the columns; empty where a line or a zone has no such figure."""
    inwards, outwards, entries, stays, dwell_s, _ = row.totals
    is_line, mean = row.kind == "line", row.mean_occupancy
    values = (
        *(row.start.isoformat(), row.end.isoformat(), row.camera, row.kind, row.name, row.id, row.class_name),
        *((inwards, outwards, None, None, None, None, None) if is_line else (None, None, entries, stays)),
        *(
            ()
            if is_line
            else (
                round(dwell_s / stays, 3) if stays else None,
                None if mean is None else round(mean, 3),
                row.max_occupancy,
            )
        ),
    )
    return dict(zip(COLUMNS, values, strict=True))


def _write_csv(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def _write_json_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            known = {name: value for name, value in row.items() if value is not None}
            file.write(json.dumps(known, ensure_ascii=False) + "\n")


def _write_parquet(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise MissingDependencyError("pyarrow", "parquet", "to write Parquet") from error
    schema = pyarrow.schema([(name, getattr(pyarrow, kind)()) for name, kind in COLUMNS.items()])
    rows = iter(rows)
    with parquet.ParquetWriter(path, schema) as writer:
        while chunk := list(islice(rows, CHUNK)):
            writer.write_table(pyarrow.Table.from_pylist(chunk, schema))


_WRITERS = {".csv": _write_csv, ".jsonl": _write_json_lines, ".parquet": _write_parquet}


def _print_table(rows: Iterable[dict[str, Any]]) -> None:
    from rich.table import Table

    found = list(rows)
    if not found:
        stdout.print("nothing was counted in this time")
        return
    shown = [name for name in COLUMNS if name not in _hidden(found)]
    table = Table(box=None)
    for name in shown:
        is_text = COLUMNS[name] == "string"
        table.add_column(
            name.replace("_", " "), justify="left" if is_text else "right", no_wrap=name == "start"
        )
    for row in found:
        row["start"] = row["start"][:16].replace("T", " ")
        table.add_row(*("" if row[name] is None else printable(str(row[name])) for name in shown))
    stdout.print(table)


def _hidden(rows: Sequence[dict[str, Any]]) -> set[str]:
    """Return the columns that say nothing here."""
    same = {name for name in ("camera", "class") if len({row[name] for row in rows}) == 1}
    empty = {name for name in COLUMNS if all(row[name] is None for row in rows)}
    return {"end", "kind", "id", *same, *empty}
