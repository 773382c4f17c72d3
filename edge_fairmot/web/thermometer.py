"""How warm the device is."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

THERMAL = Path("/sys/class/thermal")

PLAUSIBLE_C = -40.0, 130.0
"""Zones without a sensor tell nonsense beyond these."""


def read_temperature(folder: Path = THERMAL) -> float | None:
    """Give the warmest thermal zone in degrees Celsius; None where the system tells of none."""
    found = []
    for path in folder.glob("thermal_zone*/temp"):
        with suppress(OSError, ValueError):  # a zone may refuse to be read while its device sleeps
            found.append(int(path.read_text()) / 1000)
    low, high = PLAUSIBLE_C
    return max((celsius for celsius in found if low < celsius < high), default=None)
