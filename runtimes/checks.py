"""What every backend checks: the picture that goes in, the numbers that come out."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType

import numpy as np

from edge_fairmot.errors import InferenceError, InvalidInputError, ManifestError
from edge_fairmot.manifest import ModelManifest
from edge_fairmot.model_file import read_onnx_file
from edge_fairmot.types import RawDetections, UInt8Array

# FOLDED options.py: What a user may ask of any backend. Each honours what it can and refuses the rest by name.

PRECISIONS = ("", "fp32", "fp16", "bf16")
HINTS = ("latency", "throughput")

TAKEN_BY: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "device": ("openvino", "cuda", "tensorrt"),
        "threads": ("cpu", "openvino"),
        "precision": ("openvino", "tensorrt"),
        "hint": ("openvino",),
        "cache_folder": ("openvino", "tensorrt"),
    }
)
"""Which of the runtimes that come with edge-fairmot takes an option."""


@dataclass(frozen=True, slots=True)
class RuntimeOptions:
    """How a file is to be run.

    Attributes
    ----------
    device : str
        As the backend calls it, such as ``GPU`` or ``1``; empty for its first.
    threads : int or None
        For one inference; the backend chooses when not given.
    precision : str
        Arithmetic of float layers, ``fp32``, ``fp16`` or ``bf16``; empty for float32, or what is nearest to
        it on the device. Layers in int8 stay int8.
    hint : str
        ``latency``: a picture is done as soon as possible. ``throughput``: as many as possible a second, from
        callers in several threads.
    cache_folder : Path or None
        Where compiled models are kept for the next start; made if it is not there.

    Raises
    ------
    InvalidInputError
        If a value is not among those allowed.
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

    def refuse_all_but(self, runtime: str, *honoured: str) -> None:
        """Raise InvalidInputError if something is asked for that a runtime does not have.

        Parameters
        ----------
        runtime : str
            Its name, for the error.
        *honoured : str
            Names of the options that it has.
        """
        for option in fields(self):
            value = getattr(self, option.name)
            if option.name not in honoured and value != option.default:
                raise InvalidInputError(
                    f"runtime {runtime} has no {option.name.replace('_', ' ')} to set ({value}): "
                    f"leave it out, or choose from {', '.join(TAKEN_BY[option.name])}"
                )


def options_of(runtime: str) -> tuple[str, ...]:
    """Name the options that a runtime of edge-fairmot's takes, for ``refuse_all_but``."""
    return tuple(option for option, runtimes in TAKEN_BY.items() if runtime in runtimes)


# FOLDED refusal.py: Refusing a file whose deformable convolutions a runtime cannot run, with the line that mends it.

NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "native": ("DeformConv", "DeformableConvolution"),
        "gridsample": ("GridSample",),
        "im2col": ("DeformIm2col", "DeformConv"),
    }
)
"""How runtimes call the operator that they lack."""


def convert_line(manifest: ModelManifest, path: Path, deform_conv: str) -> str:
    """Write the command that makes a file again in another lowering, all else the same.

    Parameters
    ----------
    manifest : ModelManifest
        Of the file.
    path : Path
        The file.
    deform_conv : str
        The lowering wanted.

    Returns
    -------
    str
        What no file knows stands there in capitals.
    """
    line = [
        *("edge-fairmot", "convert", "CHECKPOINT", "-o", str(path)),
        *("--size", "{}x{}".format(*manifest.input_size), "--deform-conv", deform_conv),
    ]
    if manifest.default_precision == "int8":
        line += ["--precision", "int8", "--calibrate", "VIDEO"]
    elif manifest.default_precision != "fp32":
        line += ["--precision", manifest.default_precision]
    if manifest.class_names != ("person",):
        line += [part for name in manifest.class_names for part in ("--class-name", name)]
    for name, usual in (("max_detections", 500), ("batch_size", 1)):
        value = getattr(manifest, name)
        if value != usual:
            line += [f"--{name.replace('_', '-')}", str(value)]
    line += [
        f"--no-{rewrite}"
        for rewrite in ("late-heads", "shuffle-upsampling")
        if rewrite not in manifest.rewrites
    ]
    return shlex.join(line)


def explain_refusal(path: Path, runtime: str, message: str, upgrade: str = "") -> str:
    """Explain what a runtime said of a file, if it is the lowering that it cannot run.

    Parameters
    ----------
    path : Path
    runtime : str
        The software and its version, for the error.
    message : str
        What it said.
    upgrade : str
        Another remedy, if there is one.

    Returns
    -------
    str
        One line with the remedy; empty if it is something else.
    """
    try:
        manifest = read_onnx_file(path).manifest
    except ManifestError:
        return ""
    lowerings = set(manifest.deform_conv.values())
    for lowering, names in NAMES.items():
        if lowering in lowerings and any(name in message for name in names):
            refusal = f"{path} needs {names[0]}, which {runtime} does not run"
            if not manifest.checkpoint_sha256:  # it was made of none, and cannot be made again
                return refusal
            remedies = filter(None, (upgrade, convert_line(manifest, path, "gather")))
            return f"{refusal}: {', or '.join(remedies)}"
    return ""


OUTPUTS = ("boxes", "scores", "class_ids", "embeddings")
"""Of the graph contract, in the order of ``RawDetections``."""


def check_model_file(path: Path) -> None:
    """Refuse a path that no backend could open.

    Raises
    ------
    InferenceError
        If there is no file, or an empty one.
    """
    if path.is_dir():
        raise InferenceError(f"{path} is a folder: give the ONNX file in it")
    if not path.is_file():
        raise InferenceError(
            f"no model at {path}: make one with edge-fairmot convert CHECKPOINT -o {path.name}"
        )
    if path.stat().st_size == 0:
        raise InferenceError(f"{path} is empty: convert the checkpoint again")


def check_images(images: UInt8Array, manifest: ModelManifest) -> None:
    """Refuse a batch that does not fit the file.

    Parameters
    ----------
    images : uint8 (N, H, W, 3)
        BGR, letterboxed.
    manifest : ModelManifest

    Raises
    ------
    InferenceError
        If dtype, batch size or picture size are not the file's.
    """
    width, height = manifest.input_size
    expected = (manifest.batch_size, height, width, 3)
    if images.shape != expected or images.dtype != np.uint8:
        raise InferenceError(
            f"this file takes uint8 {expected} (N, H, W, BGR), not {images.dtype} {images.shape}: "
            f"letterbox the picture to {width}x{height}, or convert again with --size"
        )


def check_outputs(outputs: RawDetections, name: str) -> RawDetections:
    """Refuse outputs that a tracker must not see.

    Parameters
    ----------
    outputs : RawDetections
    name : str
        Of the runtime, for the error.

    Returns
    -------
    RawDetections
        As given.

    Raises
    ------
    InferenceError
        If a score, box or embedding is NaN or infinite.
    """
    for field in ("scores", "boxes", "embeddings"):
        values = getattr(outputs, field)
        if not np.isfinite(values).all():
            raise InferenceError(
                f"runtime {name} gave {field} that are not finite: the file or its precision is broken "
                "on this device; try an fp32 file, or --runtime cpu"
            )
    return outputs
