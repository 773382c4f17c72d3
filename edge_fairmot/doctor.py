"""Checks of this device: board, memory, clock, cameras, extras, temperature, power supply and disk.

Every check yields findings: facts, warnings for some runs, and errors that prevent a run, with the
fix. ``edge-fairmot doctor`` adds the findings about runtimes, which this package does not import.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import struct
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from edge_fairmot.system import (
    ROOT,
    UNDER_VOLTAGE,
    count_heat_events,
    count_quota_events,
    describe_throttle_bits,
    python_command,
    read_sysfs,
    read_throttle_bits,
    warmest_zone,
)

MB = 10**6

LITTLE_MEMORY = 400 * MB
"""With less, a model, the tracker and frames may not fit."""

LITTLE_DISK, SOME_DISK = 500 * MB, 2000 * MB

HOT_C = 80.0
"""A Raspberry Pi slows down from 80 degrees on, most other boards from 85 to 100."""

SUPPLY_FIX = "use the board's own power supply (Pi 4: 5 V, 3 A; Pi 5: 5 V, 5 A) and a short cable"
COOLING_FIX = "add a heat sink or a fan, or give it air; meanwhile --target-fps or a smaller model"

NO_CAMERAS = ("bcm2835-", "rpi-", "rpivid", "pispbe", "unicam", "rp1-cfe")
"""Names of a Raspberry Pi's codecs, image processors and camera ports; libcamera drives its cameras."""

DIST_PACKAGES = Path("usr/lib/python3/dist-packages")
"""Folder of Debian's Python packages."""

LIST_PICAMERAS = """
import json
from picamera2 import Picamera2
print(json.dumps([camera["Model"] for camera in Picamera2.global_camera_info()]))
"""

EXTRAS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "web": ("starlette", "the page of live"),
        "mqtt": ("paho", "MQTT and Home Assistant"),
        "eval": ("scipy", "scores: eval, demo, and --gt of verify and bench"),
        "fast": ("numba", "im2col files in OpenVINO"),
        "bench": ("plotly", "bench"),
        "convert": ("torch", "convert, train, distill and record-reference"),
        "parquet": ("pyarrow", "export to Parquet"),
        "ray": ("ray", "track-many on several machines"),
    }
)
"""A module of each extra, and what needs it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of a check.

    An ``error`` prevents a run. A ``warning`` may matter to some runs. ``text`` is one line.
    ``fix`` is a command or advice; it may be empty.
    """

    area: str
    level: Literal["ok", "warning", "error"]
    text: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Board:
    """The board or processor, the operating system, and Debian's code name (empty on other systems)."""

    model: str
    release: str
    codename: str

    @property
    def is_raspberry_pi(self) -> bool:
        """Whether the board is a Raspberry Pi."""
        return self.model.startswith("Raspberry Pi")


def read_board(root: Path = ROOT) -> Board:
    """Read the board from ``proc`` and ``etc`` in ``root``."""
    release = read_sysfs(root / "etc/os-release")
    model = read_sysfs(root / "proc/device-tree/model").strip("\0\n")
    return Board(
        model or _value(read_sysfs(root / "proc/cpuinfo"), "model name", ":") or platform.machine(),
        _value(release, "PRETTY_NAME", "=") or platform.system(),
        _value(release, "VERSION_CODENAME", "="),
    )


def check_system(board: Board, root: Path = ROOT) -> Iterator[Finding]:
    """Check operating system, memory and clock."""
    bits = 8 * struct.calcsize("P")
    python = f"Python {platform.python_version()}"
    if bits != 64:
        yield Finding(
            "system",
            "error",
            f"{board.model}, {board.release}: {bits}-bit, for which runtimes have no packages",
            "install the 64-bit operating system; on a Raspberry Pi choose it in Raspberry Pi Imager",
        )
    else:
        yield Finding("system", "ok", f"{board.model}, {board.release}, {platform.machine()}, {python}")
    available = _value(read_sysfs(root / "proc/meminfo"), "MemAvailable", ":")
    if available:
        free = int(available.split()[0]) * 1024
        text = f"{free / MB:.0f} MB are available"
        if free < LITTLE_MEMORY:
            fix = "end the programs that use it (ps aux --sort=-rss | head) or take a smaller model"
            yield Finding("memory", "error", text, fix)
        else:
            yield Finding("memory", "ok", text)
    timesync = root / "run/systemd/timesync"
    if timesync.is_dir() and not (timesync / "synchronized").exists():
        yield Finding(
            "clock",
            "warning",
            "the network has not set the clock yet: names of recordings and times of events depend on it",
            "sudo timedatectl set-ntp true",
        )


