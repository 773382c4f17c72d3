"""Energy where the system meters it: RAPL of Intel and AMD, NVML, and the INA sensors of small boards.

A meter is of a processor package, a GPU or a whole board, with idle power and other processes; its name tells
which.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic
from typing import Protocol

from edge_fairmot.benchmarks.machine import opened_gauge
from edge_fairmot.system import ROOT, read_sysfs

POWER_INTERVAL_S = 0.1
"""Between readings of a power sensor: a few in the time of one inference."""

LONGEST_SILENCE_S = 0.5
"""A sensor may refuse a reading, and the next one covers its time. After more, the energy is unknown."""

BOARD_RAILS = ("VDD_IN", "VIN_SYS_5V0", "POM_5V_IN", "VDD_TOTAL")
"""Rails that feed all others, by the names of known boards."""


class EnergyMeter(Protocol):
    """Counts energy."""

    name: str  # what is metered, and by what

    def energy_j(self) -> float | None:
        """Return joules so far, of which only differences have a meaning; None where they are unknown."""


class MeterSum:
    """Several meters as one; none of them is part of another."""

    def __init__(self, meters: Sequence[EnergyMeter]) -> None:
        self._meters = meters
        self.name = " + ".join(meter.name for meter in meters)

    def energy_j(self) -> float | None:
        """Return joules of all meters; None where one is unknown."""
        return _sum_of_all(meter.energy_j() for meter in self._meters)


class RaplPackage:
    """One processor package by the kernel's powercap counter, which wraps round.

    ``folder`` is as in ``/sys/class/powercap/intel-rapl:0``; AMD's packages have the same name.
    """

    def __init__(self, folder: Path) -> None:
        self.name = f"RAPL {(folder / 'name').read_text().strip()}"
        self._counter = folder / "energy_uj"
        self._range_uj = int((folder / "max_energy_range_uj").read_text())
        self._last_uj = int(self._counter.read_text())
        self._total_uj = 0

    def energy_j(self) -> float:
        """Return joules since it was opened. Read it once an hour, before the counter wraps twice."""
        now_uj = int(self._counter.read_text())
        self._total_uj += (now_uj - self._last_uj) % (self._range_uj + 1)
        self._last_uj = now_uj
        return self._total_uj / 1e6


class PowerIntegrator:
    """Energy of a power sensor, integrated by a thread; ``power_w`` returns None where it is unknown."""

    def __init__(self, name: str, power_w: Callable[[], float | None]) -> None:
        self.name = name
        self._power_w = power_w
        self._total_j = 0.0
        self._lock = threading.Lock()
        self._last_s, self._last_w = monotonic(), power_w()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._integrate, name="edge-fairmot power", daemon=True)
        self._thread.start()

    def energy_j(self) -> float | None:
        """Return joules since it was opened; None after a longer silence of the sensor."""
        self._advance()
        with self._lock:
            return self._total_j if monotonic() - self._last_s <= LONGEST_SILENCE_S else None

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join()

    def _integrate(self) -> None:
        while not self._stop.wait(POWER_INTERVAL_S):
            self._advance()

    def _advance(self) -> None:
        with self._lock:
            now_s, now_w = monotonic(), self._power_w()
            if now_w is None:  # the next reading covers this time
                return
            before_w = now_w if self._last_w is None else self._last_w
            self._total_j += (now_s - self._last_s) * (now_w + before_w) / 2
            self._last_s, self._last_w = now_s, now_w


@contextmanager
def opened_meter(root: Path = ROOT) -> Iterator[EnergyMeter | None]:
    """Open a meter of the whole board, or else of the processors and the GPU; ``root`` holds ``sys``.

    None where nothing is metered, or this process may not read it.
    """
    with ExitStack() as stack:
        sensor = _ina_power(root)
        if sensor is not None:
            integrator = PowerIntegrator("board, by INA", sensor)
            stack.callback(integrator.close)
            yield integrator
            return
        meters: list[EnergyMeter] = list(_rapl_packages(root))
        gauge = stack.enter_context(opened_gauge())
        if gauge is not None and gauge.energy_j() is not None:
            meters.append(gauge)
        yield MeterSum(meters) if meters else None


def _rapl_packages(root: Path) -> Iterator[RaplPackage]:
    for folder in sorted((root / "sys/class/powercap").glob("intel-rapl:*")):
        # core, uncore and dram are parts of a package; psys, where there is one, holds the package.
        if read_sysfs(folder / "name").startswith("package"):
            try:
                yield RaplPackage(folder)
            except OSError:  # since 2020 only root may read the counter
                return


def _ina_power(root: Path) -> Callable[[], float | None] | None:
    """Return watts of a board by its INA sensors, in the layout of the kernel's hwmon."""
    rails: dict[str, tuple[Path, Path]] = {}
    for folder in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        if not read_sysfs(folder / "name").startswith("ina"):
            continue
        for current in sorted(folder.glob("curr*_input")):
            channel = current.name.removeprefix("curr").removesuffix("_input")
            label = read_sysfs(folder / f"in{channel}_label").strip() or f"{folder.name}:{channel}"
            rail = (current, folder / f"in{channel}_input")
            # A rail that is switched off cannot be read.
            if not label.startswith("sum of") and _rail_power_w(*rail) is not None:
                rails[label] = rail
    whole = [rails[name] for name in BOARD_RAILS if name in rails][:1]
    chosen = whole or list(rails.values())
    if not chosen:
        return None
    return lambda: _sum_of_all(_rail_power_w(*rail) for rail in chosen)


def _rail_power_w(current: Path, voltage: Path) -> float | None:
    """Return watts from files of milliamperes and millivolts; None where one cannot be read."""
    try:
        return float(read_sysfs(current)) * float(read_sysfs(voltage)) / 1e6
    except ValueError:  # empty
        return None


def _sum_of_all(parts: Iterable[float | None]) -> float | None:
    """Sum of all parts; None where one is unknown, because the rest would look like the whole."""
    total = 0.0
    for part in parts:
        if part is None:
            return None
        total += part
    return total
