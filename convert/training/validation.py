"""Detection of a network on labelled images that it does not learn from."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import nn

from edge_fairmot.benchmarks.peak_matching import MIN_IOU
from edge_fairmot.boxes import iou_inclusive
from edge_fairmot.convert.deploy import decode
from edge_fairmot.convert.network import FairMOT, normalise_images
from edge_fairmot.convert.training.crops import Crop, letterbox_labelled
from edge_fairmot.convert.training.labels import LabelledImage
from edge_fairmot.types import BoolArray, Float32Array

MAX_DETECTIONS = 200

WORKING_THRESHOLD = 0.4
"""Score threshold: the tracker's default."""


@dataclass(frozen=True, slots=True)
class Validation:
    """Figures of detection at IoU 0.5; recall and precision are those at the score of the best F1."""

    people: int  # boxes that are not ignored, in all images
    average_precision: float  # area under precision over recall (PASCAL VOC 2010)
    best_score: float  # of the best F1; the working threshold where nothing was found
    recall: float
    precision: float


def validate(network: FairMOT, images: Sequence[LabelledImage], input_size: tuple[int, int]) -> Validation:
    """Detect people in images; the network keeps its mode."""
    was_training = network.training
    network.eval()
    people = 0
    scores, hits = [np.zeros(0, np.float32)], [np.zeros(0, bool)]
    for image in images:
        crop = letterbox_labelled(image, input_size)
        people += int((~crop.ignore).sum())
        score, hit = _match(crop, *_detect(network, crop))
        scores.append(score)
        hits.append(hit)
    network.train(was_training)
    score, hit = np.concatenate(scores), np.concatenate(hits)
    order = np.argsort(-score, kind="stable")
    return _summarise(score[order], hit[order], people)


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


def _detect(network: FairMOT, crop: Crop) -> tuple[Float32Array, Float32Array]:
    device = next(network.parameters()).device
    with torch.inference_mode():
        heads = network(normalise_images(torch.from_numpy(crop.image[None]).to(device)))
        boxes, scores, *_ = decode(heads, MAX_DETECTIONS)
    return boxes[0].cpu().numpy(), scores[0].cpu().numpy()


def _match(crop: Crop, boxes: Float32Array, scores: Float32Array) -> tuple[Float32Array, BoolArray]:
    """Match each detection, best first, with the free box of most overlap; drop those on ignored boxes."""
    if not len(crop.xyxy):
        return scores, np.zeros(len(scores), bool)
    overlap = iou_inclusive(boxes.astype(np.float64), crop.xyxy.astype(np.float64))
    free = ~crop.ignore
    hit, kept = np.zeros(len(scores), bool), np.ones(len(scores), bool)
    for row in range(len(scores)):
        candidates = np.where(free, overlap[row], 0)
        best = int(candidates.argmax())
        if candidates[best] >= MIN_IOU:
            free[best], hit[row] = False, True
        elif (overlap[row][crop.ignore] >= MIN_IOU).any():
            kept[row] = False
    return scores[kept], hit[kept]


def _summarise(score: Float32Array, hit: BoolArray, people: int) -> Validation:
    """Compute the figures of detections that are sorted, best first."""
    if not hit.any():
        return Validation(people, 0.0, WORKING_THRESHOLD, 0.0, 0.0)
    found, seen = np.cumsum(hit), np.arange(1, len(hit) + 1)
    recall, precision = found / people, found / seen
    # Precision at a recall is the best at that recall or a higher one.
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    best = int((found / (people + seen)).argmax())
    return Validation(
        people=people,
        average_precision=float(envelope[hit].sum() / people),
        best_score=float(score[best]),
        recall=float(recall[best]),
        precision=float(precision[best]),
    )
