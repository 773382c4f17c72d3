"""FairMOT's losses (Zhang et al., IJCV 2021): detection and identity, weighed by their uncertainty."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from edge_fairmot.convert.deploy import extents_of, heads_at
from edge_fairmot.convert.network import FairMOT
from edge_fairmot.convert.training.targets import Targets

BOX_WEIGHT = 0.1
"""Weight of the box extents. They are in cells, and large beside heatmap and offsets."""

IMITATION_WEIGHT = 1.0
"""Weight of a teacher's embeddings beside the identities without one."""

LOG_VARIANCES = (-1.85, -1.05)
"""Start values for detection and identity, as in the original's training."""

TEMPERATURE = 0.1
"""Divisor of cosines in the contrast: a cosine of 0.6, the tracker's limit, weighs a fiftieth of one of 1."""


class TaskLoss(nn.Module):
    """The whole loss; its weights are not kept. Uncertainty weighs the tasks (Kendall et al., CVPR 2018)."""

    def __init__(
        self, identity: ClassLoss | ContrastLoss, overlap_weight: float = 0.0, *, bf16: bool = False
    ) -> None:
        super().__init__()
        self.identity, self._bf16 = identity, bf16
        self._overlap_weight = overlap_weight
        self.log_variances = nn.Parameter(torch.tensor(LOG_VARIANCES))

    def forward(self, network: FairMOT, features: Tensor, targets: Targets) -> dict[str, Tensor]:
        """Compute the parts of the loss and their ``total`` from float32 (N, C, H / 4, W / 4)."""
        heads = (network.wh, network.reg, network.id)
        found = heads_at(features, targets.cells, heads, len(features))
        found = (extents_of(found[0], targets.class_id), *found[1:])
        wh, reg, embedding = (head.float()[targets.valid] for head in found)
        true_wh, true_reg = targets.wh[targets.valid], targets.reg[targets.valid]
        true_boxes = corners(true_wh, true_reg)
        identity, taught = targets.identity[targets.valid], targets.embedding[targets.valid]
        # Where a teacher tells people apart, boxes of two images may well be of one person.
        is_taught = (taught != 0).any(dim=1)
        own = ~is_taught & (identity >= 0)
        embedding = F.normalize(embedding, dim=1)
        parts = {
            "heatmap": focal_loss(self._heatmap(network, features), targets.heatmap),
            "boxes": _mean_error(wh, true_wh),
            "offsets": _mean_error(reg, true_reg),
            "overlap": giou_loss(corners(wh, reg), true_boxes).sum() / max(1, len(wh)),
            "identity": self.identity(embedding[own], identity[own]),
            "imitation": imitation_loss(embedding[is_taught], taught[is_taught]),
        }
        detection_variance, identity_variance = self.log_variances
        detection = (
            parts["heatmap"]
            + BOX_WEIGHT * parts["boxes"]
            + parts["offsets"]
            + self._overlap_weight * parts["overlap"]
        )
        total = 0.5 * (
            torch.exp(-detection_variance) * detection
            + torch.exp(-identity_variance) * (parts["identity"] + IMITATION_WEIGHT * parts["imitation"])
            + detection_variance
            + identity_variance
        )
        return {**parts, "total": total}

    def _heatmap(self, network: FairMOT, features: Tensor) -> Tensor:
        """Compute the one head that is needed everywhere: in float32 it is a quarter of a step's time."""
        with torch.autocast(features.device.type, torch.bfloat16, enabled=self._bf16):
            heatmap: Tensor = network.hm(features)
        return heatmap.float()


class ClassLoss(nn.Module):
    """Cross entropy of identities as classes, as FairMOT trains them.

    Each box of a single image is a class of its own. Under changes of scale, side and light, this learns
    embeddings without labels (the paper's self-supervised training). With ``imprint`` a class starts as the
    first embedding of its identity (weight imprinting, Qi et al., CVPR 2018). It is for a network with good
    embeddings: random classes would destroy them.

    ``class_of``, int64 (identities,), keeps identities of objects of several classes apart, as MCMOT does: a
    tracker never compares a car with a person, so each competes only with those of its class.
    """

    met: Tensor
    class_of: Tensor

    def __init__(
        self,
        embedding_dim: int,
        identities: int,
        *,
        imprint: bool = False,
        class_of: Tensor | None = None,
    ) -> None:
        super().__init__()
        self._imprint = imprint
        self.classifier = nn.Linear(embedding_dim, max(2, identities))
        self.register_buffer("met", torch.zeros(self.classifier.out_features, dtype=torch.bool))
        self.register_buffer("class_of", _padded(class_of, self.classifier.out_features), persistent=False)
        # Unit vectors are too close together for a softmax over many classes.
        self.embedding_scale = math.sqrt(2) * math.log(max(2, identities - 1))

    def forward(self, embedding: Tensor, identity: Tensor) -> Tensor:
        """Compute the loss of embeddings, float32 (N, D) of unit norm; 0 of none."""
        if self._imprint:
            self._imprint_new(embedding.detach(), identity)
        logits = self.classifier(self.embedding_scale * embedding)
        logits = logits.masked_fill(self.class_of[identity][:, None] != self.class_of, -torch.inf)
        return F.cross_entropy(logits, identity, reduction="sum") / max(1, len(embedding))

    def _imprint_new(self, embedding: Tensor, identity: Tensor) -> None:
        new = ~self.met[identity]
        with torch.no_grad():
            # As long as the random ones: longer weights are surer than such a class can be.
            self.classifier.weight[identity[new]] = embedding[new] / math.sqrt(3)
            self.classifier.bias[identity[new]] = 0
        self.met[identity] = True


