"""Results on disk, as JSON."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from edge_fairmot.benchmarks.results import RESULTS_SCHEMA_VERSION, Results
from edge_fairmot.errors import EvaluationError, MissingDependencyError
from edge_fairmot.system import atomic_write


def write_results(path: str | os.PathLike[str], results: Results) -> None:
    """Write results as JSON; whoever reads the file meanwhile sees the old one.

    Raises
    ------
    EvaluationError
        If it cannot be written.
    MissingDependencyError
        If pydantic is not installed.
    """
    path = Path(path)
    data = _adapter().dump_json(results, indent=1)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as partial:
            partial.write_bytes(data)
    except OSError as error:
        raise EvaluationError(
            f"cannot write {path}: {error.strerror}; free space or choose another folder with -o"
        ) from error


def read_results(path: str | os.PathLike[str]) -> Results:
    """Read what :func:`write_results` wrote.

    Raises
    ------
    EvaluationError
        If there is no such file, or it is not of this schema.
    MissingDependencyError
        If pydantic is not installed.
    """
    adapter = _adapter()
    remedy = "give a results.json that edge-fairmot bench wrote"
    try:
        text = Path(path).read_text()
        found = json.loads(text)
    except (OSError, ValueError) as error:
        raise EvaluationError(f"{path} cannot be read ({error}): {remedy}") from error
    version = found.get("schema_version") if isinstance(found, dict) else None
    if version != RESULTS_SCHEMA_VERSION:
        raise EvaluationError(
            f"{path} has results schema {version}, this edge-fairmot reads {RESULTS_SCHEMA_VERSION}: {remedy}"
        )
    try:
        results: Results = adapter.validate_json(text)
    except ValueError as error:  # pydantic's, over many lines
        first = " ".join(str(error).split())[:160]
        raise EvaluationError(f"{path} is damaged ({first}): {remedy}") from error
    return results


def _adapter() -> Any:
    try:
        from pydantic import TypeAdapter  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingDependencyError("pydantic", "bench", "to read and write results") from error
    return TypeAdapter(Results)
