"""What the system tells of heat: how warm it is, and how often the processor was held back."""

from __future__ import annotations

import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from edge_fairmot.system_file import read_text

ROOT = Path("/")
"""Where ``sys`` is."""

PLAUSIBLE_C = -40.0, 130.0
"""Zones without a sensor tell nonsense beyond these."""

# Bits of `vcgencmd get_throttled`, by its documentation: now, and sixteen places higher since the start.
UNDER_VOLTAGE, CAPPED, THROTTLED, SOFT_LIMIT = 0x1, 0x2, 0x4, 0x8

TOOL_TIMEOUT_S = 5


class Zone(NamedTuple):
    """A thermal zone: degrees Celsius, and what it is the temperature of."""

    celsius: float
    name: str


def warmest_zone(root: Path = ROOT) -> Zone | None:
    """Give the warmest thermal zone that makes sense; None where the system tells of none."""
    found = []
    for folder in (root / "sys/class/thermal").glob("thermal_zone*"):
        with suppress(ValueError):  # empty: a zone may refuse to be read while its device sleeps
            celsius = int(read_text(folder / "temp")) / 1000
            if PLAUSIBLE_C[0] < celsius < PLAUSIBLE_C[1]:
                found.append(Zone(celsius, read_text(folder / "type").strip() or folder.name))
    return max(found, default=None)


def count_heat_events(root: Path = ROOT, whom: str = "core") -> int | None:
    """Count how often heat held a ``core`` or ``package`` (``*``: either) back; None where it is not told."""
    folder = root / "sys/devices/system/cpu"
    counters = list(folder.glob(f"cpu[0-9]*/thermal_throttle/{whom}_throttle_count"))
    return sum(int(read_text(path) or 0) for path in counters) if counters else None


def count_quota_events(root: Path = ROOT) -> int | None:
    """Count how often this container's share of the processor ran out; None where it is not told."""
    found = re.search(r"^nr_throttled (\d+)", read_text(root / "sys/fs/cgroup/cpu.stat"), re.MULTILINE)
    return int(found[1]) if found else None


def read_throttle_bits(vcgencmd: str | None = None) -> int | None:
    """Ask a Raspberry Pi's tool, looked for when not given; None elsewhere."""
    tool = vcgencmd or shutil.which("vcgencmd")
    if tool is None:
        return None
    with suppress(OSError, subprocess.TimeoutExpired):
        told = subprocess.run(
            [tool, "get_throttled"], capture_output=True, text=True, timeout=TOOL_TIMEOUT_S, check=False
        )
        found = re.search(r"throttled=0x([0-9a-fA-F]+)", told.stdout)
        return int(found[1], 16) if found else None
    return None
