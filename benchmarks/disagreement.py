"""The frames in which two models differ most, kept as pictures."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace

import cv2
import numpy as np

from edge_fairmot.benchmarks.peak_matching import PeakMatch
from edge_fairmot.errors import EvaluationError
from edge_fairmot.types import BoolArray, Float64Array, UInt8Array

JPEG_QUALITY = 88
REFERENCE_COLOR, CANDIDATE_COLOR = (80, 220, 60), (30, 140, 255)
"""BGR: green and orange, told apart by those who cannot tell red from green, by brightness."""

SMALLEST_WIDTH = 960
"""Pictures are enlarged to it, so that the lines of small boxes stay apart."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One frame in which the models differ.

    Attributes
    ----------
    sequence : str
    frame : int
        From 0.
    weight : float
        Missed and extra peaks, each 1, and what the matched ones lack in IoU and cosine.
    missed, extra : int
    renamed : bool
        Whether an identity changed hands in it.
    reference, candidate : float64 (N, 4)
        Boxes, xyxy, input pixels.
    reference_alone, candidate_alone : bool (N,)
        Boxes that are missed, or extra.
    image : uint8 (H, W, 3)
        BGR, letterboxed.
    """

    sequence: str
    frame: int
    weight: float
    missed: int
    extra: int
    renamed: bool
    reference: Float64Array
    candidate: Float64Array
    reference_alone: BoolArray
    candidate_alone: BoolArray
    image: UInt8Array

    @classmethod
    def of_frame(
        cls, sequence: str, frame: int, image: UInt8Array, match: PeakMatch, renamed: bool
    ) -> Disagreement:
        """Weigh one frame. The picture is not copied."""
        missed, extra = match.missed, match.extra
        lacking = float((2 - match.iou - match.cosine).sum())
        return cls(
            sequence=sequence,
            frame=frame,
            weight=float(missed.sum() + extra.sum()) + renamed + lacking,
            missed=int(missed.sum()),
            extra=int(extra.sum()),
            renamed=renamed,
            reference=match.reference.xyxy,
            candidate=match.candidate.xyxy,
            reference_alone=missed,
            candidate_alone=extra,
            image=image,
        )


class WorstFrames:
    """Keeps the frames of the greatest weight.

    Parameters
    ----------
    count : int
        At most so many. Pictures are copied when they are kept.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._heap: list[tuple[float, int, Disagreement]] = []
        self._offered = 0

    def offer(self, frame: Disagreement) -> None:
        """Keep a frame if it is among the worst so far."""
        self._offered += 1
        if not self._count or (len(self._heap) == self._count and frame.weight <= self._heap[0][0]):
            return
        if len(self._heap) == self._count:
            heapq.heappop(self._heap)
        heapq.heappush(self._heap, (frame.weight, -self._offered, replace(frame, image=frame.image.copy())))

    def frames(self) -> list[Disagreement]:
        """Give them, the worst first."""
        return [frame for _, _, frame in sorted(self._heap, reverse=True)]


def draw_disagreement(frame: Disagreement) -> UInt8Array:
    """Draw both models' boxes: thin where both agree, thick where one is alone.

    Parameters
    ----------
    frame : Disagreement

    Returns
    -------
    uint8 (H, W, 3)
        BGR, enlarged by a whole factor where the picture is small.
    """
    factor = -(-SMALLEST_WIDTH // frame.image.shape[1])
    size = (frame.image.shape[1] * factor, frame.image.shape[0] * factor)
    canvas = cv2.resize(frame.image, size, interpolation=cv2.INTER_CUBIC)
    limits = np.array([*size, *size])
    # Those without partner first: they must not hide the pair beside them.
    for boxes, chosen, color, thickness in (
        (frame.reference, frame.reference_alone, REFERENCE_COLOR, 4),
        (frame.candidate, frame.candidate_alone, CANDIDATE_COLOR, 4),
        (frame.reference, ~frame.reference_alone, REFERENCE_COLOR, 2),
        (frame.candidate, ~frame.candidate_alone, CANDIDATE_COLOR, 1),
    ):
        corners = np.clip(np.round(boxes[chosen] * factor), -limits, 2 * limits).astype(int)
        for left, top, right, bottom in corners.tolist():
            cv2.rectangle(canvas, (left, top), (right, bottom), color, thickness, cv2.LINE_AA)
    return canvas.astype(np.uint8, copy=False)


def encode_jpeg(image: UInt8Array) -> bytes:
    """Encode a picture, uint8 (H, W, 3), BGR."""
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise EvaluationError(f"OpenCV could not encode a picture of {image.shape}")
    return data.tobytes()
