"""Training: step by step, the same steps whether or not it was interrupted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edge_fairmot.convert.checkpoint import write_atomically
from edge_fairmot.convert.learning_run import check_learning
from edge_fairmot.convert.network import FairMOT, normalise_images
from edge_fairmot.convert.resume_file import check_origin, describe_options, read_resume_file
from edge_fairmot.convert.training.identity import ClassLoss, ContrastLoss
from edge_fairmot.convert.training.labelled import LabelledSet
from edge_fairmot.convert.training.loss import TaskLoss
from edge_fairmot.convert.training.memory import WEIGHT, Memory
from edge_fairmot.convert.training.pieces import draw_pieces
from edge_fairmot.convert.training.targets import make_targets
from edge_fairmot.errors import InvalidInputError

WARM_UP_STEPS = 50
"""Adam's second moments mean nothing before that."""

RESUME_VERSION = 3


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """How a network learns. Two runs of the same options and pictures on one CPU take the same steps.

    Attributes
    ----------
    steps : int
        In all: the learning rate falls over them, by half a cosine, to nothing.
    input_size : (int, int)
        Width and height at which the network will be used, pixels: pieces are cut at scales around it.
    piece_side : int
        Of the square pieces, pixels; a multiple of 32.
    batch_size : int
        Pieces a step.
    learning_rate : float
        The highest.
    overlap_weight : float
        Of the boxes' overlap (1 - GIoU) beside the original's losses. Those measure in pixels: the box of a
        small person may be twice too wide, and costs little.
    pairs : bool
        Whether pieces come in pairs that show a place twice, and people are told apart in them, rather than
        by classes: those of thousands of people, each seen a few times, are slow to learn.
    freeze_backbone : bool
        Whether the backbone stays as it is, and its batch norms' weights with it: a step is shorter.
    batch_statistics : bool
        Whether batch norms take the statistics of a batch, and learn them: what a network needs that starts
        from nothing. A trained one keeps its own: those of a few pieces are worse. The classes that it tells
        people apart by then start from what it makes of them.
    bf16 : bool
        Whether to compute in bfloat16; weights and losses stay float32.
    seed : int
    """

    steps: int = 3000
    input_size: tuple[int, int] = (576, 320)
    piece_side: int = 256
    batch_size: int = 6
    learning_rate: float = 1e-4
    overlap_weight: float = 0.0
    pairs: bool = False
    freeze_backbone: bool = False
    batch_statistics: bool = False
    bf16: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        check_learning(self.input_size, self.piece_side, self.batch_size, self.learning_rate, self.seed)
        if self.steps < 1:
            raise InvalidInputError(f"steps must be at least 1, not {self.steps}")
        if self.pairs and self.batch_size % 2:
            raise InvalidInputError(f"pairs need an even batch size, not {self.batch_size}")
        if not 0 <= self.overlap_weight < math.inf:
            raise InvalidInputError(f"overlap weight must be 0 or more, not {self.overlap_weight:g}")


