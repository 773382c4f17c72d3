"""The frames in which two models differ most, as figures of a report."""

from __future__ import annotations

import base64
import heapq
from dataclasses import dataclass, replace
from html import escape
from typing import Any

import cv2
import numpy as np

from edge_fairmot.benchmarks.peak_matching import PeakMatch
from edge_fairmot.errors import EvaluationError
from edge_fairmot.types import BoolArray, Float64Array, UInt8Array

JPEG_QUALITY = 88
REFERENCE_COLOR, CANDIDATE_COLOR = (80, 220, 60), (30, 140, 255)
"""BGR: green and orange of different brightness, for red-green colour blindness."""

SMALLEST_WIDTH = 960
"""Smaller images are enlarged to it, so that the lines of small boxes stay apart."""

DASH_PX = 6

STYLE = """
:root { color-scheme: light dark }
:root { --line: #ddd; --quiet: #555; --good: #17692f; --bad: #b3261e; --caution: #fff3cd }
@media (prefers-color-scheme: dark) {
  :root { --line: #444; --quiet: #aaa; --good: #6fcf87; --bad: #ff8a80; --caution: #4a3f10 }
}
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem }
h1, p { overflow-wrap: anywhere }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
.wide { overflow-x: auto } table { border-collapse: collapse; font-size: .92em }
td, th { padding: .25rem .8rem .25rem 0; text-align: left; vertical-align: top }
tr { border-bottom: 1px solid var(--line) }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
.passed { color: var(--good) } .failed { color: var(--bad); font-weight: 600 }
.note { color: var(--quiet); max-width: 60rem }
.plot { background: #fff; border-radius: 6px; padding: .5rem }
.answer { font-size: 1.05rem; font-weight: 600 }
.caution { background: var(--caution); padding: .6rem 1.4rem; border-radius: 6px }
figure { margin: 1.2rem 0 } img { max-width: 100%; border: 1px solid #ccc }
.reference, .candidate { padding: .05rem .4rem; color: #000 }
.reference { background: #3cdc50 }
.candidate { background: #ff8c1e; outline: 2px dashed #fff; outline-offset: -3px }
"""
"""CSS of both reports."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One frame in which two models differ."""

    sequence: str
    frame: int  # from 0
    weight: float  # missed and extra peaks, 1 each, and the sum of 1 - IoU and 1 - cosine of the pairs
    missed: int
    extra: int
    changed: bool  # an identity changed
    reference: Float64Array  # (N, 4), boxes in the image's pixels
    candidate: Float64Array
    reference_alone: BoolArray  # (N,), missed boxes
    candidate_alone: BoolArray  # (N,), extra boxes
    image: UInt8Array  # (H, W, 3), BGR

    @classmethod
    def of_frame(
        cls, sequence: str, frame: int, image: UInt8Array, match: PeakMatch, changed: bool
    ) -> Disagreement:
        """Return the difference in one frame. The image is not copied."""
        missed, extra = match.missed, match.extra
        lacking = float((2 - match.iou - match.cosine).sum())
        return cls(
            sequence=sequence,
            frame=frame,
            weight=float(missed.sum() + extra.sum()) + changed + lacking,
            missed=int(missed.sum()),
            extra=int(extra.sum()),
            changed=changed,
            reference=match.reference.xyxy,
            candidate=match.candidate.xyxy,
            reference_alone=missed,
            candidate_alone=extra,
            image=image,
        )


class WorstFrames:
    """Keeps up to ``count`` frames of the greatest weight, with a copy of their images."""

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
        """Return the kept frames, the worst first."""
        return [frame for _, _, frame in sorted(self._heap, reverse=True)]


def draw_disagreement(frame: Disagreement) -> UInt8Array:
    """Return the image with both models' boxes: thick without a partner, thin with one.

    The candidate's are dashed, so that the reference's show through where both agree.
    """
    factor = -(-SMALLEST_WIDTH // frame.image.shape[1])
    size = (frame.image.shape[1] * factor, frame.image.shape[0] * factor)
    canvas = cv2.resize(frame.image, size, interpolation=cv2.INTER_CUBIC)
    limits = np.array([*size, *size])
    # Thick boxes first: they must not hide the pair beside them.
    for boxes, chosen, color, thickness in (
        (frame.reference, frame.reference_alone, REFERENCE_COLOR, 4),
        (frame.candidate, frame.candidate_alone, CANDIDATE_COLOR, 4),
        (frame.reference, ~frame.reference_alone, REFERENCE_COLOR, 2),
        (frame.candidate, ~frame.candidate_alone, CANDIDATE_COLOR, 2),
    ):
        corners = np.clip(np.round(boxes[chosen] * factor), -limits, 2 * limits).astype(int)
        for left, top, right, bottom in corners.tolist():
            if color is CANDIDATE_COLOR:
                _draw_dashed(canvas, (left, top, right, bottom), thickness)
            else:
                cv2.rectangle(canvas, (left, top), (right, bottom), color, thickness, cv2.LINE_AA)
    return canvas.astype(np.uint8, copy=False)


def _draw_dashed(canvas: Any, box: tuple[int, int, int, int], thickness: int) -> None:
    left, top, right, bottom = box
    for x in range(left, right, 2 * DASH_PX):
        for y in (top, bottom):
            cv2.line(canvas, (x, y), (min(x + DASH_PX, right), y), CANDIDATE_COLOR, thickness, cv2.LINE_AA)
    for y in range(top, bottom, 2 * DASH_PX):
        for x in (left, right):
            cv2.line(canvas, (x, y), (x, min(y + DASH_PX, bottom)), CANDIDATE_COLOR, thickness, cv2.LINE_AA)


def render_figure(frame: Disagreement) -> str:
    """Return HTML of a drawn frame and its caption."""
    drawn = draw_disagreement(frame)
    done, data = cv2.imencode(".jpg", drawn, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise EvaluationError(f"OpenCV cannot encode an image of {drawn.shape}")
    image = base64.b64encode(data.tobytes()).decode()
    changed = ", an identity changed" if frame.changed else ""
    caption = escape(
        f"{frame.sequence}, frame {frame.frame + 1}: {frame.missed} missed, {frame.extra} extra{changed}"
    )
    return (
        f'<figure><img src="data:image/jpeg;base64,{image}" alt="{caption}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )
