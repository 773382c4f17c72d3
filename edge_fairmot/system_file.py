"""What the system tells in files."""

from __future__ import annotations

from pathlib import Path


def read_text(path: Path) -> str:
    """Text of a file of the system, empty where there is none."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