def check_cameras(board: Board, root: Path = ROOT) -> Iterator[Finding]:
    """Check the cameras. No camera is only a warning: network cameras are not checked."""
    found = [*_kernel_cameras(root), *_raspberry_pi_cameras(board, root)]
    yield from found or [
        Finding("cameras", "warning", "none here; rtsp://..., http://... and synthetic: need none")
    ]


def check_extras() -> Iterator[Finding]:
    """Check which extras are installed."""
    for extra, (module, purpose) in EXTRAS.items():
        if importlib.util.find_spec(module) is None:
            fix = f"pip install 'edge-fairmot[{extra}]'"
            yield Finding("extras", "warning", f"{extra} is not installed: {purpose}", fix)
        else:
            yield Finding("extras", "ok", f"{extra}: {purpose}")


def check_thermals(root: Path = ROOT, vcgencmd: str | None = None) -> Iterator[Finding]:
    """Check temperature, throttling and power supply; ``vcgencmd`` is the tool of a Raspberry Pi."""
    zone = warmest_zone(root)
    if zone is None:
        yield Finding("temperature", "warning", "this system reports none")
    else:
        text, hot = f"{zone.celsius:.1f} °C ({zone.name})", zone.celsius >= HOT_C
        yield Finding("temperature", "error" if hot else "ok", text, COOLING_FIX if hot else "")
    bits = read_throttle_bits(vcgencmd)
    if bits is None:
        yield _kernel_throttling(root)
    else:
        yield from _raspberry_pi_throttling(bits)


def check_disk(folder: Path) -> Finding:
    """Check the disk of a folder for recordings."""
    try:
        disk = os.statvfs(folder)
    except OSError as error:
        return Finding("disk", "error", f"{folder} cannot be read ({error.strerror})", f"mkdir -p {folder}")
    free = disk.f_bavail * disk.f_frsize
    text = f"{free / MB:.0f} MB are free in {folder}"
    if disk.f_flag & os.ST_RDONLY:
        return Finding(
            "disk",
            "error",
            f"{folder} cannot be written: its disk is mounted read-only, as after errors of an SD card",
            "sudo dmesg | grep -i error, then sudo mount -o remount,rw / or replace the card",
        )
    if not os.access(folder, os.W_OK):
        return Finding("disk", "error", f"{folder} is not yours to write", f"sudo chown $USER {folder}")
    if free < LITTLE_DISK:
        fix = "sudo apt-get clean; sudo du -xh --max-depth=2 / | sort -h | tail"
        return Finding("disk", "error", text, fix)
    return Finding("disk", "ok" if free >= SOME_DISK else "warning", text)


def _kernel_cameras(root: Path) -> Iterator[Finding]:
    """Check the cameras that the kernel lists. The first node of a camera has its frames, others metadata."""
    folders = sorted(
        (root / "sys/class/video4linux").glob("video*"), key=lambda path: (len(path.name), path.name)
    )
    for folder in folders:
        name, node = read_sysfs(folder / "name").strip(), root / "dev" / folder.name
        first = read_sysfs(folder / "index").strip() in ("", "0")
        if not first or name.startswith(NO_CAMERAS) or not node.exists():
            continue
        if not os.access(node, os.R_OK | os.W_OK):
            fix = "sudo usermod -aG video $USER, then log in again"
            yield Finding("cameras", "error", f"/dev/{node.name} is there and not yours to open", fix)
        else:
            yield Finding("cameras", "ok", f"/dev/{node.name}: {name}")


