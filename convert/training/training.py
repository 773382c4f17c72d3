"""Training with FairMOT's losses on labelled images, and with a teacher's outputs on unlabelled ones."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from edge_fairmot.convert.network import FairMOT, normalise_images
from edge_fairmot.convert.training.crops import draw_crops, draw_labelled_crops
from edge_fairmot.convert.training.degradation import degrade
from edge_fairmot.convert.training.frames import UnlabelledFrames
from edge_fairmot.convert.training.labels import LabelledSet
from edge_fairmot.convert.training.learner import Learner
from edge_fairmot.convert.training.losses import ClassLoss, ContrastLoss, TaskLoss
from edge_fairmot.convert.training.options import TrainingOptions
from edge_fairmot.convert.training.targets import make_targets
from edge_fairmot.convert.training.teacher import TeacherOutputs, compare_heads, make_teacher
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.types import UInt8Array

LABELLED_PER_REHEARSED = 3

REHEARSAL_WEIGHT = 4.0
"""Beside the loss of the labels, whose detection part is multiplied by about 3 (its uncertainty weight)."""


DEGRADATION = 1
"""Added to the seed of a step: degradations are drawn apart from crops."""


class Rehearsal:
    """A teacher and unlabelled frames on which a network is to keep the teacher's heads.

    Learning without forgetting (Li and Hoiem, ECCV 2016): otherwise training forgets what the labelled
    images do not show.
    """

    def __init__(
        self, teacher: FairMOT, teacher_sha256: str, frames: UnlabelledFrames, options: TrainingOptions
    ) -> None:
        self.teacher = teacher.eval().requires_grad_(False)
        self._frames, self._options = frames, options
        self._count = max(1, options.batch_size // LABELLED_PER_REHEARSED)
        self._teach = make_teacher(teacher, (self._count, options.crop_size, options.crop_size))
        self.origin = {"teacher": teacher_sha256, "rehearsal frames": frames.digest()}

    def draw(self, seed: tuple[int, int]) -> tuple[UInt8Array, TeacherOutputs]:
        """Draw crops, and compute the teacher's outputs on them."""
        options = self._options
        images = draw_crops(self._frames.train, options.input_size, options.crop_size, self._count, seed)
        return images, self._teach(images)

    def loss(self, network: FairMOT, features: Tensor, outputs: TeacherOutputs) -> Tensor:
        """Compute how far a network's heads are from the teacher's: a scalar, 0 where they agree."""
        parts = compare_heads(network, self.teacher, features, outputs)
        return parts["heatmap"] + parts["boxes"] + parts["embeddings"]


class Training(Learner):
    """Trains a network of one class or of several, in place."""

    warm_up_steps = 50
    _options: TrainingOptions

    def __init__(
        self,
        network: FairMOT,
        labelled: LabelledSet,
        options: TrainingOptions,
        rehearsal: Rehearsal | None = None,
        *,
        start_sha256: str,
    ) -> None:
        _check(network, labelled, rehearsal)
        network.train(options.batch_statistics)
        parts = {"early": network.early_names, "backbone": network.backbone_names}
        network.freeze(parts.get(options.freeze, ()))
        origin = {
            "start": start_sha256,
            "plain layers": sorted(network.spec.plain_layers),
            "images": labelled.digest(),
            **(rehearsal.origin if rehearsal else {}),
        }
        super().__init__(network, _make_loss(network, labelled, options), options, origin)
        self.labelled, self._rehearsal = labelled, rehearsal

    def learning_rate(self) -> float:
        """Compute the learning rate of the next step: a short rise, then half a cosine down to zero."""
        return super().learning_rate() * 0.5 * (1 + math.cos(math.pi * self.steps / self._options.steps))

    def _losses(self, seed: tuple[int, int]) -> dict[str, Tensor]:
        options = self._options
        crops = draw_labelled_crops(
            self.labelled.train,
            options.input_size,
            options.crop_size,
            options.batch_size,
            seed,
            pairs=options.pairs,
            mosaics=options.mosaics,
        )
        spec = self.network.spec
        targets = make_targets(crops, spec.box_channels, spec.num_classes).to(self._device)
        generator = np.random.default_rng((*seed, DEGRADATION))
        images = np.stack(
            [degrade(crop.image, generator) if options.degrade else crop.image for crop in crops]
        )
        if self._rehearsal:
            rehearsed, outputs = self._rehearsal.draw(seed)
            images = np.concatenate([images, rehearsed])
        inputs = normalise_images(torch.from_numpy(images).to(self._device))
        with torch.autocast(self._device.type, torch.bfloat16, enabled=options.bf16):
            features = self.network.features(inputs.contiguous(memory_format=torch.channels_last)).float()
        losses: dict[str, Tensor] = self._extra(self.network, features[: len(crops)], targets)
        if self._rehearsal:
            rehearsal = self._rehearsal.loss(self.network, features[len(crops) :], outputs)
            losses |= {"rehearsal": rehearsal, "total": losses["total"] + REHEARSAL_WEIGHT * rehearsal}
        return losses


def _check(network: FairMOT, labelled: LabelledSet, rehearsal: Rehearsal | None) -> None:
    classes = network.spec.num_classes
    if rehearsal and rehearsal.teacher.spec.num_classes != classes:
        raise InvalidInputError(
            f"the teacher has {rehearsal.teacher.spec.num_classes} classes, the network {classes}: "
            "give another --teacher"
        )
    if max((int(image.class_id.max(initial=0)) for image in labelled.train), default=0) >= classes:
        raise InvalidInputError(f"the labels have more classes than the network, which has {classes}")
    if rehearsal and rehearsal.teacher.spec.embedding_dim != network.spec.embedding_dim:
        raise InvalidInputError(
            f"the network's embeddings have {network.spec.embedding_dim} numbers, the teacher's "
            f"{rehearsal.teacher.spec.embedding_dim}: give another --teacher"
        )
    if not labelled.people:
        raise InvalidInputError("the images to learn from have no boxes: give some with people")
    dims = {image.embedding.shape[1] for image in labelled.train if image.embedding is not None} - {0}
    if dims - {network.spec.embedding_dim}:
        raise InvalidInputError(
            f"the network's embeddings have {network.spec.embedding_dim} numbers, those of the labels "
            f"{max(dims)}: leave the embeddings out of the labels"
        )


def _make_loss(network: FairMOT, labelled: LabelledSet, options: TrainingOptions) -> TaskLoss:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        several = network.spec.num_classes > 1
        class_of = torch.from_numpy(labelled.class_of_identity()) if several else None
        identity: ClassLoss | ContrastLoss = ContrastLoss(class_of)
        if not options.pairs:
            # From scratch, embeddings mean nothing yet.
            imprint = not options.batch_statistics
            identity = ClassLoss(
                network.spec.embedding_dim, labelled.identities, imprint=imprint, class_of=class_of
            )
        return TaskLoss(identity, options.overlap_weight, bf16=options.bf16)
