"""The file that says what a run did."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from edge_fairmot.errors import SinkError


def write_summary(path: Path, content: Mapping[str, Any]) -> None:
    """Write a summary, whole or not at all.

    Raises
    ------
    SinkError
        If it cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(json.dumps(content, indent=2, default=str) + "\n")
        os.replace(partial, path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise SinkError(
            f"cannot write {path}: {error.strerror}; free space or choose another folder"
        ) from error
