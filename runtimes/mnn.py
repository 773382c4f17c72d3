"""MNN: a runtime for the processors of phones and boards.

MNN has an own form of networks. Its converter makes it of the core file when that is opened, in some seconds;
``cache_folder`` keeps it.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_fairmot.errors import InferenceError, MissingDependencyError
from edge_fairmot.manifest import CORE
from edge_fairmot.model_file import hash_graph, read_onnx_file
from edge_fairmot.runtimes.checks import (
    SUPPORTED_OPTIONS,
    CheckedRuntime,
    RuntimeOptions,
    make_cache_folder,
    unsupported_operator_hint,
)
from edge_fairmot.runtimes.host_decoder import CORE_OUTPUTS, complete
from edge_fairmot.system import atomic_write


@contextmanager
def _quiet() -> Iterator[None]:
    """Drop what MNN itself writes to the standard output, which is that of edge-fairmot (``--json``)."""
    library = ctypes.CDLL(None)
    library.fflush(None)
    kept = os.dup(1)
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    try:
        yield
    finally:
        library.fflush(None)
        os.dup2(kept, 1)
        os.close(kept)


try:
    with _quiet():
        import MNN
except ModuleNotFoundError as error:
    raise MissingDependencyError("MNN", "mnn", "by runtime mnn") from error

# MNN's command mnnconvert would install a package and report its use; this is the module below that command.
# It prints much, and in a process of its own it does not write into the output of edge-fairmot.
CONVERTER = "import sys, _tools; sys.exit(0 if _tools.mnnconvert(['mnnconvert', *sys.argv[1:]]) else 1)"

LIMIT_S = 300
"""Time limit of the conversion; it takes 4 s on a computer."""


class MnnRuntime(CheckedRuntime):
    """Runs a core file with MNN, on the CPU, in float32. Options are ``threads`` and ``cache_folder``."""

    def __init__(self, path: str | Path, options: RuntimeOptions | None = None) -> None:
        options = options or RuntimeOptions()
        options.check_supported("mnn", *SUPPORTED_OPTIONS["mnn"])
        file = read_onnx_file(path)
        if file.manifest.graph != CORE or "DeformConv" in file.operators:
            raise InferenceError(
                f"runtime mnn runs core files without DeformConv only, and {path} is none: convert the "
                "checkpoint again with --for mnn"
            )
        with _converted(Path(path), options.cache_folder) as converted:
            network = _load(str(converted), options.threads or os.cpu_count() or 1)

        def run(images: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
            given = MNN.expr.const(images, list(images.shape), MNN.expr.NCHW, MNN.expr.float)
            found = network.forward([given])
            if len(found) != len(CORE_OUTPUTS):
                raise InferenceError("it computes nothing")
            return [np.array(MNN.expr.convert(value, MNN.expr.NCHW).read()) for value in found]

        manifest = file.manifest
        super().__init__("mnn", manifest, complete(path, manifest, run), partial(_explain, "this file"))


def list_devices(_: str) -> tuple[str, ...]:
    """List the devices: the CPU."""
    return ("CPU",)


@contextmanager
def _converted(path: Path, cache_folder: Path | None) -> Iterator[Path]:
    """Give a file in MNN's form, which is kept in the cache folder or removed at the end."""
    if cache_folder is None:
        with tempfile.TemporaryDirectory(prefix="edge-fairmot-") as folder:
            _convert(path, Path(folder, "network.mnn"))
            yield Path(folder, "network.mnn")
        return
    kept = Path(make_cache_folder(cache_folder), f"{hash_graph(path)[:16]}-{MNN.version()}.mnn")
    if not kept.exists():
        with atomic_write(kept) as partial_file:
            _convert(path, partial_file)
    yield kept


def _convert(path: Path, output: Path) -> None:
    files = ["--modelFile", str(path.resolve()), "--MNNModel", str(output.resolve())]
    command = [sys.executable, "-c", CONVERTER, "-f", "ONNX", *files, "--bizCode", "edge-fairmot"]
    try:
        made = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    except subprocess.TimeoutExpired as error:
        raise InferenceError(_explain(str(path), f"its converter took more than {LIMIT_S} s")) from error
    if made.returncode or not output.is_file():
        message = (made.stderr or made.stdout).strip().rpartition("\n")[2]
        raise InferenceError(_explain(str(path), message) + unsupported_operator_hint(made.stdout))


def _load(path: str, threads: int) -> Any:
    options = {"backend": "CPU", "precision": "high", "numThread": threads}
    with _quiet():
        manager = MNN.nn.create_runtime_manager((options,))
        return MNN.nn.load_module_from_file(path, ["images"], list(CORE_OUTPUTS), runtime_manager=manager)


def _explain(subject: str, message: str) -> str:
    """Put an error into one line."""
    return f"MNN {MNN.version()} cannot run {subject}: {message}"
