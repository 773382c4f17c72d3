"""The parity check at conversion: the file detects what the checkpoint's network detects in PyTorch."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from edge_fairmot.convert.deploy import decode
from edge_fairmot.convert.network import FairMOT, normalise_images
from edge_fairmot.errors import ConversionError
from edge_fairmot.types import RawDetections, UInt8Array

PEAKS_COMPARED = 100
"""The highest peaks. The others are noise below every threshold."""

MATCH_DISTANCE_PX = 1.0
"""Two peaks are the same if all four sides of their boxes are this close; cells are 4 px apart."""


@dataclass(frozen=True, slots=True)
class ParityFigures:
    """The differences of two sets of detections, over the peaks that both have; also the limits of them.

    Attributes
    ----------
    peaks_matched : float
        Share of the reference's highest peaks that the candidate has. Neighbouring cells may tie, and then
        either is the peak.
    score_error : float
        Largest difference of scores.
    box_error_px : float
        Largest difference of a side, input pixels.
    cosine_error : float
        Largest 1 - cosine of embeddings.
    """

    peaks_matched: float
    score_error: float
    box_error_px: float
    cosine_error: float

    def check(self, what: str, limit: ParityFigures | None = None) -> None:
        """Raise ConversionError, which begins with ``what``, if a figure exceeds its limit."""
        limit = limit or FP32_LIMIT
        if (
            self.peaks_matched < limit.peaks_matched
            or self.score_error > limit.score_error
            or self.box_error_px > limit.box_error_px
            or self.cosine_error > limit.cosine_error
        ):
            raise ConversionError(
                f"{what}: {self.peaks_matched:.1%} of peaks matched "
                f"(at least {limit.peaks_matched:.0%} wanted), "
                f"scores differ by up to {self.score_error:.1e} (allowed {limit.score_error:.0e}), "
                f"boxes by {self.box_error_px:.1e} px (allowed {limit.box_error_px}), "
                f"embeddings by {self.cosine_error:.1e} (allowed {limit.cosine_error:.0e}); "
                "please report this with the versions of torch, onnx and onnxruntime"
            )


FP32_LIMIT = ParityFigures(peaks_matched=0.97, score_error=1e-4, box_error_px=0.01, cosine_error=1e-4)
"""Ten times the rounding at 1088x608 and of random networks, which amplify it. Changes no track."""

FP16_LIMIT = ParityFigures(peaks_matched=0.9, score_error=0.03, box_error_px=1.0, cosine_error=5e-3)
"""Separates a broken graph from rounding, of random networks too. ``verify`` measures the cost of float16."""


def draw_images(input_size: tuple[int, int], batch_size: int) -> UInt8Array:
    """Draw images with structure at many scales, uint8 (N, H, W, 3); the same at every call."""
    generator = np.random.default_rng(0)
    images = []
    for _ in range(batch_size):
        layers = [
            cv2.resize(generator.random((side, side, 3)), input_size, interpolation=cv2.INTER_CUBIC)
            for side in (4, 9, 20, 45)
        ]
        mixed = np.mean(layers, axis=0)
        images.append(cv2.normalize(mixed, np.empty_like(mixed), 0, 255, cv2.NORM_MINMAX))
    return np.stack(images).astype(np.uint8)


def reference_detections(network: FairMOT, images: UInt8Array, max_detections: int) -> RawDetections:
    """Detect with the network as it was loaded: eager PyTorch, batch norms not folded, dense heads."""
    with torch.inference_mode():
        outputs = decode(network(normalise_images(torch.from_numpy(images))), max_detections)
    return RawDetections(*(output.numpy() for output in outputs))


def compare(candidate: RawDetections, reference: RawDetections) -> ParityFigures:
    """Compare detections of the same images, peak by peak."""
    highest = min(PEAKS_COMPARED, reference.scores.shape[1])
    matched, score_error, box_error, cosine_error = [], [0.0], [0.0], [0.0]
    for n in range(len(reference.scores)):
        rows = np.flatnonzero(reference.scores[n, :highest] > 0)
        gaps = np.abs(reference.boxes[n, rows, None] - candidate.boxes[n][None]).max(axis=2)
        other_class = reference.class_ids[n, rows, None] != candidate.class_ids[n][None]
        # Rows behind the last peak have score 0 and the box of an arbitrary cell.
        gaps[other_class | (candidate.scores[n] <= 0)] = np.inf
        nearest = gaps.argmin(axis=1)
        hit = gaps[np.arange(len(rows)), nearest] < MATCH_DISTANCE_PX
        ours, theirs = nearest[hit], rows[hit]
        matched.extend(hit)
        score_error.extend(np.abs(candidate.scores[n, ours] - reference.scores[n, theirs]))
        box_error.extend(gaps[hit, ours])
        cosine = (candidate.embeddings[n, ours] * reference.embeddings[n, theirs]).sum(axis=1)
        cosine_error.extend(1 - cosine)
    return ParityFigures(
        peaks_matched=float(np.mean(matched)) if matched else 1.0,
        score_error=float(max(score_error)),
        box_error_px=float(max(box_error)),
        cosine_error=float(max(cosine_error)),
    )
