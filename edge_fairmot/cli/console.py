"""What all commands share: results on stdout, messages and progress on stderr, signals and logs."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import sys
import threading
import time
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


LINE_EVERY_S = 10.0
"""Seconds between two lines of progress without a terminal."""

UNREMARKABLE_S = 3.0
"""A step that takes less is shown without its time."""

_COUNTED = re.compile(r"(\d+) of (\d+)")
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
    """Show frames done, speed and time left; yields a function to call after each frame.

    The function takes a few words to show beside the bar, and the number of frames done if not one. ``total``
    is None where it is unknown. Without a terminal a line says the same every ten seconds.
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
    progress = Progress(*columns, console=stderr, disable=not _shows_bars(), transient=True)
    begun_s = time.monotonic()
    task = progress.add_task(what, total=total, rate="", remark="")

    def describe() -> str:
        done = int(progress.tasks[0].completed)
        rate = done / (time.monotonic() - begun_s)
        left = f", {_duration((total - done) / rate)} left" if total and rate else ""
        return f"{what}: {done}{f' of {total}' if total else ''} frames, {rate:.1f} frames/s{left}"

    def on_frame(remark: str = "", frames: int = 1) -> None:
        speed = progress.tasks[0].speed
        rate = f"{speed:.1f} fps" if speed else ""
        progress.update(task, advance=frames, rate=rate, remark=remark)

    with progress, _told_in_lines(describe):
        yield on_frame


@contextmanager
def step_progress(first: str) -> Iterator[Callable[[str], None]]:
    """Show what a long piece of work does now, and for how long; yields a function that takes the next step.

    A step that says "3 of 40" gets an estimate of the time left. Without a terminal a line says the same
    every ten seconds.
    """
    now: dict[str, Any] = {"step": first, "begun_s": time.monotonic(), "steps_s": time.monotonic()}

    def describe() -> str:
        told = [now["step"]]
        counted = _COUNTED.search(now["step"])
        if counted and int(counted[1]) > 1:
            each_s = (now["begun_s"] - now["steps_s"]) / (int(counted[1]) - 1)
            told.append(f"{_duration(each_s * (int(counted[2]) - int(counted[1]) + 1))} left")
        elif (since_s := time.monotonic() - now["begun_s"]) > UNREMARKABLE_S:
            told.append(f"for {_duration(since_s)}")
        return ", ".join(told)

    def take(step: str) -> None:
        counted = _COUNTED.search(step)
        now.update(step=step, begun_s=time.monotonic())
        if counted is None or int(counted[1]) == 1:
            now["steps_s"] = time.monotonic()

    if not _shows_bars():
        with _told_in_lines(describe):
            yield take
        return
    from rich.live import Live
    from rich.spinner import Spinner

    def spin() -> Spinner:
        return Spinner("dots", describe())

    with Live(get_renderable=spin, console=stderr, transient=True, refresh_per_second=4):
        yield take


def _shows_bars() -> bool:
    return stderr.is_terminal and not stdout.quiet


@contextmanager
def _told_in_lines(describe: Callable[[], str]) -> Iterator[None]:
    """Print a line every ten seconds where no terminal shows a bar; nothing if asked to be quiet."""
    if _shows_bars() or stdout.quiet:
        yield
        return
    over = threading.Event()

    def tell() -> None:
        while not over.wait(LINE_EVERY_S):
            with suppress(OSError, ValueError):  # stderr is closed
                stderr.print(printable(describe()), highlight=False, soft_wrap=True)

    thread = threading.Thread(target=tell, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _duration(seconds: float) -> str:
    """Write a time as people do: 40 s, 12 min, 3.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


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
