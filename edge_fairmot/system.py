"""What the system tells of heat: how warm it is, and how often the processor was held back."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from edge_fairmot.errors import SinkError

# FOLDED system_file.py: What the system tells in files.


def read_text(path: Path) -> str:
    """Text of a file of the system, empty where there is none."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


# FOLDED run_lock.py: What belongs to one run at a time.


class RunLock:
    """Holds a file until it is closed, or the process ends, however it ends.

    Parameters
    ----------
    path : Path
        Made where it is not there, with its folder; it stays when all is over.
    what : str
        What it stands for, as in ``"the folder out"``.
    remedy : str
        What helps who comes second.

    Raises
    ------
    SinkError
        If another run holds it, or it cannot be made.
    """

    def __init__(self, path: Path, what: str, remedy: str) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("w")
        except OSError as error:
            raise SinkError(
                f"{what} cannot be used ({error.strerror}): check the folder and its permissions "
                "or choose another place"
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise SinkError(f"{what} belongs to another run: {remedy}") from error

    def close(self) -> None:
        """Let it go. May be called twice."""
        self._file.close()


# FOLDED whole_file.py: Files that are there whole or not at all.


@contextmanager
def replaced_whole(path: Path) -> Iterator[Path]:
    """Give a place beside a file to write to, which takes the file's name at the end; after an error it goes.

    Parameters
    ----------
    path : Path
        Of the file, new or to be replaced.

    Raises
    ------
    OSError
        If it cannot take the name.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


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


atomic_write, FileLock = replaced_whole, RunLock