class Training:
    """A network on its way.

    Parameters
    ----------
    network : FairMOT
        Of one class; trained in place.
    labelled : LabelledSet
    options : TrainingOptions
    memory : Memory, optional
        Of what it must not forget.

    Raises
    ------
    InvalidInputError
        If the network has several classes, there is nothing to learn from, or the teacher has several
        classes or embeds otherwise.
    """

    def __init__(
        self,
        network: FairMOT,
        labelled: LabelledSet,
        options: TrainingOptions,
        memory: Memory | None = None,
    ) -> None:
        if network.spec.num_classes != 1:
            raise InvalidInputError(
                f"the network has {network.spec.num_classes} classes, and training knows people only: give a "
                "checkpoint with one"
            )
        if memory and memory.spec.num_classes != 1:
            raise InvalidInputError(
                f"the teacher has {memory.spec.num_classes} classes, and training knows people only: give "
                "another --teacher"
            )
        if memory and memory.spec.embedding_dim != network.spec.embedding_dim:
            raise InvalidInputError(
                f"the network's embeddings have {network.spec.embedding_dim} numbers, the teacher's "
                f"{memory.spec.embedding_dim}: give another --teacher"
            )
        if not labelled.identities:
            raise InvalidInputError("there is nobody in the pictures to learn from: give some with boxes")
        self.network = network.train(options.batch_statistics)
        network.base.requires_grad_(not options.freeze_backbone)
        # Twice as fast on a CPU, whose convolutions have their gradients in this order only.
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._labelled, self._options, self._memory = labelled, options, memory
        self._device = next(network.parameters()).device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            identity: ClassLoss | ContrastLoss = ContrastLoss()
            if not options.pairs:
                imprint = not options.batch_statistics
                identity = ClassLoss(network.spec.embedding_dim, labelled.identities, imprint=imprint)
            loss = TaskLoss(identity, options.overlap_weight)
        self._loss = loss.to(self._device)
        self._optimizer = torch.optim.Adam([*network.parameters(), *self._loss.parameters()])
        self.steps = 0

    def step(self) -> dict[str, float]:
        """Learn from one batch.

        Returns
        -------
        dict of str to float
            The parts of the loss, and their ``total``.

        Raises
        ------
        InvalidInputError
            If a picture is damaged, or the loss is no number any more.
        """
        options = self._options
        seed = (options.seed, self.steps)
        pieces = draw_pieces(
            self._labelled.pictures,
            options.input_size,
            options.piece_side,
            options.batch_size,
            seed,
            pairs=options.pairs,
        )
        targets = make_targets(pieces, self.network.spec.box_channels).to(self._device)
        reminder = self._memory.remind(seed) if self._memory else None
        shown = np.stack([piece.image for piece in pieces])
        if reminder:
            shown = np.concatenate([shown, reminder.images])
        images = torch.from_numpy(shown).to(self._device)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=options.bf16):
            features = self.network.features(
                normalise_images(images).contiguous(memory_format=torch.channels_last)
            )
        losses = self._loss(self.network, features[: len(pieces)].float(), targets)
        numbers: dict[str, float] = losses.as_numbers()
        total = losses.total
        if reminder:
            forgotten = reminder.loss(self.network, features[len(pieces) :].float())
            total = total + WEIGHT * forgotten
            numbers |= {"memory": float(forgotten.detach()), "total": float(total.detach())}
        if not math.isfinite(numbers["total"]):
            raise InvalidInputError(
                f"the loss is no number any more at step {self.steps}: go on from an earlier checkpoint with "
                f"a lower --learning-rate than {options.learning_rate:g}"
            )
        self._optimizer.zero_grad(set_to_none=True)
        total.backward()
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate_at(self.steps, options)
        self._optimizer.step()
        self.steps += 1
        return numbers

    def save(self, path: Path, start_sha256: str) -> None:
        """Write all that the next step depends on.

        Raises
        ------
        CheckpointError
            If it cannot be written.
        """
        write_atomically(
            path,
            {
                "version": RESUME_VERSION,
                "origin": self._origin(start_sha256),
                "steps": self.steps,
                "network": self.network.state_dict(),
                "loss": self._loss.state_dict(),
                "optimizer": self._optimizer.state_dict(),
            },
        )

    def resume(self, path: Path, start_sha256: str) -> None:
        """Go on where a file of :meth:`save` left off.

        Raises
        ------
        CheckpointError
            If it cannot be read, or is of another start, other options or pictures.
        """
        content = read_resume_file(path, RESUME_VERSION)
        check_origin(path, content["origin"], self._origin(start_sha256))
        self.network.load_state_dict(content["network"])
        self._loss.load_state_dict(content["loss"])
        self._optimizer.load_state_dict(content["optimizer"])
        self.steps = content["steps"]

    def _origin(self, start_sha256: str) -> dict[str, Any]:
        return {
            "start": start_sha256,
            "plain layers": sorted(self.network.spec.plain_layers),
            "pictures": self._labelled.digest(),
            **(self._memory.origin if self._memory else {}),
            **describe_options(self._options),
        }


def learning_rate_at(step: int, options: TrainingOptions) -> float:
    """Compute a step's learning rate: a short rise, then half a cosine down to nothing."""
    rise = min(1.0, (step + 1) / WARM_UP_STEPS)
    return options.learning_rate * rise * 0.5 * (1 + math.cos(math.pi * step / options.steps))