class ContrastLoss(nn.Module):
    """Cross entropy of finding an identity again among the others of a batch (Khosla et al., NeurIPS 2020).

    It is the comparison that a tracker makes. Batches must show identities twice. ``class_of`` as in
    :class:`ClassLoss`.
    """

    class_of: Tensor

    def __init__(self, class_of: Tensor | None = None) -> None:
        super().__init__()
        self._several = class_of is not None
        self.register_buffer("class_of", _padded(class_of, 1), persistent=False)

    def forward(self, embedding: Tensor, identity: Tensor) -> Tensor:
        """Compute the loss of embeddings, float32 (N, D) of unit norm; 0 where no identity is there twice."""
        logits = embedding @ embedding.T / TEMPERATURE
        same = identity[:, None] == identity
        compared = ~same
        if self._several:
            compared &= self.class_of[identity][:, None] == self.class_of[identity]
        others = logits.masked_fill(~compared, -torch.inf)
        again = same & ~torch.eye(len(identity), dtype=torch.bool, device=same.device)
        # Each pair against all other identities; other pairs of the same identity are not negatives.
        one, other = torch.nonzero(again, as_tuple=True)
        right = logits[one, other]
        wrong = torch.logsumexp(others[one], dim=1)
        return F.softplus(wrong - right).sum() / max(1, len(right))


def _padded(class_of: Tensor | None, length: int) -> Tensor:
    """Return the classes of at least so many identities: of one class where none are given."""
    if class_of is None:
        return torch.zeros(length, dtype=torch.int64)
    return F.pad(class_of, (0, max(0, length - len(class_of))), value=-1)


def imitation_loss(ours: Tensor, theirs: Tensor) -> Tensor:
    """Compute how far embeddings are from a teacher's, unit vectors, float32 (N, D); 0 where they are equal.

    It is their mean cosine distance, and how differently ours and the teacher's choose among the teacher's of
    the batch (Kullback-Leibler divergence). With the distance alone, all would become the mean embedding.
    """
    if not len(ours):
        return ours.sum()
    own, wanted = (F.log_softmax(one @ theirs.T / TEMPERATURE, dim=1) for one in (ours, theirs))
    divergence = F.kl_div(own, wanted, reduction="batchmean", log_target=True)
    return (1 - (ours * theirs).sum(dim=1)).mean() + divergence


def focal_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Compute CenterNet's focal loss by the number of centres, cells whose target is 1.

    Zhou et al., 2019, equation 1, with exponents 2 and 4.
    """
    score = torch.sigmoid(logits)
    is_centre = target == 1
    centre = F.logsigmoid(logits) * (1 - score) ** 2
    background = F.logsigmoid(-logits) * score**2 * (1 - target) ** 4
    return -torch.where(is_centre, centre, background).sum() / is_centre.sum().clamp_min(1)


def corners(wh: Tensor, reg: Tensor) -> Tensor:
    """Compute boxes from values of the heads (see :class:`Targets`): float32 (N, 4), relative to cells."""
    low, high = (wh[:, :2], wh[:, 2:]) if wh.shape[1] == 4 else (wh / 2, wh / 2)
    return torch.cat((reg - low, reg + high), dim=1)


def giou_loss(ours: Tensor, theirs: Tensor) -> Tensor:
    """Compute 1 - GIoU of xyxy boxes, the same for small and large ones (Rezatofighi et al., CVPR 2019).

    A side of ours below 0 counts as 0; theirs have an area. From 0 (equal) towards 2 (far apart).
    """
    shared = _area(torch.maximum(ours[:, :2], theirs[:, :2]), torch.minimum(ours[:, 2:], theirs[:, 2:]))
    around = _area(torch.minimum(ours[:, :2], theirs[:, :2]), torch.maximum(ours[:, 2:], theirs[:, 2:]))
    union = _area(ours[:, :2], ours[:, 2:]) + _area(theirs[:, :2], theirs[:, 2:]) - shared
    return 1 - shared / union + (around - union) / around


def _area(low: Tensor, high: Tensor) -> Tensor:
    return (high - low).clamp_min(0).prod(dim=1)


def _mean_error(ours: Tensor, theirs: Tensor) -> Tensor:
    return (ours - theirs).abs().sum() / max(1, ours.numel())
