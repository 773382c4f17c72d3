"""Distillation without labels: a student's neck and heads learn what its teacher's make of the user's frames.

The backbone holds no deformable layer. It is the teacher's, frozen, and computed once for both. Batch norms
keep the teacher's running statistics, in training as in use: they are what an exported file folds into its
convolutions, a batch of a few pieces has none worth taking, and their scale and shift, which are trained,
correct for what a plain convolution changes.
"""

from __future__ import annotations

import copy
import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edge_fairmot.convert.checkpoint import write_atomically
from edge_fairmot.convert.distillation_loss import Losses, compare_with_teacher
from edge_fairmot.convert.footage import Footage, draw_batch
from edge_fairmot.convert.network import SIZE_MULTIPLE, FairMOT
from edge_fairmot.convert.teacher import Teacher
from edge_fairmot.errors import CheckpointError, InvalidInputError

WARM_UP_STEPS = 20
"""Adam's second moments mean nothing before that."""

RESUME_VERSION = 1


@dataclass(frozen=True, slots=True)
class DistillationOptions:
    """How a student learns. Two runs of the same options and frames on one CPU take the same steps.

    Attributes
    ----------
    input_size : (int, int)
        Width and height at which the network is used, pixels: pieces are cut at scales around it.
    piece_side : int
        Of the square pieces, pixels; a multiple of 32.
    batch_size : int
        Pieces a step.
    learning_rate : float
    average_decay : float
        Of the exponential moving average of the weights, which is what is kept.
    bf16 : bool
        Whether the student computes in bfloat16; weights and losses stay float32.
    seed : int
    """

    input_size: tuple[int, int] = (576, 320)
    piece_side: int = 256
    batch_size: int = 4
    learning_rate: float = 1e-4
    average_decay: float = 0.98
    bf16: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        width, height = self.input_size
        for name, value in (("width", width), ("height", height), ("piece side", self.piece_side)):
            if value < SIZE_MULTIPLE or value % SIZE_MULTIPLE:
                raise InvalidInputError(f"{name} must be a multiple of {SIZE_MULTIPLE}, not {value}")
        if self.batch_size < 1:
            raise InvalidInputError(f"batch size must be at least 1, not {self.batch_size}")
        if not (0 < self.learning_rate < 1 and 0 <= self.average_decay < 1):
            raise InvalidInputError(
                f"learning rate must be between 0 and 1 and average decay below 1, not {self.learning_rate} "
                f"and {self.average_decay}"
            )


class Distillation:
    """A student on its way.

    Parameters
    ----------
    student : FairMOT
        As it starts; trained in place.
    heads : FairMOT
        The teacher, whose heads say what features mean.
    teach : Teacher
        The teacher's features.
    footage : Footage
    options : DistillationOptions
    """

    def __init__(
        self,
        student: FairMOT,
        heads: FairMOT,
        teach: Teacher,
        footage: Footage,
        options: DistillationOptions,
    ) -> None:
        # Twice as fast on a CPU, whose convolutions have their gradients in this order only.
        student.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._student = student
        self._student.base.requires_grad_(False)
        self._average: FairMOT = copy.deepcopy(student).requires_grad_(False)
        self._heads, self._teach, self._footage, self._options = heads, teach, footage, options
        self._device = next(student.parameters()).device
        self._trained = {name: p for name, p in student.named_parameters() if p.requires_grad}
        self._optimizer = torch.optim.Adam(self._trained.values(), lr=options.learning_rate)
        self.steps = 0

    @property
    def average(self) -> FairMOT:
        """The averaged student, the one to keep."""
        return self._average

    def step(self) -> dict[str, float]:
        """Learn from one batch.

        Returns
        -------
        dict of str to float
            The parts of the loss, and their ``total``.
        """
        options = self._options
        seed = (options.seed, self.steps)
        images = draw_batch(self._footage, options.input_size, options.piece_side, options.batch_size, seed)
        lesson = self._teach(images)
        levels = [level.to(memory_format=torch.channels_last) for level in lesson.levels]
        with torch.autocast(self._device.type, torch.bfloat16, enabled=options.bf16):
            maps = self._student.neck(levels)
        losses = compare_with_teacher(self._student, self._heads, maps, lesson)
        self._optimizer.zero_grad(set_to_none=True)
        losses.total.backward()  # type: ignore[no-untyped-call]
        for group in self._optimizer.param_groups:
            group["lr"] = options.learning_rate * min(1.0, (self.steps + 1) / WARM_UP_STEPS)
        self._optimizer.step()
        self.steps += 1
        self._update_average()
        return _as_numbers(losses)

    def save(self, path: Path, teacher_sha256: str) -> None:
        """Write all that the next step depends on.

        Raises
        ------
        CheckpointError
            If it cannot be written.
        """
        average = dict(self._average.named_parameters())
        write_atomically(
            path,
            {
                "version": RESUME_VERSION,
                "origin": self._origin(teacher_sha256),
                "steps": self.steps,
                "student": {name: value.detach() for name, value in self._trained.items()},
                "average": {name: average[name] for name in self._trained},
                "optimizer": self._optimizer.state_dict(),
            },
        )

    def resume(self, path: Path, teacher_sha256: str) -> None:
        """Go on where a file of :meth:`save` left off.

        Raises
        ------
        CheckpointError
            If it cannot be read, or is of another teacher, other layers, options or frames.
        """
        content = read_resume_file(path)
        origin = self._origin(teacher_sha256)
        differing = [name for name, value in origin.items() if content["origin"].get(name) != value]
        if differing:
            raise CheckpointError(
                f"{path} was made with other {', '.join(differing)}: give the same arguments as then, "
                "or start anew without --resume"
            )
        average = dict(self._average.named_parameters())
        with torch.no_grad():
            for name, value in self._trained.items():
                value.copy_(content["student"][name])
                average[name].copy_(content["average"][name])
        self._optimizer.load_state_dict(content["optimizer"])
        self.steps = content["steps"]

    def _origin(self, teacher_sha256: str) -> dict[str, Any]:
        options = {**asdict(self._options), "input_size": list(self._options.input_size)}
        return {
            "teacher": teacher_sha256,
            "layers": sorted(self._student.spec.plain_layers),
            "frames": _digest(self._footage),
            **{name.replace("_", " "): value for name, value in options.items()},
        }

    def _update_average(self) -> None:
        # Young averages forget faster, so that the start does not weigh for ever.
        decay = min(self._options.average_decay, self.steps / (self.steps + 10))
        with torch.no_grad():
            averages = dict(self._average.named_parameters())
            for name, value in self._trained.items():
                averages[name].lerp_(value, 1 - decay)


def read_resume_file(path: Path) -> dict[str, Any]:
    """Read what :meth:`Distillation.save` wrote.

    Raises
    ------
    CheckpointError
        If it is something else.
    """
    if not path.is_file():
        raise CheckpointError(f"there is nothing to resume at {path}: start without --resume")
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        if content["version"] != RESUME_VERSION:
            raise ValueError(content["version"])
    except Exception as error:  # torch.load raises what its many readers raise
        raise CheckpointError(
            f"{path} is not a resume file of this edge-fairmot: delete it and start without --resume"
        ) from error
    return content


def _as_numbers(losses: Losses) -> dict[str, float]:
    parts = {name: getattr(losses, name) for name in ("features", "heatmap", "boxes", "embeddings", "total")}
    return {name: float(value.detach()) for name, value in parts.items() if isinstance(value, Tensor)}


def _digest(footage: Footage) -> str:
    digest = hashlib.sha256()
    for picture in footage.pictures:
        digest.update(picture.tobytes())
    return digest.hexdigest()
