"""Cameras: those of the kernel, and a Raspberry Pi's."""

from __future__ import annotations

import errno
import fcntl
import importlib.metadata
import importlib.util
import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_fairmot.doctor.finding import Finding
from edge_fairmot.doctor.system import Board

# From the kernel's include/uapi/linux/videodev2.h.
_QUERYCAP, _ENUM_FMT = 0x80685600, 0xC0405602
_CAPABILITY = struct.Struct("=16s32s32s3I12x")
_FORMAT = struct.Struct("=3I32s4s16x")
_DEVICE_CAPS, _CAPTURE, _CAPTURE_MPLANE, _MEMORY_TO_MEMORY = 0x80000000, 0x1, 0x1000, 0xC000

_CSI_DRIVERS = ("unicam", "rp1-cfe")
"""Of a Raspberry Pi's camera ports: what they give are raw values of the sensor, for libcamera."""

DIST_PACKAGES = Path("usr/lib/python3/dist-packages")
"""Where Debian's packages keep their Python."""

_LIST_CAMERAS = """
import json
from picamera2 import Picamera2
print(json.dumps([camera["Model"] for camera in Picamera2.global_camera_info()]))
"""

Ioctl = Callable[[int, int, bytearray], Any]


@dataclass(frozen=True, slots=True)
class VideoDevice:
    """One ``/dev/video*``, as its driver describes it.

    Attributes
    ----------
    path : Path
    card : str
        Name of the camera.
    driver : str
    captures : bool
        Whether it gives pictures; others take them, or change them.
    formats : tuple of str
        As in ``MJPG``.
    """

    path: Path
    card: str
    driver: str
    captures: bool
    formats: tuple[str, ...]


def read_video_device(path: Path, ioctl: Ioctl = fcntl.ioctl) -> VideoDevice:
    """Ask a driver what its device is; nothing is changed, also while another program uses it.

    Parameters
    ----------
    path : Path
    ioctl : callable, optional
        In the place of :func:`fcntl.ioctl`.

    Raises
    ------
    OSError
        If it is not there, not ours to open, or no video device.
    """
    device = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        answer = bytearray(_CAPABILITY.size)
        ioctl(device, _QUERYCAP, answer)
        driver, card, _, _, all_caps, own_caps = _CAPABILITY.unpack(answer)
        caps = own_caps if all_caps & _DEVICE_CAPS else all_caps
        captures = bool(caps & (_CAPTURE | _CAPTURE_MPLANE)) and not caps & _MEMORY_TO_MEMORY
        kind = 1 if caps & _CAPTURE else 9
        formats = tuple(_formats(device, kind, ioctl)) if captures else ()
        return VideoDevice(path, _text(card), _text(driver), captures, formats)
    finally:
        os.close(device)


def _formats(device: int, kind: int, ioctl: Ioctl) -> Iterator[str]:
    for index in range(64):
        answer = bytearray(_FORMAT.pack(index, kind, 0, b"", b""))
        try:
            ioctl(device, _ENUM_FMT, answer)
        except OSError as error:
            if error.errno == errno.EINVAL:  # there are no more
                return
            raise
        yield _text(_FORMAT.unpack(answer)[4])


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode(errors="replace").strip()


def examine_cameras(board: Board, root: Path = Path("/"), ioctl: Ioctl = fcntl.ioctl) -> Iterator[Finding]:
    """Look for cameras. None at all is a note: a network camera needs nothing here.

    Parameters
    ----------
    board : Board
    root : Path
        Where ``dev`` is.
    ioctl : callable, optional
        In the place of :func:`fcntl.ioctl`.
    """
    found = [*_kernel_cameras(root, ioctl), *_raspberry_pi_cameras(board, root)]
    yield from found or [
        Finding("cameras", "note", "none here; rtsp://..., http://... and synthetic: need none")
    ]


def _kernel_cameras(root: Path, ioctl: Ioctl) -> Iterator[Finding]:
    paths = sorted((root / "dev").glob("video*"), key=lambda path: (len(path.name), path.name))
    for path in paths:
        name = f"/dev/{path.name}"
        try:
            device = read_video_device(path, ioctl)
        except PermissionError:
            remedy = "sudo usermod -aG video $USER, then log in again"
            yield Finding("cameras", "mend", f"{name} is there and not yours to open", remedy)
            return  # the others neither
        except OSError as error:
            yield Finding("cameras", "note", f"{name} does not answer ({error.strerror})")
            continue
        if not device.captures or device.driver in _CSI_DRIVERS or not device.formats:
            continue
        text = f"{name}: {device.card}, {', '.join(device.formats)}"
        if "MJPG" in device.formats or "H264" in device.formats:
            yield Finding("cameras", "ok", text)
        else:
            yield Finding("cameras", "ok", f"{text}; uncompressed only: few frames a second when large")


def _raspberry_pi_cameras(board: Board, root: Path) -> Iterator[Finding]:
    if not sees_picamera2():
        if (root / DIST_PACKAGES / "picamera2").is_dir():
            yield Finding(
                "cameras",
                "mend" if board.is_raspberry_pi else "note",
                "picamera2 is installed, and this virtual environment does not see it",
                "make it again: python3 -m venv --system-site-packages .venv",
            )
        elif board.is_raspberry_pi:
            yield Finding(
                "cameras",
                "note",
                "picamera2, for a camera on the board's own connector, is not installed",
                "sudo apt install -y python3-picamera2",
            )
        return
    if board.codename == "bookworm" and _major_version("numpy") >= 2:
        yield Finding(
            "cameras",
            "mend",
            "picamera2 of Bookworm was built for numpy 1, and numpy 2 is here",
            "pip install 'numpy<2'",
        )
        return
    yield _listed_by_picamera2()


def sees_picamera2() -> bool:
    """Whether picamera2 can be imported, and libcamera, which only the system's packages bring."""
    return all(importlib.util.find_spec(name) is not None for name in ("picamera2", "libcamera"))


def _listed_by_picamera2() -> Finding:
    # In a process of its own: libcamera ends the process where it finds something amiss.
    try:
        done = subprocess.run(
            [sys.executable, "-c", _LIST_CAMERAS], capture_output=True, text=True, timeout=30, check=False
        )
        models = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None
    except (subprocess.TimeoutExpired, ValueError, IndexError):
        done, models = None, None
    if models is None:
        lines = done.stderr.strip().splitlines() if done is not None else []
        reason = lines[-1] if lines else "it gave no answer"
        return Finding(
            "cameras", "mend", f"picamera2 does not work: {reason}", "rpicam-hello --list-cameras says more"
        )
    if not models:
        return Finding(
            "cameras",
            "note",
            "picamera2 works, and no camera is on the board's connector",
            "switch the board off and press the cable home; then rpicam-hello --list-cameras",
        )
    return Finding("cameras", "ok", f"picamera2: {', '.join(map(str, models))}")


def _major_version(package: str) -> int:
    try:
        return int(importlib.metadata.version(package).partition(".")[0])
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return 0
