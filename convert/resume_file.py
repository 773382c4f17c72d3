"""Files in which a training or distillation keeps what its next step depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from edge_fairmot.errors import CheckpointError


def describe_options(options: Any) -> dict[str, Any]:
    """Give a dataclass of options as a run's origin holds them: names to be read, lists for tuples."""
    return {
        field.name.replace("_", " "): list(value) if isinstance(value, tuple) else value
        for field in fields(options)
        for value in (getattr(options, field.name),)
    }


def read_resume_file(path: Path, version: int) -> dict[str, Any]:
    """Read one.

    Raises
    ------
    CheckpointError
        If it is something else, or of another version.
    """
    if not path.is_file():
        raise CheckpointError(f"there is nothing to resume at {path}: start without --resume")
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        if content["version"] != version:
            raise ValueError(content["version"])
    except Exception as error:  # torch.load raises what its many readers raise
        raise CheckpointError(
            f"{path} is not a resume file of this edge-fairmot: delete it and start without --resume"
        ) from error
    return content


def check_origin(path: Path, then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to go on with other arguments than a run began with.

    Raises
    ------
    CheckpointError
        If an entry differs; names them.
    """
    differing = [name for name in {**now, **then} if then.get(name) != now.get(name)]
    if differing:
        raise CheckpointError(
            f"{path} was made with other {', '.join(differing)}: give the same arguments as then, "
            "or start anew without --resume"
        )
