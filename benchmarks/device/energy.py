"""Energy, where the system meters it: Intel's and AMD's RAPL, NVML, and the INA sensors of small boards.

What is metered is a package, a GPU or a whole board, idle power and neighbours included; the name says which.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic
from typing import Protocol

from edge_fairmot.benchmarks.device.nvidia import opened_gauge
from edge_fairmot.benchmarks.device.tegrastats import opened_tegrastats

POWER_INTERVAL_S = 0.1
"""Between readings of a sensor that tells watts: a few in the time of one inference."""

LONGEST_SILENCE_S = 0.5
"""A sensor may refuse a reading, and the next makes up for it; after longer its energy is not known."""

BOARD_RAILS = ("VDD_IN", "VIN_SYS_5V0", "POM_5V_IN", "VDD_TOTAL")
"""Rails that feed all others, by the names that boards give them."""


class EnergyMeter(Protocol):
    """Counts energy from some moment on."""

    @property
    def name(self) -> str:
        """What is metered, and by what."""

    def energy_j(self) -> float | None:
        """Joules up to now; only differences mean something. None where it is not told now."""


class MeterSum:
    """Several meters as one: of what they meter, none is part of another."""

    def __init__(self, meters: Sequence[EnergyMeter]) -> None:
        self._meters = meters
        self.name = " + ".join(meter.name for meter in meters)

    def energy_j(self) -> float | None:
        """Joules up to now, of all; None where one does not tell."""
        return _sum_of_all(meter.energy_j() for meter in self._meters)


class RaplPackage:
    """One processor package, by the kernel's powercap counters, which wrap round.

    Parameters
    ----------
    folder : Path
        As ``/sys/class/powercap/intel-rapl:0``; AMD's packages have the same name.
    """

    def __init__(self, folder: Path) -> None:
        self.name = f"RAPL {(folder / 'name').read_text().strip()}"
        self._counter = folder / "energy_uj"
        self._range_uj = int((folder / "max_energy_range_uj").read_text())
        self._last_uj = int(self._counter.read_text())
        self._total_uj = 0

    def energy_j(self) -> float:
        """Joules since it was opened; to be asked at least once an hour, before the counter wraps twice."""
        now_uj = int(self._counter.read_text())
        self._total_uj += (now_uj - self._last_uj) % (self._range_uj + 1)
        self._last_uj = now_uj
        return self._total_uj / 1e6


class PowerIntegrator:
    """A sensor that tells watts, summed up by a thread.

    Parameters
    ----------
    name : str
    power_w : callable
        Gives watts, or None where the sensor does not tell them now.
    """

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
        """Joules since it was opened; None where the sensor has been silent for too long."""
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
            if now_w is None:  # the next reading stands for this time, too
                return
            before_w = now_w if self._last_w is None else self._last_w
            self._total_j += (now_s - self._last_s) * (now_w + before_w) / 2
            self._last_s, self._last_w = now_s, now_w


@contextmanager
def opened_meter(root: Path = Path("/")) -> Iterator[EnergyMeter | None]:
    """Open what this machine has: a meter of the whole board, or else of its processors and GPU.

    Parameters
    ----------
    root : Path
        Where ``sys`` is.

    Yields
    ------
    EnergyMeter or None
        None where nothing is metered, or reading it needs rights that are not ours.
    """
    with ExitStack() as stack:
        tegrastats = stack.enter_context(opened_tegrastats())
        sensor: Callable[[], float | None] | None = (
            (lambda: tegrastats.power_w) if tegrastats is not None else _ina_power(root)
        )
        if sensor is not None:
            kind = "tegrastats" if tegrastats is not None else "INA"
            integrator = PowerIntegrator(f"board, by {kind}", sensor)
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
        if (folder / "name").read_text().startswith("package"):
            try:
                yield RaplPackage(folder)
            except OSError:  # since 2020 the counter is for root alone
                return


def _ina_power(root: Path) -> Callable[[], float | None] | None:
    """Watts of a board by its INA sensors, in the layout of the kernel's hwmon."""
    rails: dict[str, tuple[Path, Path]] = {}
    for folder in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        if not _text(folder / "name").startswith("ina"):
            continue
        for current in sorted(folder.glob("curr*_input")):
            channel = current.name.removeprefix("curr").removesuffix("_input")
            label = _text(folder / f"in{channel}_label") or f"{folder.name}:{channel}"
            rail = (current, folder / f"in{channel}_input")
            # One that is switched off refuses to be read.
            if not label.startswith("sum of") and _rail_power_w(*rail) is not None:
                rails[label] = rail
    whole = [rails[name] for name in BOARD_RAILS if name in rails][:1]
    chosen = whole or list(rails.values())
    if not chosen:
        return None
    return lambda: _sum_of_all(_rail_power_w(*rail) for rail in chosen)


def _rail_power_w(current: Path, voltage: Path) -> float | None:
    """Watts of files that tell milliamperes and millivolts; None where one refuses to be read."""
    try:
        return float(_text(current)) * float(_text(voltage)) / 1e6
    except ValueError:  # empty
        return None


def _sum_of_all(parts: Iterable[float | None]) -> float | None:
    """Sum up, unless a part is not known: less than the whole would pass for it."""
    total = 0.0
    for part in parts:
        if part is None:
            return None
        total += part
    return total


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
