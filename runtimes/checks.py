"""What every built-in runtime checks: its options, the images that go in, and the outputs that come out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from edge_fairmot.detector import check_outputs
from edge_fairmot.errors import InferenceError, InvalidInputError, RuntimeUnavailableError
from edge_fairmot.manifest import ModelManifest
from edge_fairmot.model_file import OnnxFile
from edge_fairmot.system import ROOT, read_sysfs
from edge_fairmot.types import RawDetections, UInt8Array

OUTPUTS = ("boxes", "scores", "class_ids", "embeddings")
"""Outputs of the graph contract, in the order of ``RawDetections``."""

PRECISIONS = ("", "fp32", "fp16", "bf16")
HINTS = ("latency", "throughput")

SUPPORTED_OPTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "cpu": ("threads",),
        "openvino": ("device", "threads", "precision", "hint", "cache_folder"),
        "cuda": ("device",),
        "tensorrt": ("device", "precision", "cache_folder"),
        "opencv": (),
        "ncnn": ("threads",),
        "mnn": ("threads", "cache_folder"),
    }
)
"""Options that each built-in runtime supports."""

DEFORM_CONV_OPERATORS = ("DeformConv", "DeformableConvolution", "DeformIm2col", "GridSample")
"""Operators of the lowerings that a runtime may lack; ``gather`` needs none of them."""

VNNI = frozenset({"avx512_vnni", "avx_vnni"})
"""Processor flags of Linux for instructions that accumulate int8 products in 32 bits."""


@dataclass(frozen=True, slots=True)
class RuntimeOptions:
    """How a runtime runs a file.

    Attributes
    ----------
    device : str
        Device in the runtime's own naming, such as ``GPU`` or ``1``; empty for the default device.
    threads : int or None
        Number of threads for one inference; None for the runtime's choice.
    precision : str
        Arithmetic of float layers: ``fp32``, ``fp16`` or ``bf16``. Empty means float32, or the nearest
        precision that the device has. Layers in int8 stay int8.
    hint : str
        ``latency`` makes one image fast. ``throughput`` makes many images per second fast, with calls from
        several threads.
    cache_folder : Path or None
        Folder for compiled models, which makes the next start fast; made if it does not exist.

    Raises
    ------
    InvalidInputError
        If a value is not allowed.
    """

    device: str = ""
    threads: int | None = None
    precision: str = ""
    hint: str = "latency"
    cache_folder: Path | None = None

    def __post_init__(self) -> None:
        if self.threads is not None and self.threads < 1:
            raise InvalidInputError(f"threads must be at least 1, not {self.threads}")
        for name, value, allowed in (
            ("precision", self.precision, PRECISIONS),
            ("hint", self.hint, HINTS),
        ):
            if value not in allowed:
                raise InvalidInputError(f"{name} {value!r}: choose from {', '.join(filter(None, allowed))}")

    def check_supported(self, runtime: str, *supported: str) -> None:
        """Raise InvalidInputError if an option is set that the runtime does not support.

        Parameters
        ----------
        runtime : str
            Name of the runtime, for the error.
        *supported : str
            Names of the options that it supports.
        """
        for option in fields(self):
            value = getattr(self, option.name)
            if option.name not in supported and value != option.default:
                others = [name for name, options in SUPPORTED_OPTIONS.items() if option.name in options]
                raise InvalidInputError(
                    f"runtime {runtime} has no {option.name.replace('_', ' ')} to set ({value}): "
                    f"leave it out, or choose from {', '.join(others)}"
                )


class CheckedRuntime:
    """Base of the built-in runtimes: checks around the one function that runs the network.

    ``run`` takes the images, uint8 (N, H, W, 3), contiguous, and returns the four ``OUTPUTS``. ``explain``
    turns the message of an error in ``run`` into one line.
    """

    def __init__(
        self,
        name: str,
        manifest: ModelManifest,
        run: Callable[[UInt8Array], Sequence[Any]],
        explain: Callable[[str], str],
    ) -> None:
        self.name = name
        self.manifest = manifest
        self._run: Callable[[UInt8Array], Sequence[Any]] | None = run
        self._explain = explain

    def infer(self, images: UInt8Array) -> RawDetections:
        """Run the network; see :meth:`edge_fairmot.protocols.Runtime.infer`."""
        if self._run is None:
            raise InferenceError("this runtime is closed: open another with open_runtime")
        check_images(images, self.manifest)
        try:
            outputs = RawDetections(*self._run(np.ascontiguousarray(images)))
        except Exception as error:  # the errors of runtimes have no other base in common
            raise InferenceError(self._explain(str(error))) from error
        return check_outputs(outputs, self.manifest, self.name)

    def close(self) -> None:
        """Release the network. May be called twice."""
        self._run = None


def check_images(images: UInt8Array, manifest: ModelManifest) -> None:
    """Raise InferenceError if dtype, batch size or image size are not those of the file."""
    width, height = manifest.input_size
    expected = (manifest.batch_size, height, width, 3)
    if images.shape != expected or images.dtype != np.uint8:
        raise InferenceError(
            f"this file takes uint8 {expected} (N, H, W, BGR), not {images.dtype} {images.shape}: "
            f"letterbox the image to {width}x{height}, or convert again with --size"
        )


def check_float_file(runtime: str, file: OnnxFile) -> None:
    """Raise InferenceError for an int8 or fp16 file, which the runtime does not run."""
    precision = file.manifest.default_precision
    if precision != "fp32":
        raise InferenceError(
            f"runtime {runtime} runs float32 files only, and {file.path} is {precision}: convert the "
            f"checkpoint again with --for {runtime}, or take --runtime cpu"
        )


def make_cache_folder(folder: Path) -> str:
    """Make the folder for compiled models; RuntimeUnavailableError if it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RuntimeUnavailableError(
            f"cannot keep compiled models in {folder}: {error.strerror}; choose another folder"
        ) from error
    return str(folder)


def unsupported_operator_hint(message: str) -> str:
    """Return the fix for an error that names an operator of the deformable convolution; empty for others."""
    for name in DEFORM_CONV_OPERATORS:
        if name in message:
            return f"; {name} is not supported here: convert the checkpoint again with --deform-conv gather"
    return ""


def int8_sums_overflow(root: Path = ROOT) -> bool:
    """Return whether fast int8 kernels can give wrong sums: on x86 processors without VNNI.

    There they add pairs of products in 16 bits, and weights that use all 8 bits overflow them (onnxruntime
    issues 12072 and 14642; oneDNN calls it saturation of the intermediate).
    """
    # ARM processors have "Features" instead of flags, and no such instructions.
    flags = re.search(r"^flags\s*:(.*)$", read_sysfs(root / "proc/cpuinfo"), re.MULTILINE)
    return flags is not None and VNNI.isdisjoint(flags[1].split())
