"""What every backend checks: the picture that goes in, the numbers that come out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_fairmot.errors import InferenceError
from edge_fairmot.manifest import ModelManifest
from edge_fairmot.types import RawDetections, UInt8Array

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
