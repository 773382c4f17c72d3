"""How well a network finds people in pictures that it did not learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from edge_fairmot.benchmarks.peak_matching import MIN_IOU
from edge_fairmot.convert.deploy import decode
from edge_fairmot.convert.network import FairMOT, normalise_images
from edge_fairmot.convert.training.labelled import LabelledPicture
from edge_fairmot.convert.training.pieces import Piece, fit_piece
from edge_fairmot.geometry import iou_inclusive
from edge_fairmot.types import BoolArray, Float32Array

MAX_DETECTIONS = 200

WORKING_THRESHOLD = 0.4
"""Of scores: what the tracker starts tracks with."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Detection on held-out pictures.

    Attributes
    ----------
    people : int
        Counted, in all pictures.
    average_precision : float
        Area under precision over recall (PASCAL VOC 2010), IoU of at least 0.5.
    recall, precision : float
        At the working threshold.
    """

    people: int
    average_precision: float
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
    working = score > WORKING_THRESHOLD
    hits = int(right[working].sum())
    return Judgement(
        people=people,
        average_precision=_average_precision(score, right, people),
        recall=hits / max(1, people),
        precision=hits / max(1, int(working.sum())),
    )


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


def _average_precision(score: Float32Array, right: BoolArray, people: int) -> float:
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(right[order])
    precision = hits / np.arange(1, len(hits) + 1)
    # Precision at a recall is the best at that recall or a higher one.
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(envelope[right[order]].sum() / max(1, people))
