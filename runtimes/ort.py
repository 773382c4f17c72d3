"""ONNX Runtime: the CPU, CUDA and TensorRT providers.

The requested provider runs the file, or opening raises an error: ONNX Runtime itself would fall back to the
CPU. On a GPU the input and the outputs are bound to buffers on the device, so a call copies only one batch to
the device and the detections back.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from edge_fairmot.errors import (
    InferenceError,
    InvalidInputError,
    MissingDependencyError,
    RuntimeUnavailableError,
)
from edge_fairmot.manifest import ModelManifest
from edge_fairmot.model_file import read_onnx_file, with_unsigned_activations
from edge_fairmot.runtimes.checks import (
    SUPPORTED_OPTIONS,
    CheckedRuntime,
    RuntimeOptions,
    int8_sums_overflow,
    make_cache_folder,
    unsupported_operator_hint,
)
from edge_fairmot.runtimes.host_decoder import complete, image_array, output_names
from edge_fairmot.runtimes.registry import X86, gpu_install_command, package_conflict

try:
    import onnxruntime
except ModuleNotFoundError as error:
    raise MissingDependencyError(
        "onnxruntime",
        "cpu",
        "by runtimes cpu, cuda and tensorrt",
        "pip install 'edge-fairmot[cpu]', or 'edge-fairmot[cuda]' for an NVIDIA GPU",
    ) from error

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"

DEVICES = {"cpu": (CPU, "CPU"), "cuda": (CUDA, "NVIDIA GPU"), "tensorrt": (TENSORRT, "NVIDIA GPU")}
"""Provider and device of each runtime."""

Provider: TypeAlias = tuple[str, dict[str, str]]
"""Name of an execution provider and its options, as ``onnxruntime.InferenceSession`` takes them."""


class CpuRuntime(CheckedRuntime):
    """Runs an exported file with the CPU provider. ``threads`` is its one option."""

    def __init__(self, path: str | Path, options: RuntimeOptions | None = None) -> None:
        options = options or RuntimeOptions()
        options.check_supported("cpu", *SUPPORTED_OPTIONS["cpu"])
        manifest = read_onnx_file(path).manifest
        session = open_session(Path(path), [CPU], options.threads)
        names = output_names(manifest)
        run = complete(path, manifest, lambda images: session.run(names, {"images": images}))
        super().__init__("cpu", manifest, run, _explain_run)


class CudaRuntime(CheckedRuntime):
    """Runs an exported file with the CUDA provider. ``device`` is the number of the GPU, 0 by default."""

    def __init__(self, path: str | Path, options: RuntimeOptions | None = None) -> None:
        options = options or RuntimeOptions()
        options.check_supported("cuda", *SUPPORTED_OPTIONS["cuda"])
        manifest = read_onnx_file(path).manifest
        session = _open_on_gpu(Path(path), manifest, options, [cuda_provider(options)])
        run = complete(path, manifest, session.run)
        super().__init__(f"cuda:{device_number(options)}", manifest, run, _explain_run)


class TensorRtRuntime(CheckedRuntime):
    """Runs an exported file with the TensorRT provider, and what TensorRT cannot run with CUDA.

    The engine has the file's precision; ``precision`` may be ``fp16`` for an fp32 file. ``device`` is the
    number of the GPU. An engine takes minutes to build; ``cache_folder`` keeps it for the next start.
    """

    def __init__(self, path: str | Path, options: RuntimeOptions | None = None) -> None:
        options = options or RuntimeOptions()
        options.check_supported("tensorrt", *SUPPORTED_OPTIONS["tensorrt"])
        manifest = read_onnx_file(path).manifest
        providers = [tensorrt_provider(options, manifest.default_precision), cuda_provider(options)]
        session = _open_on_gpu(Path(path), manifest, options, providers)
        run = complete(path, manifest, session.run)
        super().__init__(f"tensorrt:{device_number(options)}", manifest, run, _explain_run)


class BoundSession:
    """A session whose input and outputs stay on a device, ``cuda`` or ``cpu``."""

    def __init__(self, session: Any, manifest: ModelManifest, device: str, device_id: int) -> None:
        width, height = manifest.input_size
        empty = image_array(np.zeros((manifest.batch_size, height, width, 3), np.uint8), manifest)
        self._session = session
        self._images = onnxruntime.OrtValue.ortvalue_from_numpy(empty, device, device_id)
        self._binding = session.io_binding()
        self._binding.bind_ortvalue_input("images", self._images)
        for name in output_names(manifest):
            self._binding.bind_output(name, device, device_id)

    def run(self, images: npt.NDArray[Any]) -> Sequence[Any]:
        """Copy a contiguous batch to the device, run, and copy the outputs back."""
        self._images.update_inplace(images)
        self._session.run_with_iobinding(self._binding)
        outputs: Sequence[Any] = self._binding.copy_outputs_to_cpu()
        return outputs


def open_session(
    path: Path,
    providers: Sequence[str | Provider],
    threads: int | None = None,
    *,
    profile_to: Path | None = None,
) -> Any:
    """Open a file as an ``onnxruntime.InferenceSession``; InferenceError if ONNX Runtime cannot run it.

    On x86 processors the fast kernels take unsigned activations. ONNX Runtime makes them so itself, but not
    through a concatenation: the convolutions behind one would run in float.

    With ``profile_to`` the session writes the times of its nodes to a file whose name begins so.
    """
    options = make_session_options(threads)
    if profile_to is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile_to)
    model = None
    if list(providers) == [CPU] and platform.machine() in X86:
        model = with_unsigned_activations(path)
    try:
        return onnxruntime.InferenceSession(model or str(path), options, providers=list(providers))
    except Exception as error:  # its exceptions have no other base in common
        message = str(error)
        raise InferenceError(_explain(str(path), message) + unsupported_operator_hint(message)) from error


def make_session_options(threads: int | None = None) -> Any:
    """Return the ``onnxruntime.SessionOptions`` of every session; ``threads`` is for one operator."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only: the warnings are about nodes that could be folded
    if threads is not None:
        options.intra_op_num_threads = threads
    if int8_sums_overflow():
        # This entry selects kernels with exact sums. With VNNI all kernels are exact, and the entry would
        # make int8 convolutions 2.5 times slower.
        options.add_session_config_entry("session.x64quantprecision", "1")
    return options


