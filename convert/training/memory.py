"""What a network goes on knowing while it learns: what a teacher says of pictures without labels.

Learning without forgetting (Li and Hoiem, ECCV 2016): a network that is trained further forgets whatever the
new pictures do not show. On pieces of others, its heads stay with those of the teacher, as in distillation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from edge_fairmot.convert.distillation_loss import compare_heads
from edge_fairmot.convert.footage import Footage, draw_batch
from edge_fairmot.convert.network import FairMOT
from edge_fairmot.convert.teacher import Lesson, make_teacher
from edge_fairmot.types import UInt8Array

if TYPE_CHECKING:
    from edge_fairmot.convert.training.training import TrainingOptions

PIECES_LEARNT_PER_REMEMBERED = 3

WEIGHT = 4.0
"""Beside the loss of the labels, whose detection part is multiplied by about 3 (its uncertainty weight)."""


@dataclass(frozen=True, slots=True)
class Reminder:
    """Pieces of pictures, and what the teacher says of them.

    Attributes
    ----------
    images : uint8 (N, side, side, 3)
        BGR.
    lesson : Lesson
    teacher : FairMOT
    """

    images: UInt8Array
    lesson: Lesson
    teacher: FairMOT

    def loss(self, network: FairMOT, features: Tensor) -> Tensor:
        """Compute how far a network's heads are from the teacher's: a scalar, 0 where they agree.

        Parameters
        ----------
        network : FairMOT
        features : float32 (N, C, side / 4, side / 4)
            What its heads look at, of these pieces.
        """
        heatmap, boxes, embeddings = compare_heads(network, self.teacher, features, self.lesson)
        return heatmap + boxes + embeddings


class Memory:
    """Reminds a network of what its teacher knows.

    Parameters
    ----------
    teacher : FairMOT
        On the device on which is trained.
    teacher_sha256 : str
    footage : Footage
        The pictures, without labels.
    options : TrainingOptions
        Of the training: a third as many pieces are remembered in a step as are learnt from.

    Attributes
    ----------
    spec : NetworkSpec
        The teacher's.
    origin : dict of str to str
        What a run with it depends on.
    """

    def __init__(
        self,
        teacher: FairMOT,
        teacher_sha256: str,
        footage: Footage,
        options: TrainingOptions,
    ) -> None:
        self.spec = teacher.spec
        self._teacher = teacher.eval().requires_grad_(False)
        self._footage, self._options = footage, options
        self._count = max(1, options.batch_size // PIECES_LEARNT_PER_REMEMBERED)
        self._teach = make_teacher(teacher, (self._count, options.piece_side, options.piece_side))
        self.origin = {"teacher": teacher_sha256, "remembered": footage.digest()}

    def remind(self, seed: tuple[int, int]) -> Reminder:
        """Draw pieces; the same seed draws the same."""
        options = self._options
        images = draw_batch(self._footage, options.input_size, options.piece_side, self._count, seed)
        return Reminder(images, self._teach(images), self._teacher)
