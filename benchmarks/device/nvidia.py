"""NVIDIA GPUs, through NVML where its Python package and a driver are there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SLOWDOWN_REASONS = 0x8 | 0x20 | 0x40 | 0x80
"""Bits of NVML's clock event reasons: hardware slowdown, software thermal, hardware thermal, power brake."""


class GpuGauge:
    """Temperature, throttling and energy of the first GPU.

    Parameters
    ----------
    nvml : module
        ``pynvml``, initialised.
    """

    name = "NVML"

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        self._gpu = nvml.nvmlDeviceGetHandleByIndex(0)

    def temperature_c(self) -> float:
        """Temperature of the chip."""
        return float(self._nvml.nvmlDeviceGetTemperature(self._gpu, self._nvml.NVML_TEMPERATURE_GPU))

    def throttled(self) -> bool:
        """Whether its clock is held back now by heat or power."""
        reasons = self._nvml.nvmlDeviceGetCurrentClocksEventReasons(self._gpu)
        return bool(reasons & SLOWDOWN_REASONS)

    def energy_j(self) -> float:
        """Energy since the driver was loaded; GPUs from Volta on tell it."""
        return float(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._gpu)) / 1e3


def describe_gpus() -> tuple[str, ...]:
    """Name the GPUs and their driver; none where there is no driver."""
    with _opened_nvml() as nvml:
        if nvml is None:
            return ()
        driver = _text(nvml.nvmlSystemGetDriverVersion())
        handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
        return tuple(f"{_text(nvml.nvmlDeviceGetName(handle))}, driver {driver}" for handle in handles)


@contextmanager
def opened_gauge() -> Iterator[GpuGauge | None]:
    """Open a gauge for the first GPU; None where there is none."""
    with _opened_nvml() as nvml:
        yield None if nvml is None or not nvml.nvmlDeviceGetCount() else GpuGauge(nvml)


@contextmanager
def _opened_nvml() -> Iterator[Any]:
    try:
        import pynvml  # noqa: PLC0415 - of use on few machines
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
        pynvml.nvmlShutdown()


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