def list_devices(runtime: str) -> tuple[str, ...]:
    """List the devices of ``cpu``, ``cuda`` or ``tensorrt``; none if this ONNX Runtime lacks the provider."""
    provider, device = DEVICES[runtime]
    return (device,) if provider in onnxruntime.get_available_providers() else ()


def device_number(options: RuntimeOptions) -> int:
    """Return the number of the GPU; InvalidInputError if ``device`` is not a number."""
    if options.device and not options.device.isdecimal():
        raise InvalidInputError(f"device {options.device!r} is not the number of a GPU, as in 0")
    return int(options.device or 0)


def cuda_provider(options: RuntimeOptions) -> Provider:
    """Return the CUDA provider, without TF32: the certificate is of float32."""
    return CUDA, {"device_id": str(device_number(options)), "use_tf32": "0"}


def tensorrt_provider(options: RuntimeOptions, default_precision: str) -> Provider:
    """Return the TensorRT provider for a file; InvalidInputError if it cannot be run in ``precision``."""
    if options.precision == "bf16" or (options.precision, default_precision) == ("fp32", "fp16"):
        raise InvalidInputError(
            f"runtime tensorrt does not run an {default_precision} file in {options.precision}: leave "
            "--inference-precision out, or give fp16 for an fp32 file"
        )
    fp16 = "fp16" in (default_precision, options.precision)
    settings = {
        "device_id": str(device_number(options)),
        "trt_fp16_enable": str(int(fp16)),
        "trt_int8_enable": str(int(default_precision == "int8")),
    }
    if options.cache_folder is not None:
        folder = make_cache_folder(options.cache_folder)
        settings |= {
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": folder,
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": folder,
        }
    return TENSORRT, settings


def _open_on_gpu(
    path: Path, manifest: ModelManifest, options: RuntimeOptions, providers: Sequence[Provider]
) -> BoundSession:
    """Open a file with the first of the providers; RuntimeUnavailableError if that one does not start."""
    wanted = providers[0][0]
    if wanted not in onnxruntime.get_available_providers():
        reason = (
            package_conflict() or f"this ONNX Runtime {onnxruntime.__version__} was built without {wanted}"
        )
        raise RuntimeUnavailableError(f"{reason}: {gpu_install_command()}")
    session = open_session(path, providers)
    if wanted not in session.get_providers():
        conflict = package_conflict()
        raise RuntimeUnavailableError(
            f"{wanted} did not start: {conflict + '; ' if conflict else ''}check that nvidia-smi lists GPU "
            f"{device_number(options)}, and that CUDA, cuDNN and TensorRT are the versions that ONNX Runtime "
            f"{onnxruntime.__version__} was built for"
        )
    return BoundSession(session, manifest, "cuda", device_number(options))


def _explain(subject: str, message: str) -> str:
    """Put an error of ONNX Runtime into one line."""
    return f"ONNX Runtime {onnxruntime.__version__} cannot run {subject}: {' '.join(message.split())}"


_explain_run = partial(_explain, "this file")
