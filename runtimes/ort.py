"""ONNX Runtime on the CPU."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import numpy as np

from edge_fairmot.errors import (
    InferenceError,
    InvalidInputError,
    MissingDependencyError,
    RuntimeUnavailableError,
)
from edge_fairmot.manifest import ModelManifest
from edge_fairmot.model_file import read_onnx_file
from edge_fairmot.runtimes.checks import (
    OUTPUTS,
    RuntimeOptions,
    check_images,
    check_model_file,
    check_outputs,
    explain_refusal,
    options_of,
)
from edge_fairmot.system import read_text
from edge_fairmot.types import RawDetections, UInt8Array

# FOLDED ort_packages.py: Which packages brought ONNX Runtime: more than one is a trap, since all fill the same folder.

TEGRA_RELEASE = Path("/etc/nv_tegra_release")
"""On a Jetson only."""


def ort_packages() -> tuple[str, ...]:
    """List the distributions installed here that bring ``onnxruntime``."""
    return tuple(sorted(set(packages_distributions().get("onnxruntime", ()))))


def explain_conflict(packages: tuple[str, ...]) -> str:
    """Say, without a remedy, what is wrong where there is more than one; empty where there is not.

    Parameters
    ----------
    packages : tuple of str
        From :func:`ort_packages`.
    """
    if len(packages) < 2:
        return ""
    return (
        f"{' and '.join(packages)} overwrite each other's files, "
        "and only the providers of the one installed last are left"
    )


def gpu_install_line(packages: tuple[str, ...], *, jetson: bool) -> str:
    """Write the command that brings the CUDA and TensorRT providers in place of what is there.

    Parameters
    ----------
    packages : tuple of str
        From :func:`ort_packages`.
    jetson : bool
        Whether this is a Jetson, whose wheels come from NVIDIA: see ``TEGRA_RELEASE``.
    """
    wheel = (
        "the onnxruntime-gpu wheel made for your JetPack (examples/jetson)" if jetson else "onnxruntime-gpu"
    )
    removal = f"pip uninstall -y {' '.join(packages)} && " if packages else ""
    return f"{removal}pip install {wheel}"


# FOLDED processor.py: Whether this processor adds up int8 products without loss.

VNNI = frozenset({"avx512_vnni", "avx_vnni"})
"""Instructions that add up int8 products in 32 bits, as Linux names them."""


def int8_sums_overflow(root: Path = Path("/")) -> bool:
    """Tell whether fast int8 kernels may give wrong sums here: on x86 processors without VNNI.

    They add up pairs of products in 16 bits there, which weights that use all 8 bits overflow (onnxruntime
    issues 12072 and 14642; oneDNN calls it saturation of the intermediate).

    Parameters
    ----------
    root : Path
        Where ``proc`` is.
    """
    # ARM has "Features" in the place of flags, and no such instructions.
    flags = re.search(r"^flags\s*:(.*)$", read_text(root / "proc/cpuinfo"), re.MULTILINE)
    return flags is not None and VNNI.isdisjoint(flags[1].split())


# FOLDED ort_session.py: What ONNX Runtime's providers share: opening a file, its manifest, and errors in a user's words.

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


# FOLDED ort_gpu.py: ONNX Runtime on NVIDIA GPUs: the CUDA and TensorRT providers. Input and outputs are bound to buffers that stay on the device, so that a call moves one picture there and the detections back, and nothing else. A provider that is not there, or does not start, is an error: ONNX Runtime by itself would g

try:
    import onnxruntime
except ModuleNotFoundError as error:
    raise MissingDependencyError("onnxruntime-gpu", "cuda", "by runtimes cuda and tensorrt") from error

CUDA, TENSORRT = "CUDAExecutionProvider", "TensorrtExecutionProvider"


class BoundSession:
    """A session whose input and outputs stay on one device.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
    manifest : ModelManifest
    device : str
        ``cuda`` or ``cpu``.
    device_id : int
    """

    def __init__(self, session: Any, manifest: ModelManifest, device: str, device_id: int) -> None:
        width, height = manifest.input_size
        empty = np.zeros((manifest.batch_size, height, width, 3), np.uint8)
        self._session = session
        self._images = onnxruntime.OrtValue.ortvalue_from_numpy(empty, device, device_id)
        self._binding = session.io_binding()
        self._binding.bind_ortvalue_input("images", self._images)
        for name in OUTPUTS:
            self._binding.bind_output(name, device, device_id)

    def run(self, images: UInt8Array) -> RawDetections:
        """Copy a batch to the device, run, copy the detections back."""
        self._images.update_inplace(np.ascontiguousarray(images))
        self._session.run_with_iobinding(self._binding)
        return RawDetections(*self._binding.copy_outputs_to_cpu())


class CudaRuntime:
    """Runs an exported file with ONNX Runtime's CUDA provider.

    Parameters
    ----------
    path : str or Path
        A file made by ``edge-fairmot convert``.
    options : RuntimeOptions, optional
        ``device`` is the number of the GPU, ``0`` unless given.

    Raises
    ------
    RuntimeUnavailableError
        If the provider, its libraries or the GPU are not there.
    InferenceError
        If the file is missing, damaged, or cannot be run.
    ManifestError
        If the file has no manifest.
    """

    def __init__(self, path: str | Path, options: RuntimeOptions | None = None) -> None:
        options = options or RuntimeOptions()
        options.refuse_all_but("cuda", *options_of("cuda"))
        self.manifest, self._session = _open(Path(path), CUDA, options, [cuda_provider(options)])
        self.name = f"cuda:{device_number(options)}"

    def infer(self, images: UInt8Array) -> RawDetections:
        """Run the network; see :meth:`edge_fairmot.protocols.Runtime.infer`."""
        return _infer(self._session, images, self.manifest, self.name)

    def close(self) -> None:
        """Release the session."""
        self._session = None


class TensorRtRuntime:
    """Runs an exported file with ONNX Runtime's TensorRT provider; what TensorRT leaves over, with CUDA.

    Parameters
    ----------
    path : str or Path
        A file made by ``edge-fairmot convert``; its precision decides that of the engine.
    options : RuntimeOptions, optional
        ``device`` is the number of the GPU. ``precision`` may be ``fp16`` for an fp32 file. An engine takes
        minutes to build: give a ``cache_folder``.

    Raises
    ------
    RuntimeUnavailableError, InferenceError, ManifestError
        As for :class:`CudaRuntime`.
    """

    def __init__(self, path: str | Path, options: RuntimeOptions | None = None) -> None:
        options = options or RuntimeOptions()
        options.refuse_all_but("tensorrt", *options_of("tensorrt"))
        default_precision = read_onnx_file(path).manifest.default_precision
        providers = [tensorrt_provider(options, default_precision), cuda_provider(options)]
        self.manifest, self._session = _open(Path(path), TENSORRT, options, providers)
        self.name = f"tensorrt:{device_number(options)}"

    def infer(self, images: UInt8Array) -> RawDetections:
        """Run the network; see :meth:`edge_fairmot.protocols.Runtime.infer`."""
        return _infer(self._session, images, self.manifest, self.name)

    def close(self) -> None:
        """Release the session."""
        self._session = None


def device_number(options: RuntimeOptions) -> int:
    """Read the number of the GPU; InvalidInputError if it is none."""
    if options.device and not options.device.isdecimal():
        raise InvalidInputError(f"device {options.device!r} is not the number of a GPU, as in 0")
    return int(options.device or 0)


def cuda_provider(options: RuntimeOptions) -> tuple[str, dict[str, str]]:
    """Name the CUDA provider and its options. TF32 is off: float32 is what was proven."""
    return CUDA, {"device_id": str(device_number(options)), "use_tf32": "0"}


def tensorrt_provider(options: RuntimeOptions, default_precision: str) -> tuple[str, dict[str, str]]:
    """Name the TensorRT provider and its options.

    Parameters
    ----------
    options : RuntimeOptions
    default_precision : str
        Of the file, see the manifest.

    Raises
    ------
    InvalidInputError
        If the file cannot be run in the precision asked for.
    RuntimeUnavailableError
        If the folder for engines cannot be made.
    """
    if options.precision == "bf16" or (options.precision, default_precision) == ("fp32", "fp16"):
        raise InvalidInputError(
            f"runtime tensorrt does not run an {default_precision} file in {options.precision}: leave "
            "--precision out, or give fp16 for an fp32 file"
        )
    half = "fp16" in (default_precision, options.precision)
    settings = {
        "device_id": str(device_number(options)),
        "trt_fp16_enable": str(int(half)),
        "trt_int8_enable": str(int(default_precision == "int8")),
    }
    if options.cache_folder is not None:
        try:
            options.cache_folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RuntimeUnavailableError(
                f"cannot keep engines in {options.cache_folder}: {error.strerror}; choose another folder"
            ) from error
        folder = str(options.cache_folder)
        settings |= {
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": folder,
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": folder,
        }
    return TENSORRT, settings


def list_devices(runtime: str) -> tuple[str, ...]:
    """Tell whether this ONNX Runtime was built with the provider of ``cuda`` or ``tensorrt``."""
    provider = {"cuda": CUDA, "tensorrt": TENSORRT}[runtime]
    return ("NVIDIA GPU",) if provider in onnxruntime.get_available_providers() else ()


def _open(
    path: Path, provider: str, options: RuntimeOptions, providers: list[tuple[str, dict[str, str]]]
) -> tuple[ModelManifest, BoundSession | None]:
    if provider not in onnxruntime.get_available_providers():
        raise RuntimeUnavailableError(
            missing_provider(provider, ort_packages(), jetson=TEGRA_RELEASE.exists())
        )
    manifest = read_onnx_file(path).manifest
    session = open_session(path, providers)
    if provider not in session.get_providers():
        conflict = explain_conflict(ort_packages())
        raise RuntimeUnavailableError(
            f"{provider} did not start: {conflict + '; ' if conflict else ''}see that nvidia-smi lists GPU "
            f"{device_number(options)}, and that CUDA, cuDNN and TensorRT are those that ONNX Runtime "
            f"{onnxruntime.__version__} was built for"
        )
    return manifest, BoundSession(session, manifest, "cuda", device_number(options))


def missing_provider(provider: str, packages: tuple[str, ...], *, jetson: bool) -> str:
    """Say why a provider is not there, and what mends it.

    Parameters
    ----------
    provider : str
    packages : tuple of str
        Those that brought ONNX Runtime.
    jetson : bool
        See :func:`~edge_fairmot.runtimes.ort.gpu_install_line`.
    """
    built_without = f"this ONNX Runtime {onnxruntime.__version__} was built without {provider}"
    return f"{explain_conflict(packages) or built_without}: {gpu_install_line(packages, jetson=jetson)}"


def _infer(
    session: BoundSession | None, images: UInt8Array, manifest: ModelManifest, name: str
) -> RawDetections:
    if session is None:
        raise InferenceError("this runtime is closed: open another with open_runtime")
    check_images(images, manifest)
    try:
        outputs = session.run(images)
    except Exception as error:  # its exceptions share no base but Exception
        raise InferenceError(explain("this file", str(error))) from error
    return check_outputs(outputs, name)


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
        """Run the network; see :meth:`edge_fairmot.protocols.Runtime.infer`."""
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
