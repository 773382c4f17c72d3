"""Who takes part: every file on every runtime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edge_fairmot.benchmarks.results import Entry, ModelFile
from edge_fairmot.errors import InvalidInputError, ManifestError
from edge_fairmot.model_file import hash_graph, read_onnx_file
from edge_fairmot.runtimes import list_runtimes

NO_NETWORK = "replay"
"""A runtime that computes nothing has no speed."""


@dataclass(frozen=True, slots=True)
class Starter:
    """A contender that is to be measured.

    Attributes
    ----------
    model : ModelFile
    path : Path
    runtime : str
    """

    model: ModelFile
    path: Path
    runtime: str

    @property
    def entry(self) -> Entry:
        """Its row, without figures."""
        return Entry(self.model, self.runtime)


def name_models(paths: Sequence[Path]) -> dict[str, Path]:
    """Name files by their file names, or by their paths where two have the same.

    Raises
    ------
    InvalidInputError
        If a file is given twice.
    """
    if len(set(paths)) < len(paths):
        raise InvalidInputError("a model was given twice: give each once")
    names = [path.name for path in paths]
    return {path.name if names.count(path.name) == 1 else str(path): path for path in paths}


def choose_runtimes(text: str) -> tuple[str, ...]:
    """Read ``cpu,openvino:GPU``; ``all`` is every one that this machine has.

    Raises
    ------
    InvalidInputError
        If none is named, or one twice.
    """
    if text == "all":
        return tuple(row.name for row in list_runtimes() if row.available and row.name != NO_NETWORK)
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if not names or len(set(names)) < len(names):
        raise InvalidInputError(f"--runtimes {text!r}: give each once, as in cpu,openvino, or all")
    if NO_NETWORK in names:
        raise InvalidInputError(
            "runtime replay plays a tape and computes nothing: leave it out of --runtimes"
        )
    return names


def describe_model(path: Path, name: str) -> tuple[ModelFile, str]:
    """Read what a file says of itself.

    Parameters
    ----------
    path : Path
    name : str
        What to call it.

    Returns
    -------
    ModelFile
    str
        Why it cannot be a contender; empty if it can.

    Raises
    ------
    ManifestError
        If there is no file.
    """
    unknown = ModelFile(name, 0, "", "", "", (0, 0), "", (), "")
    if not path.is_file():
        read_onnx_file(path)  # says so
    try:
        file = read_onnx_file(path)
        manifest = file.manifest
    except ManifestError as error:
        return replace(unknown, size_bytes=path.stat().st_size), str(error)
    return (
        ModelFile(
            name=name,
            size_bytes=file.size_bytes,
            graph_sha256=hash_graph(path),
            checkpoint_sha256=manifest.checkpoint_sha256,
            precision=manifest.default_precision,
            input_size=manifest.input_size,
            lowering=", ".join(dict.fromkeys(manifest.deform_conv.values())),
            rewrites=manifest.rewrites,
            calibration=manifest.calibration,
        ),
        "",
    )
