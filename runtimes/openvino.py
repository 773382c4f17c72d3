"""OpenVINO: Intel CPUs, GPUs and NPUs, and other x86 and ARM processors.

The native package, not ONNX Runtime's provider: it reads the same file, int8 included, and fuses more of it.
Its ONNX frontend has no rule for our deformable convolutions: ``openvino_operators`` gives exact ones.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from edge_fairmot.errors import (
    InferenceError,
    InvalidInputError,
    MissingDependencyError,
    RuntimeUnavailableError,
)
from edge_fairmot.model_file import read_onnx_file
from edge_fairmot.runtimes.checks import (
    OUTPUTS,
    RuntimeOptions,
    check_images,
    check_model_file,
    check_outputs,
    explain_refusal,
)
from edge_fairmot.runtimes.openvino_operators import operator_extensions
from edge_fairmot.types import RawDetections, UInt8Array

# FOLDED signal_stack.py: Keeping the stack that a thread's signals are handled on.


class _Stack(ctypes.Structure):
    """``stack_t`` of Linux."""

    _fields_ = (("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextmanager
def kept_signal_stack() -> Iterator[None]:
    """Put this thread's alternate signal stack back as it was.

    OpenVINO's CPU device gives one to the thread that loads it, and unmaps it in whichever thread its last
    model ends. If that is another thread, the next signal here ends the process without a word: Ctrl-C, say.
    """
    if not sys.platform.startswith("linux"):
        yield
        return
    system, before = ctypes.CDLL(None), _Stack()
    known = system.sigaltstack(None, ctypes.byref(before)) == 0
    try:
        yield
    finally:
        if known:
            system.sigaltstack(ctypes.byref(before), None)


try:
    import openvino
except ModuleNotFoundError as error:
    raise MissingDependencyError("openvino", "openvino", "by runtime openvino") from error

PRECISIONS = {"fp32": "f32", "fp16": "f16", "bf16": "bf16"}

VIRTUAL_DEVICES = ("AUTO", "MULTI", "HETERO", "BATCH")
"""They choose among the others."""


class OpenVinoRuntime:
    """Runs an exported file with OpenVINO.

    Parameters
    ----------
    path : str or Path
        A file made by ``edge-fairmot convert``.
    options : RuntimeOptions, optional
        ``device`` is ``CPU`` unless given, or ``GPU``, ``GPU.1``, ``NPU``, ``AUTO``, ``AUTO:GPU,CPU``.

    Raises
    ------
    RuntimeUnavailableError
        If there is no such device here.
    InvalidInputError
        If the device does not compute in the precision asked for.
    InferenceError
        If the file is missing, damaged, or cannot be run on the device.
    ManifestError
        If the file has no manifest.
    """

    def __init__(self, path: str | Path, options: RuntimeOptions | None = None) -> None:
        options = options or RuntimeOptions()
        path = Path(path)
        check_model_file(path)
        self.manifest = read_onnx_file(path).manifest
        device = options.device or "CPU"
        with kept_signal_stack():
            compiled = _compile(path, device, options, set(self.manifest.deform_conv.values()))
        self.name = f"openvino:{device}"
        self._request: Any = compiled.create_infer_request()

    def infer(self, images: UInt8Array) -> RawDetections:
        """Run the network; see :meth:`edge_fairmot.protocols.Runtime.infer`."""
        if self._request is None:
            raise InferenceError("this runtime is closed: open another with open_runtime")
        check_images(images, self.manifest)
        try:
            results = self._request.infer(
                {"images": np.ascontiguousarray(images)}, share_inputs=True, share_outputs=False
            )
        except Exception as error:  # as above
            raise InferenceError(_explain("this file", self.name, str(error))) from error
        return check_outputs(RawDetections(*(results[name] for name in OUTPUTS)), self.name)

    def close(self) -> None:
        """Release the compiled model."""
        self._request = None


def list_devices(_: str) -> tuple[str, ...]:
    """List the devices that OpenVINO finds on this machine."""
    with kept_signal_stack():
        return tuple(openvino.Core().available_devices)


def _compile(path: Path, device: str, options: RuntimeOptions, lowerings: set[str]) -> Any:
    core = openvino.Core()
    _check_device(core, device)
    _check_precision(core, device, options.precision)
    for extension in operator_extensions(device, lowerings, options.threads):
        core.add_extension(extension)
    properties = _properties(options, device)
    try:
        # From the path: a model found in the cache is then not even read.
        return core.compile_model(str(path), device, properties)
    except Exception as error:  # it raises RuntimeError and its kin
        refusal = explain_refusal(path, f"OpenVINO {_version()} on {device}", str(error))
        raise InferenceError(refusal or _explain(str(path), device, str(error))) from error


def _check_device(core: Any, device: str) -> None:
    available = core.available_devices
    kind = device.partition(":")[0]
    if kind not in VIRTUAL_DEVICES and device not in available and kind not in available:
        raise RuntimeUnavailableError(
            f"OpenVINO {_version()} finds no device {device!r} here, only "
            f"{', '.join(available)} and AUTO: choose one, or install the driver of {kind}"
        )


def _check_precision(core: Any, device: str, precision: str) -> None:
    """Refuse what the device would quietly compute in another precision."""
    if not precision:
        return
    kind, _, behind = device.partition(":")
    devices = (
        (behind.split(",") if behind else core.available_devices) if kind in VIRTUAL_DEVICES else [device]
    )
    for name in devices:
        able = core.get_property(name.partition("(")[0], "OPTIMIZATION_CAPABILITIES")
        if precision.upper() not in able:
            offered = ", ".join(asked for asked in PRECISIONS if asked.upper() in able)
            raise InvalidInputError(
                f"OpenVINO's {name} does not compute in {precision} here, only in {offered}: "
                "choose one of these, or leave --precision out"
            )


def _properties(options: RuntimeOptions, device: str) -> dict[str, object]:
    properties: dict[str, object] = {"PERFORMANCE_HINT": options.hint.upper()}
    # On its own OpenVINO computes in bf16 or f16 where the device is faster so, which is not what was proven.
    precision = options.precision or ("" if device.startswith("NPU") else "fp32")
    if precision:
        properties["INFERENCE_PRECISION_HINT"] = PRECISIONS[precision]
    if options.threads is not None:
        properties["INFERENCE_NUM_THREADS"] = options.threads
    if options.cache_folder is not None:
        try:
            options.cache_folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RuntimeUnavailableError(
                f"cannot keep models in {options.cache_folder}: {error.strerror}; choose another folder"
            ) from error
        properties["CACHE_DIR"] = str(options.cache_folder)
    return properties


def _explain(path: str, device: str, message: str) -> str:
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    # Its messages begin with places in its own source; the reason comes last.
    reason = next(
        (line for line in reversed(lines) if not line.startswith(("Exception from", "Summary"))), ""
    )
    if "No conversion rule found" in message:
        return (
            f"OpenVINO {_version()} cannot read {path}: {reason}; pip install -U openvino, or --runtime cpu"
        )
    return f"OpenVINO {_version()} cannot run {path} on {device}: {reason or message.strip()}"


def _version() -> str:
    return str(openvino.__version__).partition("-")[0]
