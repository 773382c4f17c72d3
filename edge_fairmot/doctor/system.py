"""The system: what board, what operating system, how much memory and disk."""

from __future__ import annotations

import os
import platform
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_fairmot.doctor.finding import Finding
from edge_fairmot.system import read_text

MB = 10**6

LITTLE_MEMORY = 400 * MB
"""Available for a model, the tracker and pictures."""

LITTLE_DISK, SOME_DISK = 500 * MB, 2000 * MB


@dataclass(frozen=True, slots=True)
class Board:
    """What the findings depend on.

    Attributes
    ----------
    model : str
        As the board or the processor calls itself.
    release : str
        Name and version of the operating system.
    codename : str
        Debian's, as in ``bookworm``; empty elsewhere.
    """

    model: str
    release: str
    codename: str

    @property
    def is_raspberry_pi(self) -> bool:
        """Whether it is one."""
        return self.model.startswith("Raspberry Pi")


def read_board(root: Path = Path("/")) -> Board:
    """Read what this machine is; ``root`` is where ``proc`` and ``etc`` are."""
    release = read_text(root / "etc/os-release")
    model = read_text(root / "proc/device-tree/model").strip("\0\n")
    return Board(
        model or _field(read_text(root / "proc/cpuinfo"), "model name", ":") or platform.machine(),
        _field(release, "PRETTY_NAME", "=") or platform.system(),
        _field(release, "VERSION_CODENAME", "="),
    )


def examine_system(board: Board, root: Path = Path("/")) -> Iterator[Finding]:
    """Look at operating system, memory and clock."""
    bits = 8 * struct.calcsize("P")
    python = f"Python {platform.python_version()}"
    if bits != 64:
        yield Finding(
            "system",
            "mend",
            f"{board.model}, {board.release}: {bits}-bit, for which runtimes have no packages",
            "install the 64-bit operating system; on a Raspberry Pi choose it in Raspberry Pi Imager",
        )
    else:
        yield Finding("system", "ok", f"{board.model}, {board.release}, {platform.machine()}, {python}")
    available = _field(read_text(root / "proc/meminfo"), "MemAvailable", ":")
    if available:
        free = int(available.split()[0]) * 1024
        yield Finding(
            "memory",
            "ok" if free >= LITTLE_MEMORY else "mend",
            f"{free / MB:.0f} MB are available",
            ""
            if free >= LITTLE_MEMORY
            else "end what takes it (ps aux --sort=-rss | head) or take a smaller model",
        )
    timesync = root / "run/systemd/timesync"
    if timesync.is_dir() and not (timesync / "synchronized").exists():
        yield Finding(
            "clock",
            "note",
            "the clock has not been set by the network yet: names of recordings and times of events go by it",
            "sudo timedatectl set-ntp true",
        )


def examine_disk(folder: Path) -> Finding:
    """Look at the disk of a folder, where recordings would go."""
    try:
        disk = os.statvfs(folder)
    except OSError as error:
        return Finding("disk", "mend", f"{folder} cannot be read ({error.strerror})", f"mkdir -p {folder}")
    free = disk.f_bavail * disk.f_frsize
    text = f"{free / MB:.0f} MB are free in {folder}"
    if disk.f_flag & os.ST_RDONLY:
        return Finding(
            "disk",
            "mend",
            f"{folder} cannot be written: its disk is mounted read-only, as after errors of an SD card",
            "sudo dmesg | grep -i error, then sudo mount -o remount,rw / or replace the card",
        )
    if not os.access(folder, os.W_OK):
        return Finding("disk", "mend", f"{folder} is not yours to write", f"sudo chown $USER {folder}")
    if free < LITTLE_DISK:
        return Finding(
            "disk", "mend", text, "sudo apt-get clean; sudo du -xh --max-depth=2 / | sort -h | tail"
        )
    return Finding("disk", "ok" if free >= SOME_DISK else "note", text)


def _field(text: str, name: str, separator: str) -> str:
    found = re.search(rf"^{re.escape(name)}\s*{separator}\s*(.*)$", text, re.MULTILINE)
    return found[1].strip().strip('"') if found else ""
