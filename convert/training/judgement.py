"""How well a network finds people in pictures that it did not learn from."""

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
from edge_fairmot.convert.training.labelled import LabelledPicture
from edge_fairmot.convert.training.pieces import Piece, fit_piece
from edge_fairmot.types import BoolArray, Float32Array

MAX_DETECTIONS = 200

WORKING_THRESHOLD = 0.4
"""Of scores: what the tracker counts as a detection, unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Detection on held-out pictures.

    Attributes
    ----------
    people : int
        Counted, in all pictures.
    average_precision : float
        Area under precision over recall (PASCAL VOC 2010), IoU of at least 0.5.
    best_score : float
        Detections that score as much or more have the best F1, the harmonic mean of recall and precision.
        The working threshold if nobody was found.
    recall, precision : float
        Of those.
    """

    people: int
    average_precision: float
    best_score: float
    recall: float
    precision: float


@dataclass(frozen=True, slots=True)
class _Found:
    """Detections of one picture that are right or wrong, best first."""

    score: Float32Array
    right: BoolArray


def judge(network: FairMOT, pictures: Sequence[LabelledPicture], input_size: tuple[int, int]) -> Judgement:
    """Look for people in pictures.

    Parameters
    ----------
    network : FairMOT
        Left in the mode in which it is.
    pictures : sequence of LabelledPicture
    input_size : (int, int)
        Width and height of the network's input, pixels.
    """
    was_training = network.training
    network.eval()
    people, found = 0, []
    for picture in pictures:
        piece = fit_piece(picture, input_size)
        boxes, scores = _look(network, piece)
        people += int(piece.counted.sum())
        found.append(_match(piece, boxes, scores))
    network.train(was_training)
    score = np.concatenate([np.zeros(0, np.float32), *(f.score for f in found)])
    right = np.concatenate([np.zeros(0, bool), *(f.right for f in found)])
    order = np.argsort(-score, kind="stable")
    return _judge(score[order], right[order], people)


def with_working_threshold(network: FairMOT, best_score: float) -> FairMOT:
    """Copy a network with a shifted bias of the heatmap: what scored the best score scores the threshold.

    Training moves scores; the tracker's threshold, and that of whoever uses the checkpoint, stays.
    """
    network = copy.deepcopy(network)
    shift = torch.logit(torch.tensor(WORKING_THRESHOLD)) - torch.logit(torch.tensor(best_score), eps=1e-6)
    bias = cast(nn.Conv2d, network.hm[-1]).bias
    assert bias is not None
    with torch.no_grad():
        bias += shift.to(bias)
    return network


def _look(network: FairMOT, piece: Piece) -> tuple[Float32Array, Float32Array]:
    device = next(network.parameters()).device
    with torch.inference_mode():
        heads = network(normalise_images(torch.from_numpy(piece.image[None]).to(device)))
        boxes, scores, *_ = decode(heads, MAX_DETECTIONS)
    return boxes[0].cpu().numpy(), scores[0].cpu().numpy()


def _match(piece: Piece, boxes: Float32Array, scores: Float32Array) -> _Found:
    """Give each detection, best first, the free person it overlaps most; those of nobody counted fall out."""
    if not len(piece.xyxy):
        return _Found(scores, np.zeros(len(scores), bool))
    overlap = iou_inclusive(boxes.astype(np.float64), piece.xyxy.astype(np.float64))
    free = np.ones(len(piece.xyxy), bool)
    right, kept = np.zeros(len(scores), bool), np.ones(len(scores), bool)
    for row in range(len(scores)):
        candidates = np.where(free & piece.counted, overlap[row], 0)
        best = int(candidates.argmax())
        if candidates[best] >= MIN_IOU:
            free[best], right[row] = False, True
        elif (overlap[row][~piece.counted] >= MIN_IOU).any():
            kept[row] = False
    return _Found(scores[kept], right[kept])


def _judge(score: Float32Array, right: BoolArray, people: int) -> Judgement:
    """Compute the figures of detections that are sorted, best first."""
    if not right.any():
        return Judgement(people, 0.0, WORKING_THRESHOLD, 0.0, 0.0)
    hits = np.cumsum(right)
    recall, precision = hits / people, hits / np.arange(1, len(hits) + 1)
    # Precision at a recall is the best at that recall or a higher one.
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    best = int((hits / (people + np.arange(1, len(hits) + 1))).argmax())
    return Judgement(
        people=people,
        average_precision=float(envelope[right].sum() / people),
        best_score=float(score[best]),
        recall=float(recall[best]),
        precision=float(precision[best]),
    )
