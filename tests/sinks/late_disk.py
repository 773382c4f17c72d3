"""A disk that says only when a file is closed that it has not got it, as those behind a network do."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

import pytest


class LateFile(FileIO):
    """Takes everything, and fails when it is closed; as the system does it, it is closed then."""

    def close(self) -> None:
        first = not self.closed
        super().close()
        if first:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def late_disk() -> Iterator[None]:
    """Let files that are opened without a buffer be late ones."""
    usual = Path.open

    def opened(path: Path, mode: str = "r", buffering: int = -1, *rest: Any) -> Any:
        return usual(path, mode, buffering, *rest) if buffering else LateFile(path, mode)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", opened)
        yield
