"""Runtimes, what each computes of a FairMOT file, and the extras."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from types import MappingProxyType

from edge_fairmot.doctor.finding import Finding
from edge_fairmot.runtimes import RuntimeStatus
from edge_fairmot.runtimes.ort import (
    TEGRA_RELEASE,
    explain_conflict,
    gpu_install_line,
    int8_sums_overflow,
    ort_packages,
)
from edge_fairmot.runtimes.probe import ProbeResult

EXTRAS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "video": ("av", "network cameras, video files and clips"),
        "web": ("starlette", "the page"),
        "mqtt": ("paho", "MQTT and Home Assistant"),
    }
)
"""A module of each extra that a device may want, and what it is for."""


def examine_runtimes(rows: Sequence[RuntimeStatus], root: Path = Path("/")) -> Iterator[Finding]:
    """Look at what can run a file here.

    Parameters
    ----------
    rows : sequence of RuntimeStatus
    root : Path
        Where ``proc`` is.
    """
    able = [row for row in rows if row.choices]
    for row in able:
        yield Finding("runtimes", "ok", f"{row.name}: {row.version}, {row.devices}")
    if int8_sums_overflow(root) and any("openvino:CPU" in row.choices for row in able):
        yield Finding(
            "runtimes",
            "note",
            "openvino: int8 sums can overflow on this processor, which has no VNNI",
            "for an int8 file use --runtime cpu, or take an fp32 file",
        )
    if not able:
        remedy = next((row.remedy for row in rows if row.name == "cpu"), "")
        yield Finding("runtimes", "mend", "none is installed: nothing can run a file", remedy)
    packages = ort_packages()
    conflict = explain_conflict(packages)
    if conflict:
        # The package for GPUs has the CPU provider too.
        yield Finding("runtimes", "mend", conflict, gpu_install_line(packages, jetson=TEGRA_RELEASE.exists()))


def examine_probes(probes: Sequence[ProbeResult]) -> Iterator[Finding]:
    """Look at what came out where each runtime was given each lowering of the deformable convolution."""
    for runtime, group in groupby(probes, key=lambda result: result.runtime):
        results = list(group)
        exact = [result for result in results if result.exact]
        if exact:
            yield Finding("lowerings", "ok", f"{runtime}: exact with {', '.join(map(_timed, exact))}")
        for result in results:
            if result.error is None:
                text = f"{runtime}: {result.lowering} does not run ({result.reason})"
                yield Finding("lowerings", "note" if exact else "mend", text, _convert(exact))
            elif not result.exact:
                text = f"{runtime}: {result.lowering} is wrong by {result.error:.1e}"
                yield Finding("lowerings", "note" if exact else "mend", text, _convert(exact))


def examine_extras() -> Iterator[Finding]:
    """Look at what is installed beside the core."""
    for extra, (module, purpose) in EXTRAS.items():
        if importlib.util.find_spec(module) is None:
            remedy = f"pip install 'edge-fairmot[{extra}]'"
            yield Finding("extras", "note", f"{extra} is not installed: {purpose}", remedy)
        else:
            yield Finding("extras", "ok", f"{extra}: {purpose}")


def _timed(result: ProbeResult) -> str:
    return f"{result.lowering} ({result.best_ms:.1f} ms)"


def _convert(exact: Sequence[ProbeResult]) -> str:
    if not exact:
        return "reinstall or update the runtime, or take another"
    fastest = min(exact, key=lambda result: result.best_ms or 0.0)
    return f"for this runtime: edge-fairmot convert ... --deform-conv {fastest.lowering}"
