"""What cameras do to images: blur, noise, compression and low light."""

from __future__ import annotations

import cv2
import numpy as np

from edge_fairmot.types import Float32Array, UInt8Array

SHARE = 0.2
"""Share of the images that each of the four is applied to."""

BLUR_PX = (3, 9)
"""Length of the path of a shaken camera, or the width of a lens out of focus."""

NOISE = (3.0, 15.0)
"""Standard deviation, of 255."""

JPEG_QUALITIES = (20, 80)

LOW_LIGHT = (0.2, 0.7)
"""Factor on all values."""


def degrade(image: UInt8Array, generator: np.random.Generator) -> UInt8Array:
    """Apply each degradation by chance, in the order in which a camera does: uint8 (H, W, 3)."""
    light, blur, noise, jpeg = generator.random(4) < SHARE
    if light:
        image = cv2.convertScaleAbs(image, alpha=generator.uniform(*LOW_LIGHT))  # type: ignore[assignment]
    if blur:
        image = cv2.filter2D(image, -1, _blur_kernel(generator))  # type: ignore[assignment]
    if noise:
        deviation = generator.uniform(*NOISE)
        noisy = image + deviation * generator.standard_normal(image.shape, np.float32)
        image = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    if jpeg:
        quality = int(generator.integers(*JPEG_QUALITIES))
        encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        image = cv2.imdecode(encoded, cv2.IMREAD_COLOR)  # type: ignore[assignment]
    return np.asarray(image, np.uint8)


def _blur_kernel(generator: np.random.Generator) -> Float32Array:
    """Draw a kernel: a line in any direction, or a disc."""
    length = int(generator.integers(*BLUR_PX))
    kernel = np.zeros((length, length), np.float32)
    middle = (length - 1) / 2
    if generator.random() < 0.5:
        angle = generator.uniform(0, np.pi)
        reach = middle * np.array([np.cos(angle), np.sin(angle)])
        ends = [tuple(int(v) for v in np.rint(middle + sign * reach)) for sign in (-1, 1)]
        cv2.line(kernel, ends[0], ends[1], 1.0)
    else:
        cv2.circle(kernel, (int(middle), int(middle)), max(1, int(middle) // 2), 1.0, -1)
    return np.asarray(kernel / kernel.sum(), np.float32)
