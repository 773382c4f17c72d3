"""How the machine fared while figures were taken: heat, frequency, throttling, and who else was at work."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from time import perf_counter
from types import TracebackType
from typing import Any

from edge_fairmot.benchmarks.device.energy import EnergyMeter, opened_meter
from edge_fairmot.benchmarks.device.nvidia import opened_gauge
from edge_fairmot.benchmarks.device.throttling import ThrottleGauge
from edge_fairmot.errors import MissingDependencyError

INTERVAL_S = 1.0

BUSY_SHARE = 0.1
"""With more of the machine at other work than this, times say as much about that as about the file."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The machine at one moment.

    Attributes
    ----------
    at_s : float
        Since the measuring began.
    temperature_c : float or None
        Of the hottest sensor; None where none is told.
    frequency_mhz : float or None
        Mean over the cores.
    throttled : bool or None
        Since the reading before.
    other_share : float or None
        Share of the machine's processor time, since the reading before, that others used: processes that are
        not ours, and a hypervisor's other guests.
    """

    at_s: float
    temperature_c: float | None
    frequency_mhz: float | None
    throttled: bool | None
    other_share: float | None


@dataclass(frozen=True, slots=True)
class Conditions:
    """The readings of a run.

    Attributes
    ----------
    readings : tuple of Reading
    energy_source : str
        What is metered; empty where nothing is.
    """

    readings: tuple[Reading, ...] = ()
    energy_source: str = ""

    @property
    def other_share(self) -> float | None:
        """Mean share of the machine that others used."""
        shares = [reading.other_share for reading in self.readings if reading.other_share is not None]
        return sum(shares) / len(shares) if shares else None

    @property
    def throttled_share(self) -> float | None:
        """Share of the readings that tell of throttling; None where the system does not tell."""
        told = [reading.throttled for reading in self.readings if reading.throttled is not None]
        return sum(told) / len(told) if told else None

    @property
    def hottest_c(self) -> float | None:
        """Highest temperature."""
        return max((r.temperature_c for r in self.readings if r.temperature_c is not None), default=None)

    @property
    def frequency_range_mhz(self) -> tuple[float, float] | None:
        """Lowest and highest frequency."""
        found = [r.frequency_mhz for r in self.readings if r.frequency_mhz is not None]
        return (min(found), max(found)) if found else None


class ConditionsLog:
    """Reads the machine once a second in a thread, from entering to leaving it.

    Raises
    ------
    MissingDependencyError
        If psutil is not installed.
    """

    def __init__(self) -> None:
        try:
            import psutil  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise MissingDependencyError("psutil", "bench", "to read memory and temperature") from error
        self._psutil: Any = psutil
        self._stack = ExitStack()
        self._stop = threading.Event()
        self._readings: list[Reading] = []
        self._thread = threading.Thread(target=self._run, name="edge-fairmot conditions", daemon=True)
        self.meter: EnergyMeter | None = None

    def __enter__(self) -> ConditionsLog:
        self.origin_s = perf_counter()
        self.meter = self._stack.enter_context(opened_meter())
        self._gpu = self._stack.enter_context(opened_gauge())
        self._throttle = ThrottleGauge()
        self._before = self._busy_s()
        self._before_at_s = self.origin_s
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._readings.append(self._read())
        self._stack.close()

    def conditions(self) -> Conditions:
        """Give what was read up to now."""
        return Conditions(tuple(self._readings), self.meter.name if self.meter is not None else "")

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL_S):
            self._readings.append(self._read())

    def _read(self) -> Reading:
        now_s = perf_counter()
        gpu_throttled = self._gpu.throttled() if self._gpu is not None else None
        told = [held for held in (self._throttle.throttled(), gpu_throttled) if held is not None]
        busy = self._busy_s()
        elapsed_s = (now_s - self._before_at_s) * (os.cpu_count() or 1)
        ours_s, all_s = (after - before for after, before in zip(busy, self._before, strict=True))
        self._before, self._before_at_s = busy, now_s
        return Reading(
            at_s=round(now_s - self.origin_s, 3),
            temperature_c=self._temperature_c(),
            frequency_mhz=self._frequency_mhz(),
            throttled=any(told) if told else None,
            other_share=round(min(max((all_s - ours_s) / elapsed_s, 0.0), 1.0), 3) if elapsed_s > 0 else None,
        )

    def _busy_s(self) -> tuple[float, float]:
        """Processor seconds up to now: ours with our children's, and everybody's."""
        times = self._psutil.cpu_times()
        everybody = sum(
            getattr(times, name, 0.0) for name in ("user", "system", "nice", "irq", "softirq", "steal")
        )
        ours = 0.0
        here = self._psutil.Process()
        for process in (here, *here.children(recursive=True)):
            try:
                spent = process.cpu_times()
            except self._psutil.Error:  # it ended this moment
                continue
            ours += spent.user + spent.system
        waited = here.cpu_times()
        return ours + waited.children_user + waited.children_system, everybody

    def _temperature_c(self) -> float | None:
        read: Callable[[], dict[str, Any]] = getattr(self._psutil, "sensors_temperatures", dict)
        sensors = read()
        found = [entry.current for entries in sensors.values() for entry in entries if entry.current]
        gpu_c = self._gpu.temperature_c() if self._gpu is not None else None
        if gpu_c is not None:
            found.append(gpu_c)
        return max(found, default=None)

    def _frequency_mhz(self) -> float | None:
        try:
            frequency = self._psutil.cpu_freq()
        except (OSError, NotImplementedError, RuntimeError):  # of virtual machines and containers
            return None
        return round(frequency.current, 1) if frequency is not None else None
