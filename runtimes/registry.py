"""The list of runtimes, and how to open one.

The registry holds the names of classes: a runtime's package is imported when the runtime is opened or listed.
Other packages add runtimes through the entry-point group ``edge_fairmot.runtimes``, with values of the same
form, ``module:Class``. A class is called with the path of the file and a
:class:`~edge_fairmot.runtimes.checks.RuntimeOptions`.
"""

from __future__ import annotations

import importlib
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from edge_fairmot.errors import InvalidInputError, RuntimeUnavailableError
from edge_fairmot.manifest import ModelManifest
from edge_fairmot.model_file import read_onnx_file, require_intact
from edge_fairmot.protocols import Runtime
from edge_fairmot.runtimes.checks import RuntimeOptions, int8_sums_overflow

ENTRY_POINT_GROUP = "edge_fairmot.runtimes"

TEGRA_RELEASE = Path("/etc/nv_tegra_release")
"""A file that only a Jetson has."""


@dataclass(frozen=True, slots=True)
class _BuiltIn:
    target: str  # "module:Class"; the module has list_devices(name)
    packages: tuple[str, ...]  # each of them provides the runtime
    install: str = ""  # empty for the runtimes of onnxruntime-gpu, see gpu_install_command


_BUILT_IN: Mapping[str, _BuiltIn] = MappingProxyType(
    {
        "cpu": _BuiltIn(
            "edge_fairmot.runtimes.ort:CpuRuntime",
            ("onnxruntime", "onnxruntime-gpu"),
            "pip install 'edge-fairmot[cpu]'",
        ),
        "openvino": _BuiltIn(
            "edge_fairmot.runtimes.openvino:OpenVinoRuntime",
            ("openvino",),
            "pip install 'edge-fairmot[openvino]'",
        ),
        "cuda": _BuiltIn("edge_fairmot.runtimes.ort:CudaRuntime", ("onnxruntime-gpu",)),
        "tensorrt": _BuiltIn("edge_fairmot.runtimes.ort:TensorRtRuntime", ("onnxruntime-gpu",)),
        "opencv": _BuiltIn(
            "edge_fairmot.runtimes.opencv:OpenCvRuntime",
            ("opencv-python-headless", "opencv-python"),
            "pip install -U 'opencv-python-headless>=5'",
        ),
        "ncnn": _BuiltIn(
            "edge_fairmot.runtimes.ncnn:NcnnRuntime", ("ncnn",), "pip install 'edge-fairmot[ncnn]'"
        ),
        "mnn": _BuiltIn("edge_fairmot.runtimes.mnn:MnnRuntime", ("MNN",), "pip install 'edge-fairmot[mnn]'"),
    }
)


@dataclass(frozen=True, slots=True)
class RuntimeStatus:
    """One runtime of :func:`list_runtimes`.

    Attributes
    ----------
    name : str
    available : bool
    version : str
        Package and version that provide it; empty if none is installed.
    devices : str
        Its devices on this machine, separated by commas; empty if they are not known.
    fix : str
        The command that makes it available; empty if it is.
    """

    name: str
    available: bool
    version: str
    devices: str
    fix: str


AUTO = "auto"

X86 = ("x86_64", "AMD64")
"""Names of x86 processors with 64 bits, in Linux and Windows."""

CHOSEN_BY = "EDGE_FAIRMOT_RUNTIME"
"""Environment variable that says what ``auto`` is."""


def usual_runtime(manifest: ModelManifest) -> str:
    """Return the runtime that ``auto`` stands for: :data:`CHOSEN_BY`, or the faster one of a processor.

    On x86-64 that is OpenVINO where it is installed: it took 0.3 to 1.0 of the time of ONNX Runtime for every
    file measured (docs/guides/benchmark.md). Elsewhere nothing was measured, and it is ``cpu``; so it is for
    int8 on processors where OpenVINO's sums can overflow.
    """
    named = os.environ.get(CHOSEN_BY)
    if named:
        return named
    if platform.machine() not in X86 or find_spec("openvino") is None:
        return "cpu"
    return "cpu" if manifest.default_precision == "int8" and int8_sums_overflow() else "openvino"


