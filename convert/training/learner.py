"""The learning loop of training and distillation: steps, resume files, and the run until its limits."""

from __future__ import annotations

import copy
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from edge_fairmot.convert.checkpoint import write_atomically
from edge_fairmot.convert.network import FairMOT
from edge_fairmot.convert.training.options import LearningOptions, RunLimits
from edge_fairmot.errors import CheckpointError, InvalidInputError

RESUME_VERSION = 4

SAVE_EVERY_S = 120.0
"""An interrupted run loses no more."""


class Learner(ABC):
    """A network with its optimizer, and the average of its weights; a subclass computes the losses of a step.

    ``extra`` holds weights that are learned beside the network and not kept. ``origin`` names what a run
    depends on: only a run of the same origin can resume it.
    """

    warm_up_steps: ClassVar[int]
    """Adam's second moments mean nothing before that."""

    def __init__(
        self, network: FairMOT, extra: nn.Module, options: LearningOptions, origin: Mapping[str, Any]
    ) -> None:
        # On a CPU, convolutions in this memory order learn twice as fast.
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network = self.average = network
        if options.average_decay is not None:
            self.average = copy.deepcopy(network).requires_grad_(False).eval()
        self._device = next(network.parameters()).device
        self._extra = extra.to(self._device)
        self._trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
        self._optimizer = torch.optim.Adam([*self._trained.values(), *extra.parameters()])
        self._options, self._origin = options, {**origin, **_describe(options)}
        self.steps = 0

    @abstractmethod
    def _losses(self, seed: tuple[int, int]) -> dict[str, Tensor]:
        """Compute the parts of the loss of the batch that a seed draws, and their ``total``."""

    def learning_rate(self) -> float:
        """Compute the learning rate of the next step."""
        return self._options.learning_rate * min(1.0, (self.steps + 1) / self.warm_up_steps)

    def step(self) -> dict[str, float]:
        """Learn from one batch; return the parts of the loss and their ``total``."""
        losses = self._losses((self._options.seed, self.steps))
        numbers = {name: float(loss.detach()) for name, loss in losses.items()}
        if not math.isfinite(numbers["total"]):
            raise InvalidInputError(
                f"the loss is not a number at step {self.steps}: start from an earlier checkpoint, with a "
                f"lower --learning-rate than {self._options.learning_rate:g}"
            )
        self._optimizer.zero_grad(set_to_none=True)
        losses["total"].backward()  # type: ignore[no-untyped-call]
        for group in self._optimizer.param_groups:
            group["lr"] = self.learning_rate()
        self._optimizer.step()
        self.steps += 1
        if self.average is not self.network:
            self._update_average()
        return numbers

    def save(self, path: Path) -> None:
        """Write all that the next step depends on, except what the origin provides again."""
        networks = {"network": self.network, "average": self.average}
        content = {
            "version": RESUME_VERSION,
            "origin": self._origin,
            "steps": self.steps,
            **{name: self._learned_state(network) for name, network in networks.items()},
            "extra": self._extra.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }
        write_atomically(path, content)

    def resume(self, path: Path) -> None:
        """Continue from a file of :meth:`save`; refuse one of another origin by what differs."""
        try:
            content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            if content["version"] != RESUME_VERSION:
                raise ValueError(content["version"])
        except Exception as error:  # torch.load raises what its many readers raise
            raise CheckpointError(
                f"{path} is not a resume file of this edge-fairmot: delete it and start without --resume"
            ) from error
        then, now = content["origin"], self._origin
        differing = [name for name in {**now, **then} if then.get(name) != now.get(name)]
        if differing:
            raise CheckpointError(
                f"{path} was made with other {', '.join(differing)}: give the same arguments as then, "
                "or start again without --resume"
            )
        self.average.load_state_dict(content["average"], strict=False)
        self.network.load_state_dict(content["network"], strict=False)
        self._extra.load_state_dict(content["extra"])
        self._optimizer.load_state_dict(content["optimizer"])
        self.steps = content["steps"]

    def _learned_state(self, network: FairMOT) -> dict[str, Tensor]:
        """Take the trained weights, and the statistics of batch norms where those are learned too."""
        buffers = {name for name, _ in network.named_buffers()} if self.network.training else set()
        learned = self._trained.keys() | buffers
        return {name: value for name, value in network.state_dict().items() if name in learned}

    def _update_average(self) -> None:
        # The first averages forget faster, so that the start does not count for long.
        decay = min(self._options.average_decay or 0.0, self.steps / (self.steps + 10))
        averages = dict(self.average.named_parameters())
        with torch.no_grad():
            for name, value in self._trained.items():
                averages[name].lerp_(value, 1 - decay)
            if self.network.training:
                for average, buffer in zip(self.average.buffers(), self.network.buffers(), strict=True):
                    average.copy_(buffer)  # running statistics are averages already


def run(
    learner: Learner,
    limits: RunLimits,
    resume_path: Path,
    *,
    validate: Callable[[], bool],
    on_step: Callable[[int, dict[str, float]], None] = lambda steps, losses: None,
) -> None:
    """Learn until the limits; ``validate`` is called at the start, on the way and at the end.

    It writes the checkpoint, and returns whether the network is good enough to stop early.
    """
    began = saved = time.monotonic()
    while True:
        over = _is_over(limits, learner.steps, time.monotonic() - began)
        validates = over or learner.steps % limits.validate_every == 0
        passed = validates and validate()
        if validates or time.monotonic() - saved > SAVE_EVERY_S:
            learner.save(resume_path)
            saved = time.monotonic()
        if over or (limits.early_stop and passed):
            return
        losses = learner.step()
        on_step(learner.steps, losses)


def _is_over(limits: RunLimits, steps: int, elapsed_s: float) -> bool:
    too_many = limits.steps is not None and steps >= limits.steps
    return too_many or (limits.minutes is not None and elapsed_s >= 60 * limits.minutes)


def _describe(options: LearningOptions) -> dict[str, Any]:
    """Name the options in words, for the origin."""
    return {field.name.replace("_", " "): getattr(options, field.name) for field in fields(options)}
