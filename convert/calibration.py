"""Calibration: the ranges of a network's activations on the user's own frames."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod
from onnxruntime.quantization.calibrate import create_calibrator

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.types import UInt8Array

METHODS: Mapping[str, Any] = MappingProxyType(
    {
        "minmax": CalibrationMethod.MinMax,
        "percentile": CalibrationMethod.Percentile,
        "entropy": CalibrationMethod.Entropy,
    }
)
"""``minmax``: the extremes. ``percentile``: 99.999 % of the values. ``entropy``: the range whose histogram
loses least information in 8 bits. The last two cut off values that are rare in the calibration frames and may
be common in another scene; there only ``minmax`` kept every peak."""

MIN_FRAMES = 16
"""Half calibrate and half validate. Fewer miss the range of some activation on almost any video."""

MIN_CONTRAST = 4.0
"""Standard deviation, grey levels. A frame below it shows a covered lens or a fade, not a scene."""

MAX_BLANK_SHARE = 0.5
"""A video may fade in. One that is mostly blank does not show what the camera sees."""


@dataclass(frozen=True, slots=True)
class CalibrationFrames:
    """Frames of the scene that the camera will see.

    Attributes
    ----------
    images : uint8 (N, H, W, 3)
        BGR, letterboxed to the network's input.
    source : str
        Their source, for the manifest.

    Raises
    ------
    InvalidInputError
        If there are too few frames, or most of them are blank.
    """

    images: UInt8Array
    source: str

    def __post_init__(self) -> None:
        images = self.images
        if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
            raise InvalidInputError(
                f"calibration frames must be uint8 (N, H, W, 3), not {images.dtype} {images.shape}"
            )
        if len(images) < MIN_FRAMES:
            raise InvalidInputError(
                f"{self.source} gives {len(images)} frames, too few to calibrate on: at least {MIN_FRAMES}, "
                "better 32 or more from different scenes"
            )
        blank = np.mean([image.std() < MIN_CONTRAST for image in images])
        if blank > MAX_BLANK_SHARE:
            raise InvalidInputError(
                f"{blank:.0%} of the frames of {self.source} are blank (black, or of one colour): "
                "calibrate on what the camera will see"
            )

    @property
    def calibration(self) -> UInt8Array:
        """The even frames, which calibrate."""
        return self.images[::2]

    @property
    def validation(self) -> UInt8Array:
        """The odd frames, on which the int8 file is compared with the float one."""
        return self.images[1::2]


@dataclass(frozen=True, slots=True)
class Ranges:
    """Calibrated ranges: lowest and highest value by tensor name."""

    of: Mapping[str, tuple[float, float]]

    def largest(self, name: str) -> float:
        """Largest absolute value of a tensor."""
        return max(abs(bound) for bound in self.of[name])


class _Batches(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, batches: Iterable[UInt8Array]) -> None:
        self._batches: Iterator[UInt8Array] = iter(batches)

    def get_next(self) -> dict[str, UInt8Array] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"images": batch}


def calibrate(model: onnx.ModelProto, images: UInt8Array, method: str = "minmax") -> Ranges:
    """Run the float model on images (N, H, W, 3); find the ranges of inputs and outputs of Conv and Relu.

    Raises InvalidInputError for an unknown method, or images that are not of the model's input size.
    """
    if method not in METHODS:
        raise InvalidInputError(f"unknown calibration method {method!r}: choose from {', '.join(METHODS)}")
    batch, height, width, _ = (dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim)
    if images.shape[1:3] != (height, width):
        raise InvalidInputError(
            f"calibration frames are {images.shape[2]}x{images.shape[1]}, the model takes "
            f"{width}x{height}: letterbox them to its size"
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "float.onnx")
        onnx.save(onnx.shape_inference.infer_shapes(model), path)
        calibrator = create_calibrator(
            path, ["Conv", "Relu"], Path(folder, "augmented.onnx").as_posix(), METHODS[method]
        )
        with redirect_stdout(StringIO()):  # the calibrator prints
            # One batch a call: the calibrator keeps every activation of one call in memory.
            for first in range(0, len(images) - batch + 1, batch):
                calibrator.collect_data(_Batches([images[first : first + batch]]))
            data = calibrator.compute_data().data
    ranges = {}
    for name, entry in data.items():
        low, high = (float(np.asarray(bound).item()) for bound in entry.range_value)
        ranges[name] = (low, high)
    return Ranges(ranges)
