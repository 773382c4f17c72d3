"""ONNX Runtime on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_fairmot.errors import InferenceError, InvalidInputError, MissingDependencyError
from edge_fairmot.manifest import ModelManifest
from edge_fairmot.runtimes.checks import check_images, check_model_file, check_outputs
from edge_fairmot.types import RawDetections, UInt8Array

try:
    import onnxruntime
except ModuleNotFoundError as error:
    raise MissingDependencyError("onnxruntime", "cpu", "by runtime cpu") from error

OUTPUTS = ("boxes", "scores", "class_ids", "embeddings")


class CpuRuntime:
    """Runs an exported file with ONNX Runtime's CPU provider.

    Parameters
    ----------
    path : str or Path
        A file made by ``edge-fairmot convert``.
    threads : int, optional
        Threads inside an operator; ONNX Runtime chooses when not given.

    Raises
    ------
    InferenceError
        If the file is missing, damaged, or holds an operator that this ONNX Runtime does not know.
    ManifestError
        If the file has no manifest.
    """

    name = "cpu"

    def __init__(self, path: str | Path, *, threads: int | None = None) -> None:
        check_model_file(Path(path))
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors: warnings about foldable nodes say nothing to a user
        if threads is not None:
            if threads < 1:
                raise InvalidInputError(f"threads must be at least 1, not {threads}")
            options.intra_op_num_threads = threads
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions share no base but Exception
            raise InferenceError(_explain(str(path), str(error))) from error
        metadata = session.get_modelmeta().custom_metadata_map
        self.manifest = ModelManifest.from_metadata(metadata, str(path))
        self._session: onnxruntime.InferenceSession | None = session

    def infer(self, images: UInt8Array) -> RawDetections:
        """Run the network; see :meth:`edge_fairmot.contracts.Runtime.infer`."""
        if self._session is None:
            raise InferenceError("this runtime is closed: open another with open_runtime")
        check_images(images, self.manifest)
        try:
            outputs = self._session.run(OUTPUTS, {"images": np.ascontiguousarray(images)})
        except Exception as error:  # as above
            raise InferenceError(_explain("this file", str(error))) from error
        return check_outputs(RawDetections(*outputs), self.name)

    def close(self) -> None:
        """Release the session."""
        self._session = None


def _explain(path: str, message: str) -> str:
    version = onnxruntime.__version__
    if "DeformConv" in message:
        return (
            f"{path} needs DeformConv, which ONNX Runtime {version} does not have: "
            "pip install -U 'onnxruntime>=1.25', or convert with --deform-conv gather"
        )
    if "INVALID_PROTOBUF" in message or "Protobuf parsing failed" in message:
        return f"{path} is not an ONNX file, or is cut short: convert the checkpoint again"
    return f"ONNX Runtime {version} cannot run {path}: {' '.join(message.split())}"