def _raspberry_pi_cameras(board: Board, root: Path) -> Iterator[Finding]:
    """Check the cameras on a Raspberry Pi's own connector, which picamera2 reads."""
    if not sees_picamera2():
        if (root / DIST_PACKAGES / "picamera2").is_dir():
            yield Finding(
                "cameras",
                "error" if board.is_raspberry_pi else "warning",
                "picamera2 is installed, and this virtual environment does not see it",
                "make the environment again: python3 -m venv --system-site-packages .venv",
            )
        elif board.is_raspberry_pi:
            yield Finding(
                "cameras",
                "warning",
                "picamera2, for a camera on the board's own connector, is not installed",
                "sudo apt install -y python3-picamera2",
            )
    elif board.codename == "bookworm" and _major_version("numpy") >= 2:
        yield Finding(
            "cameras",
            "error",
            "picamera2 of Bookworm was built for numpy 1, and numpy 2 is here",
            "pip install 'numpy<2'",
        )
    else:
        yield _list_picameras()


def sees_picamera2() -> bool:
    """Return whether picamera2 and libcamera can be imported; only the system's packages provide them."""
    return all(importlib.util.find_spec(name) is not None for name in ("picamera2", "libcamera"))


def _list_picameras() -> Finding:
    # In its own process: libcamera ends the process after some errors.
    command = python_command(LIST_PICAMERAS)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        models = json.loads(done.stdout.splitlines()[-1])
    except (subprocess.SubprocessError, ValueError, IndexError) as error:
        reason = str(getattr(error, "stderr", "") or "it gave no answer").strip().splitlines()[-1]
        text = f"picamera2 does not work: {reason}"
        return Finding("cameras", "error", text, "rpicam-hello --list-cameras says more")
    if not models:
        return Finding(
            "cameras",
            "warning",
            "picamera2 works, and no camera is on the board's connector",
            "switch the board off and press the cable home; then rpicam-hello --list-cameras",
        )
    return Finding("cameras", "ok", f"picamera2: {', '.join(map(str, models))}")


def _raspberry_pi_throttling(bits: int) -> Iterator[Finding]:
    now, since_boot = describe_throttle_bits(bits), describe_throttle_bits(bits >> 16)
    low_voltage = UNDER_VOLTAGE in now or UNDER_VOLTAGE in since_boot
    if low_voltage:
        when = "now" if UNDER_VOLTAGE in now else "since boot"
        yield Finding("power", "error", f"the supply gave too little voltage {when}", SUPPLY_FIX)
    if set(now) - {UNDER_VOLTAGE}:
        yield Finding("throttling", "error", "the processor is throttled now, by heat or power", COOLING_FIX)
    elif set(since_boot) - {UNDER_VOLTAGE}:
        yield Finding("throttling", "warning", "the processor was throttled since boot", COOLING_FIX)
    elif not low_voltage:
        yield Finding("throttling", "ok", "none, and no lack of power, since boot")


def _kernel_throttling(root: Path) -> Finding:
    heat, quota = count_heat_events(root), count_quota_events(root)
    if quota:
        text = f"this container's share of the processor ran out {quota} times"
        return Finding("throttling", "warning", text, "give the container more (docker run --cpus)")
    if heat:
        return Finding(
            "throttling", "warning", f"heat throttled the cores {heat} times since boot", COOLING_FIX
        )
    if heat is None and quota is None:
        return Finding("throttling", "warning", "this system does not report it")
    return Finding("throttling", "ok", "none since boot")


def _value(text: str, name: str, separator: str) -> str:
    """Return the value of a ``name: value`` or ``name=value`` line; empty if there is none."""
    found = re.search(rf"^{re.escape(name)}\s*{separator}\s*(.*)$", text, re.MULTILINE)
    return found[1].strip().strip('"') if found else ""


def _major_version(package: str) -> int:
    try:
        return int(importlib.metadata.version(package).partition(".")[0])
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return 0
