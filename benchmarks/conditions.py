"""Conditions of the machine during a run: temperature, frequency, throttling, load of other processes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from edge_fairmot.benchmarks.energy import EnergyMeter, opened_meter
from edge_fairmot.benchmarks.machine import opened_gauge
from edge_fairmot.errors import MissingDependencyError
from edge_fairmot.system import (
    ROOT,
    count_heat_events,
    count_quota_events,
    describe_throttle_bits,
    read_throttle_bits,
)

INTERVAL_S = 1.0

BUSY_SHARE = 0.1
"""With a greater share of the machine in other use, times depend on that use as much as on the file."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The machine at one moment; None where the system does not know a value."""

    at_s: float  # since the begin of the measuring
    temperature_c: float | None  # of the hottest sensor
    frequency_mhz: float | None  # mean over the cores
    throttled: bool | None  # since the last reading
    other_share: float | None  # processor time of other processes and guests since then, as a share of all


@dataclass(frozen=True, slots=True)
class Conditions:
    """The readings of a run."""

    readings: tuple[Reading, ...] = ()
    energy_source: str = ""  # what is metered; empty where nothing is

    @property
    def other_share(self) -> float | None:
        """Mean share of the machine in other use."""
        return _mean([reading.other_share for reading in self.readings])

    @property
    def throttled_share(self) -> float | None:
        """Share of the readings with throttling; None where the system does not know."""
        return _mean([reading.throttled for reading in self.readings])

    @property
    def hottest_c(self) -> float | None:
        """Highest temperature."""
        return max((r.temperature_c for r in self.readings if r.temperature_c is not None), default=None)

    @property
    def frequency_range_mhz(self) -> tuple[float, float] | None:
        """Lowest and highest frequency."""
        found = [r.frequency_mhz for r in self.readings if r.frequency_mhz is not None]
        return (min(found), max(found)) if found else None


def _mean(values: list[float | None] | list[bool | None]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return sum(known) / len(known) if known else None


class ThrottleGauge:
    """Throttling of the processor by heat, power or a container's quota; ``root`` is where ``sys`` is."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._before = self._count()

    def throttled(self) -> bool | None:
        """Whether the processor was throttled since the last call, or is now; None where it is not known."""
        before, self._before = self._before, self._count()
        now = read_throttle_bits()
        if self._before is None and now is None:
            return None
        return (self._before or 0) > (before or 0) or bool(describe_throttle_bits(now or 0))

    def _count(self) -> int | None:
        counts = (count_heat_events(self._root, "*"), count_quota_events(self._root))
        known = [count for count in counts if count is not None]
        return sum(known) if known else None


class ConditionsLog:
    """Reads the machine once a second in a thread, from entering the context to leaving it."""

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

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._readings.append(self._read())
        self._stack.close()

    def conditions(self) -> Conditions:
        """Return the readings so far."""
        return Conditions(tuple(self._readings), self.meter.name if self.meter is not None else "")

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL_S):
            self._readings.append(self._read())

    def _read(self) -> Reading:
        now_s = perf_counter()
        gpu_throttled = self._gpu.throttled() if self._gpu is not None else None
        known = [value for value in (self._throttle.throttled(), gpu_throttled) if value is not None]
        busy = self._busy_s()
        elapsed_s = (now_s - self._before_at_s) * (os.cpu_count() or 1)
        ours_s, all_s = (after - before for after, before in zip(busy, self._before, strict=True))
        self._before, self._before_at_s = busy, now_s
        return Reading(
            at_s=round(now_s - self.origin_s, 3),
            temperature_c=self._temperature_c(),
            frequency_mhz=self._frequency_mhz(),
            throttled=any(known) if known else None,
            other_share=round(min(max((all_s - ours_s) / elapsed_s, 0.0), 1.0), 3) if elapsed_s > 0 else None,
        )

    def _busy_s(self) -> tuple[float, float]:
        """Return the processor seconds so far: of this process with its children, and of all."""
        times = self._psutil.cpu_times()
        all_s = sum(
            getattr(times, name, 0.0) for name in ("user", "system", "nice", "irq", "softirq", "steal")
        )
        ours_s = 0.0
        here = self._psutil.Process()
        for process in (here, *here.children(recursive=True)):
            try:
                spent = process.cpu_times()
            except self._psutil.Error:  # it ended this moment
                continue
            ours_s += spent.user + spent.system
        ended = here.cpu_times()
        return ours_s + ended.children_user + ended.children_system, all_s

    def _temperature_c(self) -> float | None:
        read: Callable[[], dict[str, Any]] = getattr(self._psutil, "sensors_temperatures", dict)
        found = [entry.current for entries in read().values() for entry in entries if entry.current]
        gpu_c = self._gpu.temperature_c() if self._gpu is not None else None
        return max([*found, *([] if gpu_c is None else [gpu_c])], default=None)

    def _frequency_mhz(self) -> float | None:
        try:
            frequency = self._psutil.cpu_freq()
        except (OSError, NotImplementedError, RuntimeError):  # virtual machines and containers
            return None
        return round(frequency.current, 1) if frequency is not None else None
