"""NVIDIA GPUs, through NVML where its Python package and a driver are there.

No query is sure of an answer: a Jetson's NVML supports few, older GPUs do not meter energy, and older drivers
lack functions that the package asks for. What is not told is None, and the measuring goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

SLOWDOWN_REASONS = 0x8 | 0x20 | 0x40 | 0x80
"""Bits of NVML's clock event reasons: hardware slowdown, software thermal, hardware thermal, power brake."""

REASON_QUERIES = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")
"""The second is the first's name in older drivers."""


class GpuGauge:
    """Temperature, throttling and energy of the first GPU; each None where it is not told.

    Parameters
    ----------
    nvml : module
        ``pynvml``, initialised.
    gpu : handle
        As NVML gives it.
    """

    name = "NVML"

    def __init__(self, nvml: Any, gpu: Any) -> None:
        self._nvml, self._gpu = nvml, gpu

    def temperature_c(self) -> float | None:
        """Temperature of the chip."""
        sensor = self._nvml.NVML_TEMPERATURE_GPU
        celsius = _ask(self._nvml, "nvmlDeviceGetTemperature", self._gpu, sensor)
        return None if celsius is None else float(celsius)

    def throttled(self) -> bool | None:
        """Whether its clock is held back now by heat or power."""
        for query in REASON_QUERIES:
            reasons = _ask(self._nvml, query, self._gpu)
            if reasons is not None:
                return bool(reasons & SLOWDOWN_REASONS)
        return None

    def energy_j(self) -> float | None:
        """Energy since the driver was loaded; GPUs from Volta on tell it."""
        energy_mj = _ask(self._nvml, "nvmlDeviceGetTotalEnergyConsumption", self._gpu)
        return None if energy_mj is None else float(energy_mj) / 1e3


def describe_gpus() -> tuple[str, ...]:
    """Name the GPUs and their driver; none where there is no driver."""
    with _opened_nvml() as nvml:
        if nvml is None:
            return ()
        driver = _ask(nvml, "nvmlSystemGetDriverVersion")
        suffix = "" if driver is None else f", driver {_text(driver)}"
        names = (_ask(nvml, "nvmlDeviceGetName", gpu) for gpu in _gpus(nvml))
        return tuple(_text(name or "NVIDIA GPU") + suffix for name in names)


@contextmanager
def opened_gauge() -> Iterator[GpuGauge | None]:
    """Open a gauge for the first GPU; None where there is none."""
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
    except pynvml.NVMLError:  # no driver, no library: no GPU
        yield None
        return
    try:
        yield pynvml
    finally:
        with suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def _gpus(nvml: Any) -> Iterator[Any]:
    """Give the handles of the GPUs that can be reached."""
    for index in range(_ask(nvml, "nvmlDeviceGetCount") or 0):
        gpu = _ask(nvml, "nvmlDeviceGetHandleByIndex", index)
        if gpu is not None:
            yield gpu


def _ask(nvml: Any, query: str, *arguments: Any) -> Any:
    """Answer of a query; None where this GPU, its driver or the package does not know it."""
    try:
        return getattr(nvml, query)(*arguments)
    except (nvml.NVMLError, AttributeError):
        return None


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
