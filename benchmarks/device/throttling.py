"""Whether the system holds the processor back: by heat, by power, or by a container's quota."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

VCGENCMD_NOW = 0b1111
"""Of ``vcgencmd get_throttled``: under-voltage, frequency capped, throttled, soft temperature limit:
now. The same bits sixteen places higher say that it happened since boot, which is not our doing."""


class ThrottleGauge:
    """Tells of throttling since it was last asked.

    Parameters
    ----------
    root : Path
        Where ``sys`` is.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        cores = root / "sys/devices/system/cpu"
        self._counters = (
            sorted(cores.glob("cpu[0-9]*/thermal_throttle/*_throttle_count")),
            sorted((root / "sys/fs/cgroup").glob("cpu.stat")),
        )
        self._vcgencmd = shutil.which("vcgencmd")
        self._before = self._count()

    @property
    def tells(self) -> bool:
        """Whether this system says anything of throttling."""
        return any(self._counters) or self._vcgencmd is not None

    def throttled(self) -> bool | None:
        """Whether the processor was held back since the last call, or is now; None where it is not told."""
        if not self.tells:
            return None
        count = self._count()
        rose, self._before = count > self._before, count
        return rose or self._held_back_now()

    def _count(self) -> int:
        heat, quota = self._counters
        events = sum(int(path.read_text()) for path in heat)
        for path in quota:
            found = re.search(r"^nr_throttled (\d+)", path.read_text(), re.MULTILINE)
            events += int(found[1]) if found else 0
        return events

    def _held_back_now(self) -> bool:
        if self._vcgencmd is None:
            return False
        told = subprocess.run([self._vcgencmd, "get_throttled"], capture_output=True, text=True, check=False)
        found = re.search(r"throttled=0x([0-9a-fA-F]+)", told.stdout)
        return bool(found and int(found[1], 16) & VCGENCMD_NOW)
