"""The letterbox: how an image becomes the network's input, and how boxes come back."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.types import Float32Array, Float64Array, UInt8Array

LETTERBOX_BORDER = 128
"""Grey of the border. The original pads with 127.5, which uint8 cannot hold."""


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Fits a picture of one size into another: one scale, centred, grey borders.

    Boxes are continuous: pixel ``i`` covers ``[i, i + 1)`` and a box names edges, not pixel centres. A
    picture of width W is the interval [0, W], so resizing multiplies and the border adds, nothing else.
    It is the same map as OpenCV's between pixel centres, ``source = (input + 0.5) / scale - 0.5``, whose
    halves only turn centres into edges and back.

    Attributes
    ----------
    source_size : (int, int)
        Width and height of the picture, pixels.
    input_size : (int, int)
        Width and height of the network's input, pixels.
    """

    source_size: tuple[int, int]
    input_size: tuple[int, int]

    def __post_init__(self) -> None:
        if min(*self.source_size, *self.input_size) < 1:
            raise InvalidInputError(f"sizes must be positive, not {self.source_size} into {self.input_size}")

    @property
    def inner_size(self) -> tuple[int, int]:
        """Width and height of the resized picture inside the borders, pixels."""
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
        """Resize and pad one picture.

        Parameters
        ----------
        image : uint8 (H, W, 3)
            BGR, of ``source_size``.
        out : uint8 (h, w, 3), optional
            Array of ``input_size`` to write into. Made when not given.

        Returns
        -------
        uint8 (h, w, 3)
            BGR, of ``input_size``.

        Raises
        ------
        InvalidInputError
            If the picture is not uint8 of ``source_size``, or ``out`` not of ``input_size``.
        """
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
        """Map boxes from input pixels to source pixels.

        Rounding the inner picture to whole pixels makes the true scale differ a little between the axes;
        it is the true one that is undone.

        Parameters
        ----------
        boxes : float32 (N, 4)
            xyxy, input pixels.

        Returns
        -------
        float32 (N, 4)
            xyxy, source pixels, not clipped.
        """
        scale, shift = self._scale_and_shift()
        return ((boxes - shift) / scale).astype(np.float32)

    def to_input(self, boxes: Float32Array) -> Float32Array:
        """Map boxes from source pixels to input pixels: the inverse of :meth:`to_source`."""
        scale, shift = self._scale_and_shift()
        return (boxes * scale + shift).astype(np.float32)

    def _scale_and_shift(self) -> tuple[Float64Array, Float64Array]:
        scale = np.divide(self.inner_size, self.source_size)
        return np.tile(scale, 2), np.tile(np.asarray(self.offset, np.float64), 2)
