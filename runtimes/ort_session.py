"""What ONNX Runtime's providers share: opening a file, its manifest, and errors in a user's words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_fairmot.errors import InferenceError, MissingDependencyError
from edge_fairmot.manifest import ModelManifest
from edge_fairmot.runtimes.checks import check_model_file
from edge_fairmot.runtimes.ort_packages import ort_packages
from edge_fairmot.runtimes.processor import int8_sums_overflow
from edge_fairmot.runtimes.refusal import explain_refusal

try:
    import onnxruntime
except ModuleNotFoundError as error:
    raise MissingDependencyError("onnxruntime", "cpu", "by runtime cpu") from error


def make_session_options(threads: int | None = None) -> Any:
    """Make the options that every session of ours has.

    Parameters
    ----------
    threads : int, optional
        Inside an operator; ONNX Runtime chooses when not given.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors: warnings about foldable nodes say nothing to a user
    if threads is not None:
        options.intra_op_num_threads = threads
    if int8_sums_overflow():
        # Kernels that add up exactly. Only here: with VNNI ONNX Runtime would take them as well, which makes
        # its convolutions 2.5 times as slow for nothing.
        options.add_session_config_entry("session.x64quantprecision", "1")
    return options


def open_session(path: Path, providers: Sequence[Any], threads: int | None = None) -> Any:
    """Open a file with ONNX Runtime.

    Parameters
    ----------
    path : Path
    providers : sequence
        As ``onnxruntime.InferenceSession`` takes them.
    threads : int, optional
        Inside an operator; ONNX Runtime chooses when not given.

    Raises
    ------
    InferenceError
        If the file is missing, damaged, or holds an operator that this ONNX Runtime does not know.
    """
    check_model_file(path)
    options = make_session_options(threads)
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=list(providers))
    except Exception as error:  # its exceptions share no base but Exception
        raise InferenceError(_refusal(path, str(error)) or explain(str(path), str(error))) from error


def read_manifest(session: Any, path: str) -> ModelManifest:
    """Read the manifest of the file that a session runs; ManifestError if there is none."""
    return ModelManifest.from_metadata(session.get_modelmeta().custom_metadata_map, path)


def explain(path: str, message: str) -> str:
    """Turn what ONNX Runtime says into one line with a remedy."""
    version = onnxruntime.__version__
    if "INVALID_PROTOBUF" in message or "Protobuf parsing failed" in message:
        return f"{path} is not an ONNX file, or is cut short: convert the checkpoint again"
    return f"ONNX Runtime {version} cannot run {path}: {' '.join(message.split())}"


def _refusal(path: Path, message: str) -> str:
    # Only where the package index has the newer wheel: it has none of onnxruntime-gpu for a Jetson.
    upgrade = "pip install -U 'onnxruntime>=1.25'" if ort_packages() == ("onnxruntime",) else ""
    return explain_refusal(path, f"ONNX Runtime {onnxruntime.__version__}", message, upgrade)
