"""Which runtimes there are, and how to open one.

The registry holds names of classes, not classes: nothing heavy is imported before it is used. Third parties
add theirs through the entry-point group ``edge_fairmot.runtimes``, whose values have the same form.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from edge_fairmot.contracts import Runtime
from edge_fairmot.errors import RuntimeUnavailableError

ENTRY_POINT_GROUP = "edge_fairmot.runtimes"


@dataclass(frozen=True, slots=True)
class _BuiltIn:
    target: str  # "module:Class"
    packages: tuple[str, ...]  # distributions, any of which brings it
    devices: str


_BUILT_IN: Mapping[str, _BuiltIn] = MappingProxyType(
    {"cpu": _BuiltIn("edge_fairmot.runtimes.ort:CpuRuntime", ("onnxruntime", "onnxruntime-gpu"), "CPU")}
)


@dataclass(frozen=True, slots=True)
class RuntimeStatus:
    """One line of the list of runtimes.

    Attributes
    ----------
    name : str
    available : bool
    version : str
        Package and version that provide it; empty if it is not available.
    devices : str
    remedy : str
        The command that makes it available; empty if it is.
    """

    name: str
    available: bool
    version: str
    devices: str
    remedy: str


def _third_party() -> dict[str, importlib.metadata.EntryPoint]:
    return {point.name: point for point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)}


def open_runtime(path: str | Path, runtime: str = "cpu", *, threads: int | None = None) -> Runtime:
    """Load an exported file into a runtime.

    Parameters
    ----------
    path : str or Path
        A file made by ``edge-fairmot convert``.
    runtime : str
        A name from :func:`list_runtimes`. The one that is asked for is the one that runs.
    threads : int, optional
        Threads for one inference; the backend chooses when not given.

    Returns
    -------
    Runtime

    Raises
    ------
    RuntimeUnavailableError
        If there is no such runtime.
    MissingDependencyError
        If its package is not installed.
    InferenceError, ManifestError
        If the file cannot be run.
    """
    points = _third_party()
    if runtime in _BUILT_IN:
        point = importlib.metadata.EntryPoint(runtime, _BUILT_IN[runtime].target, ENTRY_POINT_GROUP)
    elif runtime in points:
        point = points[runtime]
    else:
        raise RuntimeUnavailableError(
            f"there is no runtime called {runtime!r}: choose from {', '.join(sorted({*_BUILT_IN, *points}))}"
        )
    opened: Runtime = point.load()(path, threads=threads)
    return opened


def list_runtimes() -> tuple[RuntimeStatus, ...]:
    """Every runtime that is known, whether it is available, and what to do if it is not."""
    rows = []
    for name, entry in _BUILT_IN.items():
        versions = [version for package in entry.packages if (version := _installed(package))]
        try:
            importlib.import_module(entry.target.partition(":")[0])
            rows.append(RuntimeStatus(name, True, ", ".join(versions), entry.devices, ""))
        except ImportError:
            remedy = f"pip install 'edge-fairmot[{name}]'"
            rows.append(RuntimeStatus(name, False, "", entry.devices, remedy))
    for name, point in _third_party().items():
        origin = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
        rows.append(RuntimeStatus(name, True, origin, "", ""))
    return tuple(rows)


def _installed(package: str) -> str:
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return ""
