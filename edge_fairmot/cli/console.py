"""What all commands share: results on stdout, messages and progress on stderr, signals and logs."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from typing import Any

from rich.console import Console

# Without markup: paths and pip lines hold square brackets.
stdout = Console(markup=False)
stderr = Console(stderr=True, markup=False)

INTERRUPTED = 130
"""Exit status after Ctrl-C, SIGTERM or SIGHUP, by the shells' convention."""

ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP)

FIELDS = "fields"
"""Attribute of a log record: values for programs, beside the message."""


_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """Escape control characters and what a terminal cannot show, in texts of files and devices."""
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)


def fail(message: str) -> int:
    """Print one error line; returns the exit status."""
    stderr.print("error:", style="bold red", end=" ")
    stderr.print(printable(message), highlight=False, soft_wrap=True)
    return 1


def warn(message: str) -> None:
    """Print one warning line."""
    stderr.print("warning:", style="bold yellow", end=" ")
    stderr.print(printable(message), highlight=False, soft_wrap=True)


def print_pairs(rows: Iterable[tuple[str, str]], title: str | None = None) -> None:
    """Print names and values in two columns."""
    from rich.table import Table

    table = Table(box=None, show_header=False, title=title, title_justify="left", title_style="bold")
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(printable(name), printable(value))
    stdout.print(table)


@contextmanager
def frame_progress(what: str, total: int | None) -> Iterator[Callable[..., None]]:
    """Show frames done, speed and time left on a terminal; yields a function to call after each frame.

    The function takes a few words to show beside the bar. ``total`` is None where it is unknown.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("frames"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[remark]}"),
    )
    with Progress(*columns, console=stderr, disable=not stderr.is_terminal, transient=True) as progress:
        task = progress.add_task(what, total=total, rate="", remark="")

        def on_frame(remark: str = "") -> None:
            speed = progress.tasks[0].speed
            rate = f"{speed:.1f} fps" if speed else ""
            progress.update(task, advance=1, rate=rate, remark=remark)

        yield on_frame


@contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end a run as Ctrl-C does: files closed, summary written."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {one: signal.signal(one, interrupt) for one in ENDING_SIGNALS}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


@contextmanager
def report_after_results() -> Iterator[None]:
    """Print figures that are also in files: a closed or full stdout is only a warning."""
    try:
        yield
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError, SystemExit) as error:  # rich exits where a pipe is closed
        with suppress(OSError, ValueError):  # the buffered text would fail again at the end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        reason = (isinstance(error, OSError) and error.strerror) or "stdout is closed"
        with suppress(OSError):
            warn(f"the figures could not be printed ({reason}); they are in the files")


class TextFormatter(logging.Formatter):
    """Time, level and message."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return f"{_moment(record)} {record.levelname:<7} {printable(_message(record, self))}"


class JsonFormatter(logging.Formatter):
    """``{"time": ..., "level": "info", "logger": ..., "message": ...}`` and the record's fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        document: dict[str, Any] = {
            "time": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record, self),
        }
        return json.dumps(document | getattr(record, FIELDS, {}), default=str)


def start_logging(level: str, log_format: str) -> None:
    """Log to stderr from now on, as ``text`` or ``json``; replaces any earlier set-up."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def _moment(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")


def _message(record: logging.LogRecord, formatter: logging.Formatter) -> str:
    from edge_fairmot.sources.address import redact_text

    message = record.getMessage()
    if record.exc_info:
        message += "\n" + formatter.formatException(record.exc_info)
    # Messages of edge-fairmot hold no secrets; those of a library may.
    return redact_text(message)
