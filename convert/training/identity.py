"""Two losses of identity: people as classes, and people told apart in two pictures of one place."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

TEMPERATURE = 0.1
"""Of the contrast between unit vectors: who is at the tracker's limit, a cosine of 0.6, weighs a fiftieth
of the person."""


class ClassLoss(nn.Module):
    """Cross entropy of the classes that embeddings are taken for, as FairMOT trains them.

    Every identity is a class. Boxes of single pictures are identities of their own: told apart from all
    others under changes of scale, side and light, their embeddings learn without labels (the paper's
    self-supervised training on single pictures).

    Parameters
    ----------
    embedding_dim : int
    identities : int
    imprint : bool
        Whether a class starts as the embedding of whom it is first seen in (weight imprinting, Qi et al.,
        CVPR 2018): for a network that tells people apart already, and would unlearn it from chance.
    """

    met: Tensor

    def __init__(self, embedding_dim: int, identities: int, *, imprint: bool = False) -> None:
        super().__init__()
        self._imprint = imprint
        self.classifier = nn.Linear(embedding_dim, max(2, identities))
        self.register_buffer("met", torch.zeros(self.classifier.out_features, dtype=torch.bool))
        # Unit vectors are too close together for a softmax over many classes.
        self.embedding_scale = math.sqrt(2) * math.log(max(2, identities - 1))

    def forward(self, embedding: Tensor, identity: Tensor) -> Tensor:
        """Compute the loss, a scalar: 0 of nobody.

        Parameters
        ----------
        embedding : float32 (N, D)
            Unit norm.
        identity : int64 (N,)
        """
        if self._imprint:
            self._meet(embedding.detach(), identity)
        logits = self.classifier(self.embedding_scale * embedding)
        return F.cross_entropy(logits, identity, reduction="sum") / max(1, len(embedding))

    def _meet(self, embedding: Tensor, identity: Tensor) -> None:
        new = ~self.met[identity]
        with torch.no_grad():
            # As long as those of chance: longer ones are surer than such a class can be.
            self.classifier.weight[identity[new]] = embedding[new] / math.sqrt(3)
            self.classifier.bias[identity[new]] = 0
        self.met[identity] = True


class ContrastLoss(nn.Module):
    """Cross entropy of whom of a batch a person is found again in (Khosla et al., NeurIPS 2020).

    It asks what a tracker asks: which of the people around is this one? Batches must show people twice.
    """

    def forward(self, embedding: Tensor, identity: Tensor) -> Tensor:
        """Compute the loss, a scalar: 0 where nobody is seen twice.

        Parameters
        ----------
        embedding : float32 (N, D)
            Unit norm.
        identity : int64 (N,)
        """
        logits = embedding @ embedding.T / TEMPERATURE
        same = identity[:, None] == identity
        others = logits.masked_fill(same, -torch.inf)
        again = same & ~torch.eye(len(identity), dtype=torch.bool, device=same.device)
        # Each pair against all who are somebody else; a person's other pairs are no rivals.
        someone, twice = torch.nonzero(again, as_tuple=True)
        right = logits[someone, twice]
        wrong = torch.logsumexp(others[someone], dim=1)
        return F.softplus(wrong - right).sum() / max(1, len(right))
