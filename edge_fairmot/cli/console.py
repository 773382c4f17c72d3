"""What all commands print with: results on stdout, everything else on stderr."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

# Without markup: paths and pip lines hold square brackets.
stdout = Console(markup=False)
stderr = Console(stderr=True, markup=False)


def fail(message: str) -> int:
    """Print one error line; returns the exit status."""
    stderr.print("error:", style="bold red", end=" ")
    stderr.print(message, highlight=False, soft_wrap=True)
    return 1


def warn(message: str) -> None:
    """Print one warning line."""
    stderr.print("warning:", style="bold yellow", end=" ")
    stderr.print(message, highlight=False, soft_wrap=True)


def print_pairs(rows: Iterable[tuple[str, str]], title: str | None = None) -> None:
    """Print names and values in two columns."""
    table = Table(box=None, show_header=False, title=title, title_justify="left", title_style="bold")
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, value)
    stdout.print(table)
