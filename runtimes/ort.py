"""ONNX Runtime on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_fairmot.errors import InferenceError
from edge_fairmot.runtimes.checks import OUTPUTS, check_images, check_outputs
from edge_fairmot.runtimes.options import RuntimeOptions, options_of
from edge_fairmot.runtimes.ort_session import explain, open_session, read_manifest
from edge_fairmot.types import RawDetections, UInt8Array


class CpuRuntime:
    """Runs an exported file with ONNX Runtime's CPU provider.

    Parameters
    ----------
    path : str or Path
        A file made by ``edge-fairmot convert``.
    options : RuntimeOptions, optional
        ``threads`` alone can be set.

    Raises
    ------
    InferenceError
        If the file is missing, damaged, or holds an operator that this ONNX Runtime does not know.
    ManifestError
        If the file has no manifest.
    """

    name = "cpu"

    def __init__(self, path: str | Path, options: RuntimeOptions | None = None) -> None:
        options = options or RuntimeOptions()
        options.refuse_all_but(self.name, *options_of(self.name))
        session = open_session(Path(path), ["CPUExecutionProvider"], options.threads)
        self.manifest = read_manifest(session, str(path))
        self._session = session

    def infer(self, images: UInt8Array) -> RawDetections:
        """Run the network; see :meth:`edge_fairmot.contracts.Runtime.infer`."""
        if self._session is None:
            raise InferenceError("this runtime is closed: open another with open_runtime")
        check_images(images, self.manifest)
        try:
            outputs = self._session.run(OUTPUTS, {"images": np.ascontiguousarray(images)})
        except Exception as error:  # its exceptions share no base but Exception
            raise InferenceError(explain("this file", str(error))) from error
        return check_outputs(RawDetections(*outputs), self.name)

    def close(self) -> None:
        """Release the session."""
        self._session = None
