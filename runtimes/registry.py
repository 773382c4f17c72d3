"""Which runtimes there are, and how to open one.

The registry holds names of classes, not classes: nothing heavy is imported before it is used. Third parties
add theirs through the entry-point group ``edge_fairmot.runtimes``, whose values have the same form. A class
is called with the path of the file and :class:`~edge_fairmot.runtimes.checks.RuntimeOptions`.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from edge_fairmot.errors import InvalidInputError, RuntimeUnavailableError
from edge_fairmot.protocols import Runtime
from edge_fairmot.runtimes.checks import RuntimeOptions
from edge_fairmot.runtimes.ort import TEGRA_RELEASE, gpu_install_line, ort_packages

ENTRY_POINT_GROUP = "edge_fairmot.runtimes"


@dataclass(frozen=True, slots=True)
class _BuiltIn:
    target: str  # "module:Class"
    packages: tuple[str, ...]  # distributions, any of which brings it
    install: str = ""  # empty for those that need ONNX Runtime's package for GPUs
    devices: str = ""  # where the module's list_devices(name) is not needed to tell
    per_device: bool = False  # whether each of its devices is a choice of its own
    runs_networks: bool = True


_ORT = ("onnxruntime", "onnxruntime-gpu")
_BUILT_IN: Mapping[str, _BuiltIn] = MappingProxyType(
    {
        "cpu": _BuiltIn(
            "edge_fairmot.runtimes.ort:CpuRuntime", _ORT, "pip install 'edge-fairmot[cpu]'", "CPU"
        ),
        "openvino": _BuiltIn(
            "edge_fairmot.runtimes.openvino:OpenVinoRuntime",
            ("openvino",),
            "pip install 'edge-fairmot[openvino]'",
            per_device=True,
        ),
        "cuda": _BuiltIn("edge_fairmot.runtimes.ort:CudaRuntime", ("onnxruntime-gpu",)),
        "tensorrt": _BuiltIn("edge_fairmot.runtimes.ort:TensorRtRuntime", ("onnxruntime-gpu",)),
    }
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
    choices : tuple of str
        What ``--runtime`` takes to run a network on each of its devices, as in ``openvino:GPU``; none if it
        is not available, or runs no network.
    """

    name: str
    available: bool
    version: str
    devices: str
    remedy: str
    choices: tuple[str, ...] = ()


def _third_party() -> dict[str, importlib.metadata.EntryPoint]:
    return {point.name: point for point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)}


def open_runtime(path: str | Path, runtime: str = "cpu", options: RuntimeOptions | None = None) -> Runtime:
    """Load an exported file into a runtime.

    Parameters
    ----------
    path : str or Path
        A file made by ``edge-fairmot convert``.
    runtime : str
        A name from :func:`list_runtimes`, or a name and a device, as in ``openvino:GPU``. The one that is
        asked for is the one that runs.
    options : RuntimeOptions, optional

    Returns
    -------
    Runtime

    Raises
    ------
    RuntimeUnavailableError
        If there is no such runtime.
    MissingDependencyError
        If its package is not installed.
    InvalidInputError
        If an option is not one that it takes.
    InferenceError, ManifestError
        If the file cannot be run.
    """
    points = _third_party()
    name, _, device = runtime.partition(":")
    if name in _BUILT_IN:
        point = importlib.metadata.EntryPoint(name, _BUILT_IN[name].target, ENTRY_POINT_GROUP)
    elif name in points:
        point = points[name]
    else:
        raise RuntimeUnavailableError(
            f"there is no runtime called {name!r}: choose from {', '.join(sorted({*_BUILT_IN, *points}))}"
        )
    options = options or RuntimeOptions()
    if device and options.device not in ("", device):
        raise InvalidInputError(
            f"runtime {runtime} names a device, and {options.device} is another: give one of them"
        )
    if device:
        options = replace(options, device=device)
    opened: Runtime = point.load()(path, options)
    return opened


def list_runtimes() -> tuple[RuntimeStatus, ...]:
    """Every runtime that is known, whether it is available, and what to do if it is not."""
    rows = [_status(name, entry) for name, entry in _BUILT_IN.items()]
    for name, point in _third_party().items():
        origin = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
        rows.append(RuntimeStatus(name, True, origin, "", "", (name,)))
    return tuple(rows)


def _status(name: str, entry: _BuiltIn) -> RuntimeStatus:
    try:
        module = importlib.import_module(entry.target.partition(":")[0])
    except ImportError:
        return RuntimeStatus(name, False, "", entry.devices, _remedy(entry))
    versions = ", ".join(version for package in entry.packages if (version := _installed(package)))
    devices = (entry.devices,) if entry.devices else module.list_devices(name)
    if not devices:
        return RuntimeStatus(name, False, versions, "", _remedy(entry))
    choices = tuple(f"{name}:{device}" for device in devices) if entry.per_device else (name,)
    return RuntimeStatus(name, True, versions, ", ".join(devices), "", choices if entry.runs_networks else ())


def _remedy(entry: _BuiltIn) -> str:
    return entry.install or gpu_install_line(ort_packages(), jetson=TEGRA_RELEASE.exists())


def _installed(package: str) -> str:
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return ""
