"""``edge-fairmot doctor``: what this device has, and how to fix what stands in the way of a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

import edge_fairmot
from edge_fairmot.cli.console import print_pairs, stdout, warn
from edge_fairmot.doctor import (
    Finding,
    check_cameras,
    check_disk,
    check_extras,
    check_system,
    check_thermals,
    read_board,
)

if TYPE_CHECKING:
    from edge_fairmot.runtimes import RuntimeStatus

SIGNS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "error": ("✗", "bold red")}

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def doctor(
    folder: Annotated[
        Path, typer.Option("--folder", metavar="DIR", help="Folder of recordings: its disk is checked.")
    ] = Path(),
    as_json: JsonFlag = False,
) -> None:
    """Check this device: packages, runtimes, cameras, heat.

    The exit status is 1 after an error.
    """
    from edge_fairmot.runtimes import list_runtimes

    board, rows = read_board(), list_runtimes()
    findings = [
        *check_system(board),
        *check_cameras(board),
        *check_runtimes(rows),
        *check_extras(),
        *check_thermals(),
        check_disk(folder.absolute()),
    ]
    errors = [finding for finding in findings if finding.level == "error"]
    if as_json:
        stdout.print_json(
            data={
                "schema_version": 2,
                "edge_fairmot": edge_fairmot.__version__,
                "healthy": not errors,
                "board": asdict(board),
                "findings": [asdict(finding) for finding in findings],
                "runtimes": [asdict(row) for row in rows],
            }
        )
    else:
        _print(findings, errors)
    if errors:
        raise typer.Exit(1)


def runtimes(as_json: JsonFlag = False) -> None:
    """List the runtimes of this device.

    A runtime that is not installed is listed with the command that installs it.
    """
    from edge_fairmot.runtimes import list_runtimes

    rows = list_runtimes()
    if as_json:
        stdout.print_json(data={"schema_version": 2, "runtimes": [asdict(row) for row in rows]})
    else:
        print_pairs((row.name, _describe(row) if row.available else f"not here: {row.fix}") for row in rows)
    for finding in check_runtimes(rows):
        if finding.level == "error":
            warn(f"{finding.text}: {finding.fix}")


def check_runtimes(rows: Sequence[RuntimeStatus], root: Path = Path("/")) -> Iterator[Finding]:
    """Check the runtimes of this machine; ``root`` is the folder of ``proc``."""
    from edge_fairmot.runtimes.checks import int8_sums_overflow
    from edge_fairmot.runtimes.registry import gpu_install_command, package_conflict

    available = {row.name: row for row in rows if row.available}
    for row in available.values():
        yield Finding("runtimes", "ok", f"{row.name}: {_describe(row)}")
    if "openvino" in available and "CPU" in available["openvino"].devices and int8_sums_overflow(root):
        yield Finding(
            "runtimes",
            "warning",
            "openvino: int8 sums can overflow on this processor, which has no VNNI",
            "for an int8 file take --runtime cpu, or take an fp32 file",
        )
    if not available:
        fix = next((row.fix for row in rows if row.name == "cpu"), "")
        yield Finding("runtimes", "error", "none is installed: no file can be run", fix)
    conflict = package_conflict()
    if conflict:
        # The package for GPUs has the CPU provider too.
        yield Finding("runtimes", "error", conflict, gpu_install_command())


def _describe(row: RuntimeStatus) -> str:
    return ", ".join(filter(None, (row.version, row.devices)))


def _print(findings: Sequence[Finding], errors: Sequence[Finding]) -> None:
    table = Table(box=None, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    area = ""
    for finding in findings:
        sign, style = SIGNS[finding.level]
        hint = f"  ({finding.fix})" if finding.level == "warning" and finding.fix else ""
        table.add_row(Text(sign, style), finding.area if finding.area != area else "", finding.text + hint)
        area = finding.area
    stdout.print(table)
    for finding in errors:
        stdout.print(f"\nerror: {finding.text}", style="bold", highlight=False, soft_wrap=True)
        stdout.print(f"    fix: {finding.fix}", highlight=False, soft_wrap=True)
    if not errors:
        stdout.print("\nall checks passed", style="green")
