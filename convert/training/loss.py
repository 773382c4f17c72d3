"""FairMOT's losses (Zhang et al., IJCV 2021): detection and identity, weighed by their uncertainty."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from edge_fairmot.convert.deploy import heads_at
from edge_fairmot.convert.network import FairMOT
from edge_fairmot.convert.training.identity import ClassLoss, ContrastLoss
from edge_fairmot.convert.training.targets import Targets

BOX_WEIGHT = 0.1
"""Of the extents, which are in cells and large, beside heatmap and offsets."""

START = (-1.85, -1.05)
"""Logarithms of the variances of detection and identity at the start, as in the original's training."""


@dataclass(frozen=True, slots=True)
class Losses:
    """The parts of the loss, scalars.

    Attributes
    ----------
    heatmap : Tensor
        Focal loss, by the number of people.
    boxes, offsets : Tensor
        Mean absolute error at people's centres, cells.
    overlap : Tensor
        1 - GIoU of people's boxes, mean.
    identity : Tensor
        Of whom embeddings are taken for.
    total : Tensor
    """

    heatmap: Tensor
    boxes: Tensor
    offsets: Tensor
    overlap: Tensor
    identity: Tensor
    total: Tensor

    def as_numbers(self) -> dict[str, float]:
        """Give the parts by name."""
        return {part.name: float(getattr(self, part.name).detach()) for part in fields(self)}


class TaskLoss(nn.Module):
    """What is trained beside the network, and needed by nobody afterwards.

    Uncertainty weighs the tasks (Kendall et al., CVPR 2018).

    Parameters
    ----------
    identity : ClassLoss or ContrastLoss
    overlap_weight : float
        Of the overlap of boxes in the loss of detection; the original has none.
    """

    def __init__(self, identity: ClassLoss | ContrastLoss, overlap_weight: float = 0.0) -> None:
        super().__init__()
        self.identity = identity
        self._overlap_weight = overlap_weight
        self.log_variances = nn.Parameter(torch.tensor(START))

    def forward(self, network: FairMOT, features: Tensor, targets: Targets) -> Losses:
        """Compute the losses of one batch.

        Parameters
        ----------
        network : FairMOT
        features : float32 (N, C, H / 4, W / 4)
            What its heads look at.
        targets : Targets
        """
        heads = (network.wh, network.reg, network.id)
        wh, reg, embedding = (
            head.float()[targets.valid] for head in heads_at(features, targets.cells, heads, len(features))
        )
        heatmap = focal_loss(network.hm(features).float(), targets.heatmap)
        boxes = _mean_error(wh, targets.wh[targets.valid])
        offsets = _mean_error(reg, targets.reg[targets.valid])
        truth = corners(targets.wh[targets.valid], targets.reg[targets.valid])
        overlap = giou_loss(corners(wh, reg), truth).sum() / max(1, len(wh))
        identity = self.identity(F.normalize(embedding, dim=1), targets.identity[targets.valid])
        detection_variance, identity_variance = self.log_variances
        detection = heatmap + BOX_WEIGHT * boxes + offsets + self._overlap_weight * overlap
        total = 0.5 * (
            torch.exp(-detection_variance) * detection
            + torch.exp(-identity_variance) * identity
            + detection_variance
            + identity_variance
        )
        return Losses(heatmap, boxes, offsets, overlap, identity, total)


def focal_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Compute CenterNet's focal loss (Zhou et al., 2019, equation 1, with exponents 2 and 4).

    Parameters
    ----------
    logits, target : float32 (N, C, H, W)
        Before the sigmoid; 1 at centres, below 1 everywhere else.

    Returns
    -------
    Tensor
        Scalar, by the number of centres.
    """
    score = torch.sigmoid(logits)
    is_centre = target == 1
    found = F.logsigmoid(logits) * (1 - score) ** 2
    refused = F.logsigmoid(-logits) * score**2 * (1 - target) ** 4
    return -torch.where(is_centre, found, refused).sum() / is_centre.sum().clamp_min(1)


def corners(wh: Tensor, reg: Tensor) -> Tensor:
    """Compute boxes from what the heads say of them, as seen from their cells.

    Parameters
    ----------
    wh : float32 (N, 4 or 2)
        Left, top, right and bottom from the centre, or width and height; cells.
    reg : float32 (N, 2)
        The centre, in its cell.

    Returns
    -------
    Tensor
        float32 (N, 4): xyxy, cells.
    """
    low, high = (wh[:, :2], wh[:, 2:]) if wh.shape[1] == 4 else (wh / 2, wh / 2)
    return torch.cat((reg - low, reg + high), dim=1)


def giou_loss(ours: Tensor, theirs: Tensor) -> Tensor:
    """Compute 1 - GIoU, which small boxes have as much of as large ones (Rezatofighi et al., CVPR 2019).

    Parameters
    ----------
    ours, theirs : float32 (N, 4)
        xyxy. Of ours, a side below 0 counts as 0; theirs have an area.

    Returns
    -------
    Tensor
        float32 (N,): 0 where they are the same, towards 2 where they are far apart.
    """
    shared = _area(torch.maximum(ours[:, :2], theirs[:, :2]), torch.minimum(ours[:, 2:], theirs[:, 2:]))
    around = _area(torch.minimum(ours[:, :2], theirs[:, :2]), torch.maximum(ours[:, 2:], theirs[:, 2:]))
    union = _area(ours[:, :2], ours[:, 2:]) + _area(theirs[:, :2], theirs[:, 2:]) - shared
    return 1 - shared / union + (around - union) / around


def _area(low: Tensor, high: Tensor) -> Tensor:
    return (high - low).clamp_min(0).prod(dim=1)


def _mean_error(ours: Tensor, theirs: Tensor) -> Tensor:
    return (ours - theirs).abs().sum() / max(1, ours.numel())