def open_runtime(
    path: str | Path,
    runtime: str = AUTO,
    options: RuntimeOptions | None = None,
    *,
    integrity_check: bool = True,
) -> Runtime:
    """Open an exported file with a runtime.

    Parameters
    ----------
    path : str or Path
        A file made by ``edge-fairmot convert``.
    runtime : str
        A name from :func:`list_runtimes`, or a name and a device, as in ``openvino:GPU``. This runtime runs
        the file; no other takes its place. ``auto`` is :func:`usual_runtime`; ``name`` of what is returned
        says which.
    options : RuntimeOptions, optional
    integrity_check : bool
        Compare the file with the hash in its certificate first (20 MB: 0.01 s). A file without a certificate
        is run as it is.

    Returns
    -------
    Runtime

    Raises
    ------
    RuntimeUnavailableError
        If there is no such runtime or device.
    MissingDependencyError
        If its package is not installed.
    InvalidInputError
        If the runtime does not support an option.
    InferenceError, ManifestError
        If the file cannot be run, or no longer fits its certificate.
    """
    points = _third_party()
    if runtime == AUTO:
        runtime = usual_runtime(read_onnx_file(path).manifest)
    name, _, device = runtime.partition(":")
    if name in _BUILT_IN:
        point = metadata.EntryPoint(name, _BUILT_IN[name].target, ENTRY_POINT_GROUP)
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
    open_file = point.load()
    if integrity_check:
        require_intact(path)
    opened: Runtime = open_file(path, options)
    return opened


def list_runtimes() -> tuple[RuntimeStatus, ...]:
    """List every known runtime.

    Returns
    -------
    tuple of RuntimeStatus
        The built-in runtimes, then those of other packages.
    """
    rows = [_status(name, entry) for name, entry in _BUILT_IN.items()]
    for name, point in _third_party().items():
        origin = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
        rows.append(RuntimeStatus(name, True, origin, "", ""))
    return tuple(rows)


def package_conflict() -> str:
    """Name the installed packages that overwrite each other's ONNX Runtime; empty if there is no conflict."""
    packages = _ort_packages()
    if len(packages) < 2:
        return ""
    return (
        f"{' and '.join(packages)} overwrite each other's files, "
        "and only the providers of the one installed last are left"
    )


def gpu_install_command() -> str:
    """Return the command that replaces the installed ONNX Runtime by one with the providers for GPUs."""
    packages = _ort_packages()
    removal = f"pip uninstall -y {' '.join(packages)} && " if packages else ""
    if TEGRA_RELEASE.exists():
        return f"{removal}pip install the onnxruntime-gpu wheel made for your JetPack (docs/start/jetson.md)"
    return f"{removal}pip install onnxruntime-gpu"


def _status(name: str, entry: _BuiltIn) -> RuntimeStatus:
    fix = entry.install or gpu_install_command()
    try:
        module = importlib.import_module(entry.target.partition(":")[0])
    except ImportError:
        return RuntimeStatus(name, False, "", "", fix)
    version = ", ".join(
        f"{package} {metadata.version(package)}" for package in entry.packages if _is_installed(package)
    )
    devices = ", ".join(module.list_devices(name))
    return RuntimeStatus(name, bool(devices), version, devices, "" if devices else fix)


def _third_party() -> dict[str, metadata.EntryPoint]:
    return {point.name: point for point in metadata.entry_points(group=ENTRY_POINT_GROUP)}


def _ort_packages() -> tuple[str, ...]:
    """List the installed packages that provide the module ``onnxruntime``."""
    return tuple(sorted(set(metadata.packages_distributions().get("onnxruntime", ()))))


def _is_installed(package: str) -> bool:
    try:
        return bool(metadata.version(package))
    except metadata.PackageNotFoundError:
        return False
