"""ncnn: a small runtime for the processors of phones and boards, ARM above all.

ncnn has an own form of networks. It is made of the core file when that is opened, without a converter.
"""

from __future__ import annotations

import os
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_fairmot.errors import InferenceError, MissingDependencyError
from edge_fairmot.manifest import CORE
from edge_fairmot.model_file import read_onnx_file
from edge_fairmot.runtimes.checks import SUPPORTED_OPTIONS, CheckedRuntime, RuntimeOptions
from edge_fairmot.runtimes.host_decoder import CORE_OUTPUTS, complete
from edge_fairmot.runtimes.ncnn_network import translate
from edge_fairmot.runtimes.onnx_graph import read_graph

SPINNING = "GOMP_SPINCOUNT"
"""Setting of OpenMP, which is read when its library is loaded."""

try:
    # Threads that spin while they wait take the cores from the rest of the loop: with two threads on two busy
    # cores a frame took 1 to 9 s instead of 0.1 to 0.2.
    spins_already = SPINNING in os.environ
    os.environ.setdefault(SPINNING, "0")
    import ncnn
except ModuleNotFoundError as error:
    raise MissingDependencyError("ncnn", "ncnn", "by runtime ncnn") from error
finally:
    if not spins_already:
        del os.environ[SPINNING]

HALF_PRECISION = (
    "use_fp16_packed",
    "use_fp16_storage",
    "use_fp16_arithmetic",
    "use_bf16_packed",
    "use_bf16_storage",
)
"""Options of ncnn, some of them on in itself. The certificate is of float32; bf16 loses the peaks."""


class NcnnRuntime(CheckedRuntime):
    """Runs a core file with ncnn, on the CPU, in float32. ``threads`` is its one option."""

    def __init__(self, path: str | Path, options: RuntimeOptions | None = None) -> None:
        options = options or RuntimeOptions()
        options.check_supported("ncnn", *SUPPORTED_OPTIONS["ncnn"])
        manifest = read_onnx_file(path).manifest
        if manifest.graph != CORE:
            raise InferenceError(
                f"runtime ncnn runs core files only, and {path} is a {manifest.graph} one: convert the "
                "checkpoint again with --for ncnn"
            )
        network = _load(Path(path), options)

        def run(images: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
            rows = [_run_one(network, image) for image in images]
            return [np.stack(column) for column in zip(*rows, strict=True)]

        super().__init__("ncnn", manifest, complete(path, manifest, run), partial(_explain, "this file"))


def list_devices(_: str) -> tuple[str, ...]:
    """List the devices: the CPU."""
    return ("CPU",)


def _load(path: Path, options: RuntimeOptions) -> Any:
    text, weights = translate(read_graph(path), CORE_OUTPUTS)
    network = ncnn.Net()
    network.opt.use_vulkan_compute = False
    for name in HALF_PRECISION:
        setattr(network.opt, name, False)
    if options.threads is not None:
        network.opt.num_threads = options.threads
    with tempfile.NamedTemporaryFile(prefix="edge-fairmot-", suffix=".bin") as file:
        file.write(weights)
        file.flush()
        if network.load_param_mem(text) or network.load_model(file.name):
            raise InferenceError(_explain(str(path), "it does not load the network"))
    return network


def _run_one(network: Any, image: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
    """Run one image, float32 (3, H, W)."""
    extractor = network.create_extractor()
    extractor.input("images", ncnn.Mat(image).clone())  # a Mat does not keep its array alive
    found = []
    for name in CORE_OUTPUTS:
        status, values = extractor.extract(name)
        if status:
            raise InferenceError(f"output {name} fails with status {status}")
        found.append(np.array(values))
    return found


def _explain(subject: str, message: str) -> str:
    """Put an error into one line."""
    return f"ncnn {ncnn.__version__} cannot run {subject}: {message}"
