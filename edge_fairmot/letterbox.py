"""The letterbox: scales an image into the network's input, and maps boxes there and back."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.types import Float32Array, Float64Array, UInt8Array

LETTERBOX_BORDER = 128
"""Grey of the border. FairMOT pads with 127.5, which uint8 cannot hold."""


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Fits images of ``source_size`` into ``input_size``, both (width, height): centred, with grey borders.

    Both axes have one scale. Box coordinates are continuous: pixel ``i`` covers ``[i, i + 1)``, and an image
    of width W is the interval [0, W]. So a box is scaled and shifted, nothing else. OpenCV maps pixel centres
    the same way: ``source = (input + 0.5) / scale - 0.5``.
    """

    source_size: tuple[int, int]
    input_size: tuple[int, int]

    def __post_init__(self) -> None:
        if min(*self.source_size, *self.input_size) < 1:
            raise InvalidInputError(f"sizes must be positive, not {self.source_size} into {self.input_size}")

    @property
    def inner_size(self) -> tuple[int, int]:
        """Width and height of the scaled image inside the borders, pixels."""
        (source_w, source_h), (input_w, input_h) = self.source_size, self.input_size
        scale = min(input_w / source_w, input_h / source_h)
        return (
            min(input_w, max(1, round(source_w * scale))),
            min(input_h, max(1, round(source_h * scale))),
        )

    @property
    def offset(self) -> tuple[int, int]:
        """Left and top border, pixels."""
        inner_w, inner_h = self.inner_size
        return (self.input_size[0] - inner_w) // 2, (self.input_size[1] - inner_h) // 2

    def apply(self, image: UInt8Array, out: UInt8Array | None = None) -> UInt8Array:
        """Return the letterboxed image, uint8 (h, w, 3), BGR; written into ``out`` where it is given."""
        source_w, source_h = self.source_size
        if image.shape != (source_h, source_w, 3) or image.dtype != np.uint8:
            raise InvalidInputError(
                f"letterbox was made for uint8 ({source_h}, {source_w}, 3), not {image.dtype} {image.shape}"
            )
        input_w, input_h = self.input_size
        if out is None:
            out = np.empty((input_h, input_w, 3), np.uint8)
        elif out.shape != (input_h, input_w, 3) or out.dtype != np.uint8:
            raise InvalidInputError(
                f"out must be uint8 ({input_h}, {input_w}, 3), not {out.dtype} {out.shape}"
            )
        (inner_w, inner_h), (left, top) = self.inner_size, self.offset
        shrinks = inner_w < source_w or inner_h < source_h
        out[:top] = out[top + inner_h :] = LETTERBOX_BORDER
        out[top : top + inner_h, :left] = out[top : top + inner_h, left + inner_w :] = LETTERBOX_BORDER
        out[top : top + inner_h, left : left + inner_w] = cv2.resize(
            image, (inner_w, inner_h), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        )
        return out

    def to_source(self, boxes: Float32Array) -> Float32Array:
        """Map boxes, float32 (N, 4), xyxy, from input pixels to source pixels, without clipping.

        The inner size is rounded to whole pixels, so the scales of the two axes differ a little; both are
        undone exactly.
        """
        scale, shift = self._scale_and_shift()
        return ((boxes - shift) / scale).astype(np.float32)

    def to_input(self, boxes: Float32Array) -> Float32Array:
        """Map boxes, float32 (N, 4), xyxy, from source to input pixels: the inverse of ``to_source``."""
        scale, shift = self._scale_and_shift()
        return (boxes * scale + shift).astype(np.float32)

    def _scale_and_shift(self) -> tuple[Float64Array, Float64Array]:
        scale = np.divide(self.inner_size, self.source_size)
        return np.tile(scale, 2), np.tile(np.asarray(self.offset, np.float64), 2)
