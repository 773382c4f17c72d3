"""``edge-fairmot runtimes``: what can run a file on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from edge_fairmot.cli.console import stderr, stdout, warn

if TYPE_CHECKING:
    from edge_fairmot.runtimes import RuntimeStatus
    from edge_fairmot.runtimes.probe import ProbeResult


def runtimes(
    probe: Annotated[
        bool,
        typer.Option("--probe", help="Run a small deformable convolution in each lowering on each of them."),
    ] = False,
    only: Annotated[
        str | None, typer.Option("--runtime", metavar="NAME[:DEVICE]", help="Probe this one alone.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the runtimes, their versions and devices, and what is missing; probe what each computes."""
    from edge_fairmot.runtimes import list_runtimes
    from edge_fairmot.runtimes.ort import (
        TEGRA_RELEASE,
        explain_conflict,
        gpu_install_line,
        ort_packages,
    )

    rows = list_runtimes()
    packages = ort_packages()
    conflict = explain_conflict(packages)
    probed = _probe([only] if only else [choice for row in rows for choice in row.choices if probe])
    if as_json:
        stdout.print_json(
            data={
                "schema_version": 1,
                "runtimes": [asdict(row) for row in rows],
                "probes": [asdict(result) | {"exact": result.exact} for result in probed],
                "conflict": conflict,
            }
        )
    elif probed:
        _print_probes(probed)
    else:
        _print_runtimes(rows)
    if conflict:
        # The package for GPUs has the CPU provider too.
        warn(f"{conflict}: {gpu_install_line(packages, jetson=TEGRA_RELEASE.exists())}")


def _probe(choices: Sequence[str]) -> list[ProbeResult]:
    from edge_fairmot.runtimes.probe import probe

    results: list[ProbeResult] = []
    with stderr.status("probing") as status:
        for choice in choices:
            status.update(f"probing {choice} ...")
            results.extend(probe(choice))
    return results


def _print_runtimes(rows: Sequence[RuntimeStatus]) -> None:
    table = Table(box=None)
    for column in ("runtime", "version", "devices", "missing"):
        table.add_column(column, overflow="fold")
    for row in rows:
        style = None if row.available else "dim"
        table.add_row(row.name, row.version or "not installed", row.devices, row.remedy, style=style)
    stdout.print(table)


def _print_probes(results: Sequence[ProbeResult]) -> None:
    table = Table(box=None)
    for column, justify in (("runtime", "left"), ("lowering", "left"), ("", "left"), ("error", "right")):
        table.add_column(column, justify="right" if justify == "right" else "left")
    table.add_column("best ms", justify="right")
    table.add_column("", overflow="fold")
    for result in results:
        if result.error is None or result.best_ms is None:
            table.add_row(result.runtime, result.lowering, "does not run", "", "", result.reason, style="dim")
        else:
            verdict = "exact" if result.exact else "not exact"
            style = None if result.exact else "red"
            row = (result.runtime, result.lowering, verdict, f"{result.error:.1e}", f"{result.best_ms:.2f}")
            table.add_row(*row, style=style)
    stdout.print(table)
