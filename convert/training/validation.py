"""Detection of a network on labelled images that it does not learn from."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from edge_fairmot.benchmarks.peak_matching import MIN_IOU
from edge_fairmot.boxes import iou_inclusive
from edge_fairmot.convert.deploy import decode
from edge_fairmot.convert.network import STRIDE, FairMOT, normalise_images
from edge_fairmot.convert.training.crops import Crop, letterbox_labelled
from edge_fairmot.convert.training.labels import LabelledImage
from edge_fairmot.types import BoolArray, Float32Array, Float64Array

MAX_DETECTIONS = 200

PRECISE = 0.9

SIZES = {"small": (0.0, 48.0), "medium": (48.0, 128.0), "large": (128.0, np.inf)}
"""Heights of people in the network's input, pixels."""

WORKING_THRESHOLD = 0.4
"""Score threshold: the tracker's default."""


@dataclass(frozen=True, slots=True)
class Detection:
    """Figures of detection at IoU 0.5, of people of one size or of all."""

    people: int  # boxes that are not ignored, in all images
    average_precision: float  # area under precision over recall (PASCAL VOC 2010)
    precise_recall: float  # highest recall at which precision is at least PRECISE


@dataclass(frozen=True, slots=True)
class Validation:
    """Figures of a network; recall and precision are those at the score of the best F1."""

    all: Detection
    sizes: dict[str, Detection]  # by the names of SIZES
    best_score: float  # of the best F1; the working threshold where nothing was found
    recall: float
    precision: float
    cosine: float | None  # mean, of embeddings of people with the teacher's; None without a teacher

    def __str__(self) -> str:
        figures = (
            f"AP {self.all.average_precision:.3f}, recall {self.recall:.3f}, precision {self.precision:.3f} "
            f"at score {self.best_score:.2f}, of {self.all.people} people; at precision {PRECISE:g}, "
            f"recall {self.all.precise_recall:.3f}"
        )
        for name, found in self.sizes.items():
            if found.people:
                ap, recall = found.average_precision, found.precise_recall
                figures += f"; {found.people} {name}: AP {ap:.3f}, recall {recall:.3f}"
        return figures if self.cosine is None else f"{figures}; embeddings' cosine {self.cosine:.3f}"


def validate(network: FairMOT, images: Sequence[LabelledImage], input_size: tuple[int, int]) -> Validation:
    """Detect people in images; the network keeps its mode."""
    was_training = network.training
    network.eval()
    heights = [np.zeros(0, np.float32)]  # of people
    rows = [np.zeros((0, 3), np.float32)]  # of detections: score, hit, height of the person or its own
    cosines = [np.zeros(0, np.float32)]
    for image in images:
        crop = letterbox_labelled(image, input_size)
        heads = _run(network, crop)
        heights.append((crop.xyxy[:, 3] - crop.xyxy[:, 1])[~crop.ignore])
        boxes, scores, *_ = (array[0].cpu().numpy() for array in decode(heads, MAX_DETECTIONS))
        rows.append(_match(crop, boxes, scores))
        cosines.append(_cosines(heads["id"], crop))
    network.train(was_training)
    height, cosine = np.concatenate(heights), np.concatenate(cosines)
    found = np.concatenate(rows)
    found = found[np.argsort(-found[:, 0], kind="stable")]
    score, hit = found[:, 0], found[:, 1] == 1
    recall, precision = _curve(hit, len(height))
    best = (
        int((2 * np.cumsum(hit) / (len(height) + np.arange(1, len(hit) + 1))).argmax()) if hit.any() else None
    )
    return Validation(
        all=_summarise(hit, len(height)),
        sizes={
            name: _summarise(
                hit[(found[:, 2] >= low) & (found[:, 2] < high)],
                int(((height >= low) & (height < high)).sum()),
            )
            for name, (low, high) in SIZES.items()
        },
        best_score=WORKING_THRESHOLD if best is None else float(score[best]),
        recall=0.0 if best is None else float(recall[best]),
        precision=0.0 if best is None else float(precision[best]),
        cosine=float(cosine.mean()) if len(cosine) else None,
    )


def with_working_threshold(network: FairMOT, best_score: float) -> FairMOT:
    """Copy a network with a shifted bias of the heatmap: the best score becomes the working threshold.

    Training moves scores, and users of the checkpoint do not move their threshold.
    """
    network = copy.deepcopy(network)
    shift = torch.logit(torch.tensor(WORKING_THRESHOLD)) - torch.logit(torch.tensor(best_score), eps=1e-6)
    bias = cast(nn.Conv2d, network.hm[-1]).bias
    assert bias is not None
    with torch.no_grad():
        bias += shift.to(bias)
    return network


def _run(network: FairMOT, crop: Crop) -> dict[str, Tensor]:
    device = next(network.parameters()).device
    with torch.inference_mode():
        heads: dict[str, Tensor] = network(normalise_images(torch.from_numpy(crop.image[None]).to(device)))
    return heads


def _match(crop: Crop, boxes: Float32Array, scores: Float32Array) -> Float32Array:
    """Match each detection, best first, with the free box of most overlap; drop those on ignored boxes.

    Return float32 (N, 3): score, whether it is a hit, and the height of the person, or its own.
    """
    overlap = iou_inclusive(boxes.astype(np.float64), crop.xyxy.astype(np.float64))
    heights = crop.xyxy[:, 3] - crop.xyxy[:, 1]
    free = ~crop.ignore
    rows = []
    for row, score in enumerate(scores):
        candidates = np.where(free, overlap[row], 0)
        best = int(candidates.argmax()) if len(candidates) else -1
        if best >= 0 and candidates[best] >= MIN_IOU:
            free[best] = False
            rows.append((score, 1.0, heights[best]))
        elif not (overlap[row][crop.ignore] >= MIN_IOU).any():
            rows.append((score, 0.0, boxes[row, 3] - boxes[row, 1]))
    return np.array(rows, np.float32).reshape(-1, 3)


def _cosines(embeddings: Tensor, crop: Crop) -> Float32Array:
    """Compare the embeddings, float32 (1, D, H / 4, W / 4), at the centres of people with the teacher's."""
    if crop.embedding is None or crop.embedding.shape[1] != embeddings.shape[1]:
        return np.zeros(0, np.float32)
    rows = ~crop.ignore & crop.embedding.any(axis=1)
    x, y = ((crop.xyxy[rows, :2] + crop.xyxy[rows, 2:]) / 2 / STRIDE).astype(np.int64).T
    ours = torch.nn.functional.normalize(embeddings[0, :, y, x], dim=0).cpu().numpy().T
    return np.asarray((ours * crop.embedding[rows]).sum(axis=1), np.float32)


def _curve(hit: BoolArray, people: int) -> tuple[Float64Array, Float64Array]:
    """Compute recall and precision after each detection, best first."""
    found = np.cumsum(hit)
    return found / max(1, people), found / np.arange(1, len(hit) + 1)


def _summarise(hit: BoolArray, people: int) -> Detection:
    """Compute the figures of detections that are sorted, best first."""
    if not hit.any():
        return Detection(people, 0.0, 0.0)
    recall, precision = _curve(hit, people)
    # Precision at a recall is the best at that recall or a higher one.
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return Detection(
        people, float(envelope[hit].sum() / people), float(recall[precision >= PRECISE].max(initial=0))
    )
