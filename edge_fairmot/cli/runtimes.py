"""``edge-fairmot runtimes``: what can run a file on this machine."""

from __future__ import annotations

from rich.table import Table

from edge_fairmot.cli.console import stdout


def runtimes() -> None:
    """List the runtimes, their versions and devices, and what is missing."""
    from edge_fairmot.runtimes import list_runtimes

    table = Table(box=None)
    for column in ("runtime", "version", "devices", "missing"):
        table.add_column(column, overflow="fold")
    for row in list_runtimes():
        style = None if row.available else "dim"
        table.add_row(row.name, row.version or "not installed", row.devices, row.remedy, style=style)
    stdout.print(table)
