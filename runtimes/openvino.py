"""OpenVINO: Intel CPUs, GPUs and NPUs, and other x86 and ARM processors.

This is the native package, not ONNX Runtime's OpenVINO provider: it reads the same file, int8 included, and
fuses more of it. Its ONNX frontend has no rule for our deformable convolutions; ``openvino_operators`` adds
exact rules.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy.typing as npt

from edge_fairmot.errors import (
    InferenceError,
    InvalidInputError,
    MissingDependencyError,
    RuntimeUnavailableError,
)
from edge_fairmot.model_file import read_onnx_file
from edge_fairmot.runtimes.checks import (
    SUPPORTED_OPTIONS,
    CheckedRuntime,
    RuntimeOptions,
    make_cache_folder,
    unsupported_operator_hint,
)
from edge_fairmot.runtimes.host_decoder import complete, output_names

try:
    import openvino
except ModuleNotFoundError as error:
    raise MissingDependencyError("openvino", "openvino", "by runtime openvino") from error

from edge_fairmot.runtimes.openvino_operators import operator_extensions

PRECISIONS = {"fp32": "f32", "fp16": "f16", "bf16": "bf16"}
"""OpenVINO's names of the precisions."""

VIRTUAL_DEVICES = ("AUTO", "MULTI", "HETERO", "BATCH")
"""Devices that choose among the others."""


class OpenVinoRuntime(CheckedRuntime):
    """Runs an exported file with OpenVINO.

    ``device`` is ``CPU`` by default; others are ``GPU``, ``GPU.1``, ``NPU``, ``AUTO``, ``AUTO:GPU,CPU``. With
    the hint ``throughput`` it takes ``parallel_calls`` at a time, from several threads.
    """

    def __init__(self, path: str | Path, options: RuntimeOptions | None = None) -> None:
        options = options or RuntimeOptions()
        options.check_supported("openvino", *SUPPORTED_OPTIONS["openvino"])
        manifest = read_onnx_file(path).manifest
        device = options.device or "CPU"
        name = f"openvino:{device}"
        with kept_signal_stack():
            compiled = compile_file(str(path), device, options, set(manifest.deform_conv.values()))
            wanted = "OPTIMAL_NUMBER_OF_INFER_REQUESTS"
            self.parallel_calls = int(compiled.get_property(wanted)) if options.hint == "throughput" else 1
            requests: SimpleQueue[Any] = SimpleQueue()
            for _ in range(self.parallel_calls):
                requests.put(compiled.create_infer_request())

        names = output_names(manifest)

        def run(images: npt.NDArray[Any]) -> list[Any]:
            request = requests.get()
            try:
                results = request.infer({"images": images}, share_inputs=True, share_outputs=False)
                return [results[output] for output in names]
            finally:
                requests.put(request)

        super().__init__(name, manifest, complete(path, manifest, run), partial(_explain, "this file", name))


@contextmanager
def kept_signal_stack() -> Iterator[None]:
    """Restore this thread's alternate signal stack at the end.

    OpenVINO's CPU device gives a stack to the thread that loads it, and unmaps it in the thread where its
    last model ends. If that is another thread, the next signal in this one (Ctrl-C) kills the process.
    """
    if not sys.platform.startswith("linux"):
        yield
        return
    libc, before = ctypes.CDLL(None), _SignalStack()
    known = libc.sigaltstack(None, ctypes.byref(before)) == 0
    try:
        yield
    finally:
        if known:
            libc.sigaltstack(ctypes.byref(before), None)


class _SignalStack(ctypes.Structure):
    """``stack_t`` of Linux."""

    _fields_ = (("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def list_devices(_: str) -> tuple[str, ...]:
    """List the devices that OpenVINO finds on this machine."""
    with kept_signal_stack():
        return tuple(openvino.Core().available_devices)


def compile_file(
    path: str, device: str, options: RuntimeOptions, lowerings: set[str], *, profiled: bool = False
) -> Any:
    """Compile a file with these lowerings as an ``openvino.CompiledModel``; ``profiled`` counts operators.

    InferenceError if OpenVINO cannot run it.
    """
    core = openvino.Core()
    _check_device(core, device)
    _check_precision(core, device, options.precision)
    for extension in operator_extensions(device, lowerings, options.threads):
        core.add_extension(extension)
    properties = _properties(options, device) | ({"PERF_COUNT": True} if profiled else {})
    try:
        # Given the path, OpenVINO does not read a file whose compiled model is in the cache.
        return core.compile_model(path, device, properties)
    except Exception as error:  # its exceptions have no other base in common
        message = str(error)
        hint = unsupported_operator_hint(message)
        if not hint and "No conversion rule found" in message:
            hint = "; pip install -U openvino, or take --runtime cpu"
        raise InferenceError(_explain(path, device, message) + hint) from error


def _check_device(core: Any, device: str) -> None:
    """Raise RuntimeUnavailableError if the device does not exist here."""
    available = core.available_devices
    kind = device.partition(":")[0]
    if kind not in VIRTUAL_DEVICES and device not in available and kind not in available:
        raise RuntimeUnavailableError(
            f"OpenVINO {_version()} finds no device {device!r} here, only "
            f"{', '.join(available)} and AUTO: choose one, or install the driver of {kind}"
        )


def _check_precision(core: Any, device: str, precision: str) -> None:
    """Raise InvalidInputError for a precision that the device would silently replace by another."""
    if not precision:
        return
    kind, _, choice = device.partition(":")
    devices = [device]
    if kind in VIRTUAL_DEVICES:
        devices = choice.split(",") if choice else core.available_devices
    for name in devices:
        capabilities = core.get_property(name.partition("(")[0], "OPTIMIZATION_CAPABILITIES")
        if precision.upper() not in capabilities:
            offered = ", ".join(name for name in PRECISIONS if name.upper() in capabilities)
            raise InvalidInputError(
                f"OpenVINO's {name} does not compute in {precision} here, only in {offered}: "
                "choose one of these, or leave --inference-precision out"
            )


def _properties(options: RuntimeOptions, device: str) -> dict[str, object]:
    properties: dict[str, object] = {"PERFORMANCE_HINT": options.hint.upper()}
    # Without this OpenVINO takes bf16 or f16 where they are faster; the certificate is of float32.
    precision = options.precision or ("" if device.startswith("NPU") else "fp32")
    if precision:
        properties["INFERENCE_PRECISION_HINT"] = PRECISIONS[precision]
    if options.threads is not None:
        properties["INFERENCE_NUM_THREADS"] = options.threads
    if options.cache_folder is not None:
        properties["CACHE_DIR"] = make_cache_folder(options.cache_folder)
    return properties


def _explain(subject: str, device: str, message: str) -> str:
    """Put an error of OpenVINO into one line."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    # Its messages begin with places in its own source code; the reason is the last line.
    reasons = [line for line in lines if not line.startswith(("Exception from", "Summary"))]
    reason = reasons[-1].lstrip("- ") if reasons else message.strip()
    return f"OpenVINO {_version()} cannot run {subject} on {device}: {reason}"


def _version() -> str:
    return str(openvino.__version__).partition("-")[0]
