"""``edge-fairmot doctor``: what this device has, and what to mend, with the command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

import edge_fairmot
from edge_fairmot.cli.console import stderr, stdout
from edge_fairmot.doctor import (
    Finding,
    examine_cameras,
    examine_disk,
    examine_extras,
    examine_heat,
    examine_probes,
    examine_runtimes,
    examine_system,
    read_board,
)

if TYPE_CHECKING:
    from edge_fairmot.runtimes import RuntimeStatus
    from edge_fairmot.runtimes.probe import ProbeResult

SIGNS = {"ok": ("✓", "green"), "note": ("·", "yellow"), "mend": ("✗", "bold red")}


def doctor(
    folder: Annotated[
        Path, typer.Option("--folder", metavar="DIR", help="Where recordings go: its disk is looked at.")
    ] = Path(),
    probe: Annotated[
        bool, typer.Option(help="Run a small deformable convolution in each lowering on each runtime.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Examine this device: cameras, runtimes, heat, power, disk; status 1 where something is to be mended."""
    from edge_fairmot.runtimes import list_runtimes

    board = read_board()
    rows = list_runtimes()
    probes = _probe(rows) if probe else []
    findings = [
        *examine_system(board),
        *examine_cameras(board),
        *examine_runtimes(rows),
        *examine_probes(probes),
        *examine_extras(),
        *examine_heat(),
        examine_disk(folder.absolute()),
    ]
    to_mend = [finding for finding in findings if finding.verdict == "mend"]
    if as_json:
        stdout.print_json(
            data={
                "schema_version": 1,
                "edge_fairmot": edge_fairmot.__version__,
                "healthy": not to_mend,
                "board": asdict(board),
                "findings": [asdict(finding) for finding in findings],
                "runtimes": [asdict(row) for row in rows],
                "probes": [asdict(result) | {"exact": result.exact} for result in probes],
            }
        )
    else:
        _print(findings, to_mend)
    if to_mend:
        raise typer.Exit(1)


def _probe(rows: Sequence[RuntimeStatus]) -> list[ProbeResult]:
    from edge_fairmot.runtimes.probe import probe

    results: list[ProbeResult] = []
    with stderr.status("probing") as status:
        for choice in (choice for row in rows for choice in row.choices):
            status.update(f"probing {choice} ...")
            results.extend(probe(choice))
    return results


def _print(findings: Sequence[Finding], to_mend: Sequence[Finding]) -> None:
    table = Table(box=None, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    area = ""
    for finding in findings:
        sign, style = SIGNS[finding.verdict]
        hint = f"  ({finding.remedy})" if finding.verdict == "note" and finding.remedy else ""
        table.add_row(Text(sign, style), finding.area if finding.area != area else "", finding.text + hint)
        area = finding.area
    stdout.print(table)
    for finding in to_mend:
        stdout.print(f"\nto mend: {finding.text}", style="bold", highlight=False, soft_wrap=True)
        stdout.print(f"    {finding.remedy}", highlight=False, soft_wrap=True)
    if not to_mend:
        stdout.print("\nnothing has to be mended", style="green")
