"""Camera motion between consecutive images: corners, sparse optical flow, and a RANSAC fit.

Corners of the image before are followed into the new one (pyramidal Lucas-Kanade). The shift, rotation and
scale on which most of them agree is the camera's motion (a partial affine transform). Corners on tracked
objects are left out, because those move by themselves.
"""

from __future__ import annotations

import cv2
import numpy as np

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.types import Float32Array, Float64Array, UInt8Array

HEIGHT = 180
"""Height of the images that are compared, pixels: a quarter of 720. Smaller ones are not enlarged."""

CORNERS = 200
CORNER_QUALITY = 0.01
CORNER_DISTANCE = 6.0
"""Corners at most, the least quality of one as a share of the best, and the pixels between two."""

WINDOW, LEVELS = 15, 3
"""Side of the window that is searched for, pixels, and levels of the pyramid above the first one."""

STILL_PX = 0.15
"""Corners that move less than this, reduced pixels, do not move: the flow's error is below it."""

AGREEMENT_PX = 1.0
"""A corner agrees with a motion that predicts its place to within this, reduced pixels."""

MIN_INLIERS, MIN_INLIER_SHARE = 12, 0.4
"""Corners, and share of those that were followed, that must agree on a motion."""

LARGEST_SCALE = 1.5
"""No camera zooms more from frame to frame: a fit beyond it is wrong."""


class CameraMotion:
    """Estimates how the camera moved from one image of a source to the next.

    A motion of less than a pixel everywhere counts as none, so that a still camera changes nothing.

    Attributes
    ----------
    unknown : int
        Number of images whose motion could not be estimated.
    """

    def __init__(self) -> None:
        self.unknown = 0
        self._before: UInt8Array | None = None
        self._size = (0, 0)

    def estimate(self, image: UInt8Array, objects: Float32Array) -> Float64Array | None:
        """Return the motion from the image of the call before to this one.

        Parameters
        ----------
        image : uint8 (H, W, 3)
            BGR.
        objects : float32 (N, 4)
            Boxes in the image before, xyxy, pixels: corners inside them are not used.

        Returns
        -------
        float64 (2, 3) or None
            Maps points of the image before to this one, pixels: a rotation, one scale and a shift. None where
            the camera did not move, where too few corners agree, and for the first image of a size.

        Raises
        ------
        InvalidInputError
            If the image is not uint8 (H, W, 3).
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise InvalidInputError(f"an image must be uint8 (H, W, 3), not {image.dtype} {image.shape}")
        size = (image.shape[1], image.shape[0])
        before, after = self._before, _reduced(image)
        if self._size != size:
            before = None
        self._before, self._size = after, size
        if before is None:
            return None
        scale = np.array(size) / (after.shape[1], after.shape[0])
        moved = _follow(before, after, objects / np.tile(scale, 2))
        if moved is None:
            self.unknown += 1
            return None
        return _enlarged(moved, scale, size)


def _reduced(image: UInt8Array) -> UInt8Array:
    height, width = image.shape[:2]
    if height > HEIGHT:
        size = (max(1, round(width * HEIGHT / height)), HEIGHT)
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)


def _follow(before: UInt8Array, after: UInt8Array, objects: Float64Array) -> Float64Array | None:
    """Return the motion between two reduced images, float64 (2, 3), or None where too few corners agree."""
    corners = _corners(before, objects)
    if len(corners) < MIN_INLIERS:
        return None
    found, status, _ = cv2.calcOpticalFlowPyrLK(
        before, after, corners, np.empty_like(corners), winSize=(WINDOW, WINDOW), maxLevel=LEVELS
    )
    followed = np.asarray(status).ravel() == 1
    start, end = corners[followed].reshape(-1, 2), np.asarray(found)[followed].reshape(-1, 2)
    if len(start) < MIN_INLIERS:
        return None
    # Most corners of a still camera stay in their place. Whatever else moves, nothing is fitted to it.
    if np.median(np.abs(end - start).max(axis=1)) < STILL_PX:
        return np.eye(2, 3)
    fitted, inliers = cv2.estimateAffinePartial2D(
        start, end, method=cv2.RANSAC, ransacReprojThreshold=AGREEMENT_PX
    )
    if fitted is None or not np.isfinite(fitted).all():
        return None
    agreeing = int(np.asarray(inliers).sum())
    if agreeing < max(MIN_INLIERS, MIN_INLIER_SHARE * len(start)):
        return None
    factor = np.hypot(fitted[0, 0], fitted[1, 0])
    return np.asarray(fitted, np.float64) if 1 / LARGEST_SCALE < factor < LARGEST_SCALE else None


def _corners(image: UInt8Array, objects: Float64Array) -> Float32Array:
    """Return corners outside the objects, float32 (N, 1, 2)."""
    height, width = image.shape
    mask = np.full((height, width), 255, np.uint8)
    low = np.floor(np.clip(objects[:, :2], 0, (width, height))).astype(int)
    high = np.ceil(np.clip(objects[:, 2:], 0, (width, height))).astype(int)
    for (left, top), (right, bottom) in zip(low.tolist(), high.tolist(), strict=True):
        mask[top:bottom, left:right] = 0
    corners = cv2.goodFeaturesToTrack(image, CORNERS, CORNER_QUALITY, CORNER_DISTANCE, mask=mask)
    return np.zeros((0, 1, 2), np.float32) if corners is None else np.asarray(corners, np.float32)


def _enlarged(moved: Float64Array, scale: Float64Array, size: tuple[int, int]) -> Float64Array | None:
    """Return a motion in source pixels; None if it moves no corner of the image by a pixel."""
    linear, half = moved[:, :2], np.full(2, 0.5)  # OpenCV's coordinates are those of pixel centres
    shift = scale * (moved[:, 2] + half - linear @ half)
    linear = linear * (scale[:, None] / scale)
    ends = np.array(((0, 0), (size[0], 0), (0, size[1]), size), np.float64)
    if np.abs(ends @ linear.T + shift - ends).max() < 1:
        return None
    return np.column_stack((linear, shift))
