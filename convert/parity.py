"""The check at conversion: the file detects what the checkpoint's network detects."""

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
"""The strongest peaks; the tail is noise that no threshold lets through."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What rounding may cost.

    Attributes
    ----------
    peaks_matched : float
        Share of peaks that must be found again; neighbouring cells may tie and swap the peak.
    score : float
    box_px : float
        Of a side, input pixels.
    cosine : float
        Of 1 - cosine.
    """

    peaks_matched: float
    score: float
    box_px: float
    cosine: float


FP32_TOLERANCE = Tolerance(peaks_matched=0.97, score=1e-4, box_px=0.01, cosine=1e-4)
"""Ten times the rounding seen at 1088x608 and on random networks, which amplify it; moves no decision."""

FP16_TOLERANCE = Tolerance(peaks_matched=0.9, score=0.03, box_px=1.0, cosine=5e-3)
"""Tells a broken graph from rounding, on random networks too; what float16 costs is for ``verify`` to say."""

MATCH_DISTANCE_PX = 1.0
"""Two peaks are one when all four sides are this close; cells are 4 px apart."""


@dataclass(frozen=True, slots=True)
class ParityFigures:
    """How far one set of detections is from another, over the peaks that both have.

    Attributes
    ----------
    peaks_matched : float
        Share of the reference's strongest peaks that the candidate has.
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

    def check(self, what: str, tolerance: Tolerance = FP32_TOLERANCE) -> None:
        """Raise ConversionError, naming ``what``, if a figure is beyond its tolerance."""
        if (
            self.peaks_matched < tolerance.peaks_matched
            or self.score_error > tolerance.score
            or self.box_error_px > tolerance.box_px
            or self.cosine_error > tolerance.cosine
        ):
            raise ConversionError(
                f"{what}: {self.peaks_matched:.1%} of peaks matched "
                f"(at least {tolerance.peaks_matched:.0%} wanted), "
                f"scores differ by up to {self.score_error:.1e} (allowed {tolerance.score:.0e}), "
                f"boxes by {self.box_error_px:.1e} px (allowed {tolerance.box_px}), "
                f"embeddings by {self.cosine_error:.1e} (allowed {tolerance.cosine:.0e}); "
                "please report this with the versions of torch, onnx and onnxruntime"
            )


def check_picture(input_size: tuple[int, int], batch_size: int) -> UInt8Array:
    """Draw pictures with structure at many scales, the same at every call.

    Parameters
    ----------
    input_size : (int, int)
        Width and height, pixels.
    batch_size : int

    Returns
    -------
    uint8 (N, H, W, 3)
    """
    generator = np.random.default_rng(0)
    pictures = []
    for _ in range(batch_size):
        layers = [
            cv2.resize(generator.random((side, side, 3)), input_size, interpolation=cv2.INTER_CUBIC)
            for side in (4, 9, 20, 45)
        ]
        mixed = np.mean(layers, axis=0)
        pictures.append(cv2.normalize(mixed, np.empty_like(mixed), 0, 255, cv2.NORM_MINMAX))
    return np.stack(pictures).astype(np.uint8)


def reference_detections(network: FairMOT, images: UInt8Array, max_detections: int) -> RawDetections:
    """Detect with the network as it was loaded: unfolded, dense heads, eager PyTorch.

    Parameters
    ----------
    network : FairMOT
    images : uint8 (N, H, W, 3)
        BGR, letterboxed.
    max_detections : int
    """
    with torch.inference_mode():
        outputs = decode(network(normalise_images(torch.from_numpy(images))), max_detections)
    return RawDetections(*(output.numpy() for output in outputs))


def compare(candidate: RawDetections, reference: RawDetections) -> ParityFigures:
    """Compare detections of the same pictures, peak by peak.

    Parameters
    ----------
    candidate, reference : RawDetections

    Returns
    -------
    ParityFigures
    """
    strongest = min(PEAKS_COMPARED, reference.scores.shape[1])
    matched, score_error, box_error, cosine_error = [], [0.0], [0.0], [0.0]
    for n in range(len(reference.scores)):
        rows = np.flatnonzero(reference.scores[n, :strongest] > 0)
        gaps = np.abs(reference.boxes[n, rows, None] - candidate.boxes[n][None]).max(axis=2)
        other_class = reference.class_ids[n, rows, None] != candidate.class_ids[n][None]
        gaps[other_class] = np.inf
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
