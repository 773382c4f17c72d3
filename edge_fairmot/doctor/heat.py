"""How warm the device is, and whether it is held back."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from edge_fairmot.doctor.finding import Finding
from edge_fairmot.doctor.system import read_text

HOT_C = 80.0
"""A Raspberry Pi slows down from 80 degrees on, most others from 85 to 100."""

PLAUSIBLE_C = -40.0, 130.0
"""Zones without a sensor tell nonsense beyond these."""

SUPPLY_REMEDY = "use the board's own power supply (Pi 4: 5 V, 3 A; Pi 5: 5 V, 5 A) and a short cable"

COOLING_REMEDY = "add a heat sink or a fan, or give it air; meanwhile --target-fps or a smaller model"

# Bits of `vcgencmd get_throttled`, by its documentation: now, and sixteen places higher since the start.
_UNDER_VOLTAGE, _CAPPED, _THROTTLED, _SOFT_LIMIT = 0x1, 0x2, 0x4, 0x8


def examine_heat(root: Path = Path("/"), vcgencmd: str | None = None) -> Iterator[Finding]:
    """Look at temperatures, power supply and throttling.

    Parameters
    ----------
    root : Path
        Where ``sys`` is.
    vcgencmd : str, optional
        A Raspberry Pi's tool; looked for when not given.
    """
    yield _temperature(root)
    told = _throttled(vcgencmd or shutil.which("vcgencmd"))
    if told is not None:
        yield from _raspberry_pi(told)
        return
    yield _kernel_counters(root)


def _temperature(root: Path) -> Finding:
    found: list[tuple[float, str]] = []
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        with suppress(ValueError):  # empty: a zone may refuse to be read while its device sleeps
            celsius = int(read_text(zone / "temp")) / 1000
            if PLAUSIBLE_C[0] < celsius < PLAUSIBLE_C[1]:
                found.append((celsius, read_text(zone / "type").strip() or zone.name))
    if not found:
        return Finding("temperature", "note", "this system tells none")
    celsius, name = max(found)
    hot = celsius >= HOT_C
    text = f"{celsius:.1f} °C ({name})"
    return Finding("temperature", "mend" if hot else "ok", text, COOLING_REMEDY if hot else "")


def _throttled(vcgencmd: str | None) -> int | None:
    if vcgencmd is None:
        return None
    with suppress(OSError, subprocess.TimeoutExpired):
        told = subprocess.run(
            [vcgencmd, "get_throttled"], capture_output=True, text=True, timeout=5, check=False
        )
        found = re.search(r"throttled=0x([0-9a-fA-F]+)", told.stdout)
        return int(found[1], 16) if found else None
    return None


def _raspberry_pi(bits: int) -> Iterator[Finding]:
    before = bits >> 16
    if (bits | before) & _UNDER_VOLTAGE:
        when = "now" if bits & _UNDER_VOLTAGE else "since it was started"
        yield Finding("power", "mend", f"the supply gave too little voltage {when}", SUPPLY_REMEDY)
    held = _CAPPED | _THROTTLED | _SOFT_LIMIT
    if bits & held:
        yield Finding(
            "throttling", "mend", "the processor is held back now, by heat or power", COOLING_REMEDY
        )
    elif before & held:
        yield Finding(
            "throttling", "note", "the processor was held back since it was started", COOLING_REMEDY
        )
    elif not (bits | before) & _UNDER_VOLTAGE:
        yield Finding("throttling", "ok", "none, and no lack of power, since it was started")


def _kernel_counters(root: Path) -> Finding:
    heat = sorted((root / "sys/devices/system/cpu").glob("cpu[0-9]*/thermal_throttle/core_throttle_count"))
    events = sum(int(read_text(path) or 0) for path in heat)
    quota = re.search(r"^nr_throttled (\d+)", read_text(root / "sys/fs/cgroup/cpu.stat"), re.MULTILINE)
    if quota and int(quota[1]):
        return Finding(
            "throttling",
            "note",
            f"this container's share of the processor ran out {quota[1]} times",
            "give the container more (docker run --cpus)",
        )
    if not heat and not quota:
        return Finding("throttling", "note", "this system does not tell")
    if events:
        return Finding(
            "throttling", "note", f"heat held the cores back {events} times since the start", COOLING_REMEDY
        )
    return Finding("throttling", "ok", "none since the start")
