"""What machine the figures are of."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import edge_fairmot
from edge_fairmot.benchmarks.device import nvidia

PACKAGES = frozenset(
    {"numpy", "opencv-python-headless", "opencv-python", "lap", "onnxruntime", "onnxruntime-gpu", "openvino"}
)
"""Whose versions decide how fast a file runs."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY")


@dataclass(frozen=True, slots=True)
class Machine:
    """The device, as far as it tells.

    Attributes
    ----------
    name : str
        Board or processor.
    architecture : str
        As in ``x86_64`` or ``aarch64``.
    cores : int
        Logical ones that this process may use.
    memory_mb : int
    system, kernel : str
    governor : str
        Of the first core's frequency; empty where it is not told.
    virtual : bool
        Whether a hypervisor is underneath: then neighbours are too, and no temperature is told.
    accelerators : tuple of str
        NVIDIA GPUs with their driver.
    python : str
    packages : dict of str to str
        Versions.
    environment : dict of str to str
        Variables that set numbers of threads.
    """

    name: str
    architecture: str
    cores: int
    memory_mb: int
    system: str
    kernel: str
    governor: str
    virtual: bool
    accelerators: tuple[str, ...]
    python: str
    packages: Mapping[str, str]
    environment: Mapping[str, str]

    def __str__(self) -> str:
        kind = ", virtual" if self.virtual else ""
        return f"{self.name}, {self.cores} cores ({self.architecture}{kind}), {self.memory_mb / 1024:.0f} GB"


def describe_machine(root: Path = Path("/")) -> Machine:
    """Read what this machine is.

    Parameters
    ----------
    root : Path
        Where ``proc``, ``sys`` and ``etc`` are.
    """
    cpu = _read(root / "proc/cpuinfo")
    return Machine(
        name=_board(root) or _field(cpu, "model name") or platform.processor() or platform.machine(),
        architecture=platform.machine(),
        cores=_usable_cores(),
        memory_mb=int((_field(_read(root / "proc/meminfo"), "MemTotal") or "0").split()[0]) // 1024,
        system=_field(_read(root / "etc/os-release"), "PRETTY_NAME", "=").strip('"') or platform.system(),
        kernel=platform.release(),
        governor=_read(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").strip(),
        virtual=re.search(r"^flags.*\bhypervisor\b", cpu, re.MULTILINE) is not None,
        accelerators=nvidia.describe_gpus(),
        python=platform.python_version(),
        packages={"edge-fairmot": edge_fairmot.__version__} | _versions(),
        environment={name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ},
    )


def _board(root: Path) -> str:
    """Name of a single-board computer; a PC has no device tree."""
    return _read(root / "proc/device-tree/model").strip("\0\n")


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _versions() -> dict[str, str]:
    installed = {found.name.lower(): found.version for found in importlib.metadata.distributions()}
    return {name: installed[name] for name in sorted(PACKAGES & installed.keys())}


def _field(text: str, name: str, separator: str = ":") -> str:
    found = re.search(rf"^{re.escape(name)}\s*{separator}\s*(.*)$", text, re.MULTILINE)
    return found[1].strip() if found else ""


def _read(path: Path) -> str:
    """Text of a file of the system, empty where there is none."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
