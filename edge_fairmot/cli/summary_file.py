"""The file that says what a run did."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_fairmot.errors import SinkError
from edge_fairmot.system import atomic_write


def write_summary(path: Path, content: Mapping[str, Any]) -> None:
    """Write a summary, whole or not at all.

    Raises
    ------
    SinkError
        If it cannot be written.
    """
    try:
        with atomic_write(path) as partial:
            partial.write_text(json.dumps(content, indent=2, default=str) + "\n")
    except OSError as error:
        raise SinkError(
            f"cannot write {path}: {error.strerror}; free space or choose another folder"
        ) from error
