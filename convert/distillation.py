"""Distillation without labels: a student learns what its teacher makes of the user's frames.

The backbone holds no deformable layer. A student of the teacher's width shares it, frozen, and it is
computed once for both; neck and heads learn. Its batch norms keep the teacher's running statistics, in
training as in use: they are what an exported file folds into its convolutions, a batch of a few pieces has
none worth taking, and their scale and shift, which are trained, correct for what a plain convolution changes.

A narrower student starts from some of its teacher's channels and learns all of it, with statistics of its
own. 1x1 convolutions, thrown away afterwards, bring its features to the teacher's width where they are
compared.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edge_fairmot.convert.checkpoint import write_atomically
from edge_fairmot.convert.distillation_loss import Losses, compare_with_teacher
from edge_fairmot.convert.footage import Footage, draw_batch
from edge_fairmot.convert.learning_run import check_learning
from edge_fairmot.convert.network import FairMOT, level_channels, normalise_images
from edge_fairmot.convert.resume_file import check_origin, describe_options, read_resume_file
from edge_fairmot.convert.teacher import LEVELS, Teacher
from edge_fairmot.errors import InvalidInputError

WARM_UP_STEPS = 20
"""Adam's second moments mean nothing before that."""

MOMENTUM = 0.1
"""Of running statistics, PyTorch's own. The first batches weigh more: what a narrow student has at its start
is its teacher's, and far from its own."""

RESUME_VERSION = 2

MAP_LEVELS = (2, 3, 4, 2)
"""The backbone's levels that have as many channels as the neck's maps: strides 4, 8 and 16, and the last."""


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
        check_learning(self.input_size, self.piece_side, self.batch_size, self.learning_rate, self.seed)
        if not 0 <= self.average_decay < 1:
            raise InvalidInputError(f"average decay must be 0 or more and below 1, not {self.average_decay}")


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
        self._is_narrow = student.spec.base_channels != heads.spec.base_channels
        # Twice as fast on a CPU, whose convolutions have their gradients in this order only.
        student.train(self._is_narrow).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._student = student
        self._student.base.requires_grad_(self._is_narrow)
        self._average: FairMOT = copy.deepcopy(student).requires_grad_(False).eval()
        self._heads, self._teach, self._footage, self._options = heads, teach, footage, options
        self._device = next(student.parameters()).device
        self._widening = _make_widening(student, heads).to(self._device)
        self._trained = {name: p for name, p in student.named_parameters() if p.requires_grad}
        self._optimizer = torch.optim.Adam(
            [*self._trained.values(), *self._widening.parameters()], lr=options.learning_rate
        )
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
        with torch.autocast(self._device.type, torch.bfloat16, enabled=options.bf16):
            if self._is_narrow:
                self._set_momentum(max(MOMENTUM, 1 / (self.steps + 1)))
                pictures = normalise_images(torch.from_numpy(images).to(self._device))
                levels = self._student.base(pictures.contiguous(memory_format=torch.channels_last))[2:]
            else:
                levels = [level.to(memory_format=torch.channels_last) for level in lesson.levels]
            maps = self._student.neck(levels)
            widened = [widen(level) for widen, level in zip(self._widening, maps, strict=True)]
        losses = compare_with_teacher(self._student, self._heads, maps[-1], widened, lesson)
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
        write_atomically(
            path,
            {
                "version": RESUME_VERSION,
                "origin": self._origin(teacher_sha256),
                "steps": self.steps,
                "student": self._learnt(self._student),
                "average": self._learnt(self._average),
                "widening": self._widening.state_dict(),
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
        content = read_resume_file(path, RESUME_VERSION)
        check_origin(path, content["origin"], self._origin(teacher_sha256))
        # What is not in the file is the teacher's, and here already.
        self._student.load_state_dict(content["student"], strict=False)
        self._average.load_state_dict(content["average"], strict=False)
        self._widening.load_state_dict(content["widening"])
        self._optimizer.load_state_dict(content["optimizer"])
        self.steps = content["steps"]

    def _origin(self, teacher_sha256: str) -> dict[str, Any]:
        return {
            "teacher": teacher_sha256,
            "layers": sorted(self._student.spec.plain_layers),
            "width": self._student.spec.base_channels,
            "frames": self._footage.digest(),
            **describe_options(self._options),
        }

    def _learnt(self, network: FairMOT) -> dict[str, Tensor]:
        """Take what of a network's state is not the teacher's."""
        state: dict[str, Tensor] = network.state_dict()
        return {name: value for name, value in state.items() if self._is_narrow or name in self._trained}

    def _set_momentum(self, momentum: float) -> None:
        for module in self._student.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = momentum

    def _update_average(self) -> None:
        # Young averages forget faster, so that the start does not weigh for ever.
        decay = min(self._options.average_decay, self.steps / (self.steps + 10))
        with torch.no_grad():
            averages = dict(self._average.named_parameters())
            for name, value in self._trained.items():
                averages[name].lerp_(value, 1 - decay)
            if self._is_narrow:
                for theirs, ours in zip(self._average.buffers(), self._student.buffers(), strict=True):
                    theirs.copy_(ours)  # running statistics are averages already


def _make_widening(student: FairMOT, heads: FairMOT) -> nn.ModuleList:
    """Make what brings each of the neck's maps to the teacher's channels: nothing, where they are as many."""
    if student.spec.base_channels == heads.spec.base_channels:
        return nn.ModuleList(nn.Identity() for _ in range(LEVELS))
    narrow, wide = (level_channels(spec.base_channels) for spec in (student.spec, heads.spec))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.ModuleList(nn.Conv2d(narrow[i], wide[i], 1) for i in MAP_LEVELS)


def _as_numbers(losses: Losses) -> dict[str, float]:
    parts = {name: getattr(losses, name) for name in ("features", "heatmap", "boxes", "embeddings", "total")}
    return {name: float(value.detach()) for name, value in parts.items() if isinstance(value, Tensor)}
