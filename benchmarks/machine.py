"""The machine of a measurement: board or processor, system, versions, and NVIDIA GPUs by NVML."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import edge_fairmot
from edge_fairmot.system import ROOT, read_sysfs

PACKAGES = frozenset(
    {"numpy", "opencv-python-headless", "opencv-python", "lap", "onnxruntime", "onnxruntime-gpu", "openvino"}
)
"""Packages whose versions affect the speed."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY")

SLOWDOWN_REASONS = 0x8 | 0x20 | 0x40 | 0x80
"""Bits of NVML's clock event reasons: hardware slowdown, software thermal, hardware thermal, power brake."""

REASON_QUERIES = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")
"""The second is the first's name in older drivers."""


@dataclass(frozen=True, slots=True)
class Machine:
    """The device, as far as the system describes it."""

    name: str  # board or processor
    architecture: str  # as in x86_64 or aarch64
    cores: int  # logical ones that this process may use
    memory_mb: int
    system: str
    kernel: str
    governor: str  # of the first core's frequency; empty where it is not known
    virtual: bool  # a hypervisor shares the machine, and no temperature is known
    accelerators: tuple[str, ...]  # NVIDIA GPUs with their driver
    python: str
    packages: Mapping[str, str]  # versions
    environment: Mapping[str, str]  # variables that set numbers of threads

    def __str__(self) -> str:
        kind = ", virtual" if self.virtual else ""
        return f"{self.name}, {self.cores} cores ({self.architecture}{kind}), {self.memory_mb / 1024:.0f} GB"


def describe_machine(root: Path = ROOT) -> Machine:
    """Return this machine, from ``proc``, ``sys`` and ``etc`` under ``root``."""
    cpu = read_sysfs(root / "proc/cpuinfo")
    board = read_sysfs(root / "proc/device-tree/model").strip("\0\n")  # a PC has no device tree
    installed = {found.name.lower(): found.version for found in importlib.metadata.distributions()}
    affinity = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    return Machine(
        name=board or _field(cpu, "model name") or platform.processor() or platform.machine(),
        architecture=platform.machine(),
        cores=len(affinity),
        memory_mb=int((_field(read_sysfs(root / "proc/meminfo"), "MemTotal") or "0").split()[0]) // 1024,
        system=_field(read_sysfs(root / "etc/os-release"), "PRETTY_NAME", "=").strip('"')
        or platform.system(),
        kernel=platform.release(),
        governor=read_sysfs(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").strip(),
        virtual=re.search(r"^flags.*\bhypervisor\b", cpu, re.MULTILINE) is not None,
        accelerators=describe_gpus(),
        python=platform.python_version(),
        packages={
            "edge-fairmot": edge_fairmot.__version__,
            **{name: installed[name] for name in sorted(PACKAGES & installed.keys())},
        },
        environment={name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ},
    )


def _field(text: str, name: str, separator: str = ":") -> str:
    found = re.search(rf"^{re.escape(name)}\s*{separator}\s*(.*)$", text, re.MULTILINE)
    return found[1].strip() if found else ""


class GpuGauge:
    """Temperature, throttling and energy of a GPU by NVML; each is None where NVML does not know it.

    Any query may fail: a Jetson's NVML supports few, older GPUs do not meter energy, and older
    drivers lack functions of the package.
    """

    name = "NVML"

    def __init__(self, nvml: Any, gpu: Any) -> None:
        self._nvml, self._gpu = nvml, gpu

    def temperature_c(self) -> float | None:
        """Return the temperature of the chip."""
        sensor = self._nvml.NVML_TEMPERATURE_GPU
        celsius = _query(self._nvml, "nvmlDeviceGetTemperature", self._gpu, sensor)
        return None if celsius is None else float(celsius)

    def throttled(self) -> bool | None:
        """Whether heat or power limits its clock now."""
        for query in REASON_QUERIES:
            reasons = _query(self._nvml, query, self._gpu)
            if reasons is not None:
                return bool(reasons & SLOWDOWN_REASONS)
        return None

    def energy_j(self) -> float | None:
        """Return the energy since the driver was loaded; GPUs from Volta on meter it."""
        energy_mj = _query(self._nvml, "nvmlDeviceGetTotalEnergyConsumption", self._gpu)
        return None if energy_mj is None else float(energy_mj) / 1e3


def describe_gpus() -> tuple[str, ...]:
    """Return the names of the NVIDIA GPUs and their driver."""
    with _opened_nvml() as nvml:
        if nvml is None:
            return ()
        driver = _query(nvml, "nvmlSystemGetDriverVersion")
        suffix = "" if driver is None else f", driver {_decode(driver)}"
        names = (_query(nvml, "nvmlDeviceGetName", gpu) for gpu in _gpus(nvml))
        return tuple(_decode(name or "NVIDIA GPU") + suffix for name in names)


@contextmanager
def opened_gauge() -> Iterator[GpuGauge | None]:
    """Return the gauge of the first GPU; None where there is none."""
    with _opened_nvml() as nvml:
        gpu = None if nvml is None else next(_gpus(nvml), None)
        yield None if gpu is None else GpuGauge(nvml, gpu)


@contextmanager
def _opened_nvml() -> Iterator[Any]:
    try:
        import pynvml  # noqa: PLC0415
    except ImportError:
        yield None
        return
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:  # no driver or no library: no GPU
        yield None
        return
    try:
        yield pynvml
    finally:
        with suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def _gpus(nvml: Any) -> Iterator[Any]:
    """Return handles of the GPUs that can be reached."""
    for index in range(_query(nvml, "nvmlDeviceGetCount") or 0):
        gpu = _query(nvml, "nvmlDeviceGetHandleByIndex", index)
        if gpu is not None:
            yield gpu


def _query(nvml: Any, name: str, *arguments: Any) -> Any:
    """Return the answer of a query; None where this GPU, its driver or the package does not know it."""
    try:
        return getattr(nvml, name)(*arguments)
    except (nvml.NVMLError, AttributeError):
        return None


def _decode(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
