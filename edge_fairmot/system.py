"""What the operating system offers: sysfs, locks, atomic writes, temperature and throttling."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from edge_fairmot.errors import SinkError

ROOT = Path("/")
"""Folder that holds ``sys`` and ``proc``."""

PLAUSIBLE_C = -40.0, 130.0
"""A thermal zone without a sensor reports values outside this range."""

UNDER_VOLTAGE = "under-voltage"
THROTTLE_CONDITIONS = (UNDER_VOLTAGE, "frequency capped", "throttled", "soft temperature limit")
"""Bits 0 to 3 of ``vcgencmd get_throttled``, by its documentation. Bits 16 to 19 say the same since boot."""

TOOL_TIMEOUT_S = 5


def read_sysfs(path: Path) -> str:
    """Return the text of a file in sysfs, procfs or /etc; empty if it cannot be read."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path, which replaces ``path`` at the end and is removed after an error.

    The file is created exclusively under a random name, so an existing link is not followed.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    try:
        yield partial
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def python_command(code: str) -> list[str]:
    """Return the command that runs code in another Python, which imports nothing from the current folder."""
    if sys.version_info >= (3, 11):
        return [sys.executable, "-P", "-c", code]
    return [sys.executable, "-c", f"import sys; del sys.path[0]\n{code}"]


class FileLock:
    """An exclusive lock on a file, held until it is closed or the process ends.

    ``what`` names the resource in the error, as in ``"the folder out"``, and ``fix`` is the advice there.
    SinkError if another run holds the lock, or the file cannot be made.
    """

    def __init__(self, path: Path, what: str, fix: str) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Neither the holder's text is lost nor the target of a link written.
            self._file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644), "r+")
        except OSError as error:
            raise SinkError(
                f"{what} cannot be used ({error.strerror}): check the folder and its permissions "
                "or choose another place"
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.seek(0)
            holder = self._file.read(32).strip()
            self._file.close()
            process = f", process {holder}" if holder.isdecimal() else ""
            raise SinkError(f"{what} belongs to another run{process}: {fix}") from error
        with suppress(OSError):  # a full disk: the lock holds
            self._file.truncate(0)
            self._file.write(f"{os.getpid()}\n")
            self._file.flush()

    def close(self) -> None:
        """Release the lock; the file stays. May be called twice."""
        self._file.close()


class ThermalZone(NamedTuple):
    """Temperature and name of one thermal zone of the kernel."""

    celsius: float
    name: str


def warmest_zone(root: Path = ROOT) -> ThermalZone | None:
    """Return the warmest thermal zone with a plausible temperature; None if there is none."""
    found = []
    for folder in (root / "sys/class/thermal").glob("thermal_zone*"):
        with suppress(ValueError):  # empty: a zone may refuse to be read while its device sleeps
            celsius = int(read_sysfs(folder / "temp")) / 1000
            if PLAUSIBLE_C[0] < celsius < PLAUSIBLE_C[1]:
                found.append(ThermalZone(celsius, read_sysfs(folder / "type").strip() or folder.name))
    return max(found, default=None)


def count_heat_events(root: Path = ROOT, scope: str = "core") -> int | None:
    """Count how often heat throttled a ``core``, a ``package`` or any (``*``); None without a counter."""
    folder = root / "sys/devices/system/cpu"
    counters = list(folder.glob(f"cpu[0-9]*/thermal_throttle/{scope}_throttle_count"))
    return sum(int(read_sysfs(path) or 0) for path in counters) if counters else None


def count_quota_events(root: Path = ROOT) -> int | None:
    """Count how often this container used up its share of the processor; None without a counter."""
    found = re.search(r"^nr_throttled (\d+)", read_sysfs(root / "sys/fs/cgroup/cpu.stat"), re.MULTILINE)
    return int(found[1]) if found else None


def read_throttle_bits(vcgencmd: str | None = None) -> int | None:
    """Return the bits of a Raspberry Pi's ``vcgencmd get_throttled``; None on other machines."""
    tool = vcgencmd or shutil.which("vcgencmd")
    if tool is None:
        return None
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            [tool, "get_throttled"], capture_output=True, text=True, timeout=TOOL_TIMEOUT_S, check=False
        )
        found = re.search(r"throttled=0x([0-9a-fA-F]+)", done.stdout)
        return int(found[1], 16) if found else None
    return None


def describe_throttle_bits(bits: int) -> tuple[str, ...]:
    """Name the conditions that hold now; of ``bits >> 16``, those that held at any time since boot."""
    return tuple(name for place, name in enumerate(THROTTLE_CONDITIONS) if bits >> place & 1)
