"""OpenCV's dnn module: runs float32 files where nothing else is installed, for OpenCV is there in any case.

OpenCV 5 computes the whole graph. It has no ``DeformConv`` and does not run these quantized graphs.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge_fairmot.errors import InferenceError, RuntimeUnavailableError
from edge_fairmot.model_file import read_onnx_file
from edge_fairmot.runtimes.checks import (
    SUPPORTED_OPTIONS,
    CheckedRuntime,
    RuntimeOptions,
    check_float_file,
    unsupported_operator_hint,
)
from edge_fairmot.runtimes.host_decoder import complete, output_names

FIRST_VERSION = 5
"""OpenCV 4 lacks operators of the decoding, and computes in another engine."""


class OpenCvRuntime(CheckedRuntime):
    """Runs an exported float32 file with OpenCV's dnn module, on the CPU. It has no options.

    The number of threads is that of OpenCV in the whole process (``cv2.setNumThreads``).
    """

    def __init__(self, path: str | Path, options: RuntimeOptions | None = None) -> None:
        options = options or RuntimeOptions()
        options.check_supported("opencv", *SUPPORTED_OPTIONS["opencv"])
        if not list_devices("opencv"):
            raise RuntimeUnavailableError(
                f"runtime opencv needs OpenCV 5, and this is {cv2.__version__}: "
                "pip install -U 'opencv-python-headless>=5', or take --runtime cpu"
            )
        file = read_onnx_file(path)
        check_float_file("opencv", file)
        if "DeformConv" in file.operators:  # OpenCV would write its warnings first
            hint = unsupported_operator_hint("DeformConv")
            raise InferenceError(f"OpenCV {cv2.__version__} cannot run {path}{hint}")
        try:
            network = cv2.dnn.readNetFromONNX(np.fromfile(path, np.uint8))
        except cv2.error as error:
            message = str(error)
            raise InferenceError(_explain(str(path), message) + unsupported_operator_hint(message)) from error
        names = output_names(file.manifest)

        def run(images: npt.NDArray[Any]) -> list[Any]:
            network.setInput(images, "images")
            return [np.array(output) for output in network.forward(names)]

        super().__init__(
            "opencv", file.manifest, complete(path, file.manifest, run), partial(_explain, "this file")
        )


def list_devices(_: str) -> tuple[str, ...]:
    """List the devices: the CPU, or none if OpenCV is too old."""
    return ("CPU",) if int(cv2.__version__.partition(".")[0]) >= FIRST_VERSION else ()


def _explain(subject: str, message: str) -> str:
    """Put an error of OpenCV into one line."""
    return f"OpenCV {cv2.__version__} cannot run {subject}: {' '.join(message.split())}"
