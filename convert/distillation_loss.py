"""How far a student's neck and heads are from its teacher's, without labels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from edge_fairmot.convert.deploy import decode_boxes, find_peaks, heads_at
from edge_fairmot.convert.network import FairMOT
from edge_fairmot.convert.teacher import Lesson

PEAKS = 32
"""Of a picture, the teacher's highest; each counts by its score, so that the tail adds little."""

SMALLEST_SIDE_PX = 8.0
"""Boxes are judged by their size, and those that are smaller as if they had this one."""


@dataclass(frozen=True, slots=True)
class Losses:
    """The parts of the loss, scalars that are 0 for a student that equals its teacher.

    Attributes
    ----------
    features : Tensor
        Of the neck's four maps: mean square difference by the teacher's mean square, averaged.
    heatmap : Tensor
        Kullback-Leibler divergence of the scores, cell by cell, by the sum of the teacher's scores.
    boxes : Tensor
        At the teacher's peaks: mean distance of a side, by the box's mean side.
    embeddings : Tensor
        There too: 1 - cosine.
    """

    features: Tensor
    heatmap: Tensor
    boxes: Tensor
    embeddings: Tensor

    @property
    def total(self) -> Tensor:
        """Sum of the parts, weighted so that none drowns the others at the start of a plain student."""
        return self.features + self.heatmap + self.boxes + self.embeddings


def compare_with_teacher(
    student: FairMOT, heads: FairMOT, features: Tensor, maps: list[Tensor], lesson: Lesson
) -> Losses:
    """Compute the losses of one batch.

    Parameters
    ----------
    student : FairMOT
    heads : FairMOT
        The network whose heads are the teacher's.
    features : Tensor
        What the student's heads look at.
    maps : list of Tensor
        The maps of its neck, with as many channels as the teacher's.
    lesson : Lesson

    Returns
    -------
    Losses
    """
    heatmap, boxes, embeddings = compare_heads(student, heads, features, lesson)
    return Losses(
        features=torch.stack(
            [_relative_error(a.float(), b) for a, b in zip(maps, lesson.maps, strict=True)]
        ).mean(),
        heatmap=heatmap,
        boxes=boxes,
        embeddings=embeddings,
    )


def compare_heads(
    student: FairMOT, heads: FairMOT, features: Tensor, lesson: Lesson
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute what of the loss is of heads: heatmap, boxes, embeddings; see :func:`compare_with_teacher`."""
    theirs, ours = lesson.maps[-1], features.float()
    scores, _, cells = find_peaks(torch.sigmoid(lesson.heatmap), min(PEAKS, lesson.heatmap[0].numel()))
    weight = scores / scores.sum().clamp_min(1e-6)
    with torch.no_grad():
        boxes, embeddings = _at_peaks(heads, theirs, cells)
    own_boxes, own_embeddings = _at_peaks(student, ours, cells)
    side = ((boxes[..., 2:] - boxes[..., :2]).abs().mean(dim=2)).clamp_min(SMALLEST_SIDE_PX)
    distance = (own_boxes - boxes).abs().mean(dim=2) / side
    cosine = F.cosine_similarity(own_embeddings, embeddings, dim=2)
    return (
        _divergence(student.hm(ours).float(), lesson.heatmap),
        (weight * distance).sum(),
        (weight * (1 - cosine)).sum(),
    )


def _at_peaks(network: FairMOT, features: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
    wh, reg, embedding = heads_at(features, cells, (network.wh, network.reg, network.id), len(features))
    return decode_boxes(cells, wh.float(), reg.float(), features.shape[3]), embedding.float()


def _relative_error(ours: Tensor, theirs: Tensor) -> Tensor:
    return F.mse_loss(ours, theirs) / theirs.square().mean().clamp_min(1e-12)


def _divergence(ours: Tensor, theirs: Tensor) -> Tensor:
    scores = torch.sigmoid(theirs)
    entropy = F.binary_cross_entropy_with_logits(theirs, scores, reduction="sum")
    crossed = F.binary_cross_entropy_with_logits(ours, scores, reduction="sum")
    return (crossed - entropy) / scores.sum().clamp_min(1.0)
