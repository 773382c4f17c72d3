"""Energy, where the system meters it: Intel's and AMD's RAPL, NVML, and the INA sensors of small boards.

What is metered is a package, a GPU or a whole board, idle power and neighbours included; the name says which.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic
from typing import Protocol

from edge_fairmot.benchmarks.device.nvidia import opened_gauge
from edge_fairmot.benchmarks.device.tegrastats import opened_tegrastats

POWER_INTERVAL_S = 0.1
"""Between readings of a sensor that tells watts: a few in the time of one inference."""

BOARD_RAILS = ("VDD_IN", "VIN_SYS_5V0", "POM_5V_IN", "VDD_TOTAL")
"""Rails that feed all others, by the names that boards give them."""


class EnergyMeter(Protocol):
    """Counts energy from some moment on."""

    @property
    def name(self) -> str:
        """What is metered, and by what."""

    def energy_j(self) -> float:
        """Joules up to now; only differences mean something."""


class MeterSum:
    """Several meters as one: of what they meter, none is part of another."""

    def __init__(self, meters: Sequence[EnergyMeter]) -> None:
        self._meters = meters
        self.name = " + ".join(meter.name for meter in meters)

    def energy_j(self) -> float:
        """Joules up to now, of all."""
        return sum(meter.energy_j() for meter in self._meters)


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
    """

    def __init__(self, name: str, power_w: Callable[[], float]) -> None:
        self.name = name
        self._power_w = power_w
        self._total_j = 0.0
        self._lock = threading.Lock()
        self._last_s, self._last_w = monotonic(), power_w()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._integrate, name="edge-fairmot power", daemon=True)
        self._thread.start()

    def energy_j(self) -> float:
        """Joules since it was opened."""
        self._advance()
        return self._total_j

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
            self._total_j += (now_s - self._last_s) * (now_w + self._last_w) / 2
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
        sensor = (lambda: tegrastats.power_w) if tegrastats is not None else _ina_power(root)
        if sensor is not None:
            kind = "tegrastats" if tegrastats is not None else "INA"
            integrator = PowerIntegrator(f"board, by {kind}", sensor)
            stack.callback(integrator.close)
            yield integrator
            return
        meters: list[EnergyMeter] = list(_rapl_packages(root))
        gauge = stack.enter_context(opened_gauge())
        if gauge is not None:
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


def _ina_power(root: Path) -> Callable[[], float] | None:
    """Watts of a board by its INA sensors, in the layout of the kernel's hwmon."""
    rails: dict[str, tuple[Path, Path]] = {}
    for folder in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        if not _text(folder / "name").startswith("ina"):
            continue
        for current in sorted(folder.glob("curr*_input")):
            channel = current.name.removeprefix("curr").removesuffix("_input")
            label = _text(folder / f"in{channel}_label") or f"{folder.name}:{channel}"
            if (folder / f"in{channel}_input").exists() and not label.startswith("sum of"):
                rails[label] = (current, folder / f"in{channel}_input")
    whole = [rails[name] for name in BOARD_RAILS if name in rails][:1]
    chosen = whole or list(rails.values())
    if not chosen:
        return None
    # Milliamperes and millivolts.
    return lambda: sum(float(_text(current)) * float(_text(volts)) for current, volts in chosen) / 1e6


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
