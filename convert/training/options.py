"""Options of training and distillation, checked before torch is loaded."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edge_fairmot.errors import InvalidInputError

FREEZABLE = ("nothing", "early", "backbone")
"""What weights stay, those of batch norms too. The early layers are the first ones, with the most pixels."""

SIZE_MULTIPLE = 32
"""Sides of images must divide by the backbone's largest stride."""


@dataclass(frozen=True, slots=True)
class LearningOptions:
    """What training and distillation share. On one CPU, the same options and data give the same steps."""

    input_size: tuple[int, int] = (576, 320)  # width, height in use, pixels; crops have scales around it
    crop_size: int = 256  # side of the square crops, pixels
    batch_size: int = 4  # crops a step
    learning_rate: float = 1e-4  # the highest
    average_decay: float | None = None  # of the exponential moving average of the weights; None: no average
    bf16: bool = False  # the network computes in bfloat16; weights and losses stay float32
    seed: int = 0

    def __post_init__(self) -> None:
        sides = {"width": self.input_size[0], "height": self.input_size[1], "crop size": self.crop_size}
        for name, side in sides.items():
            if side < SIZE_MULTIPLE or side % SIZE_MULTIPLE:
                raise InvalidInputError(f"{name} must be a multiple of {SIZE_MULTIPLE}, not {side}")
        if self.batch_size < 1:
            raise InvalidInputError(f"batch size must be at least 1, not {self.batch_size}")
        if not 0 < self.learning_rate < 1:
            raise InvalidInputError(f"learning rate must be between 0 and 1, not {self.learning_rate}")
        if self.average_decay is not None and not 0 <= self.average_decay < 1:
            raise InvalidInputError(f"average decay must be 0 or more and below 1, not {self.average_decay}")
        if self.seed < 0:
            raise InvalidInputError(f"seed must be 0 or more, not {self.seed}")


@dataclass(frozen=True, slots=True)
class TrainingOptions(LearningOptions):
    """How a network is trained on labels."""

    batch_size: int = 6
    steps: int = 3000  # in all; the learning rate falls to zero over them
    overlap_weight: float = 0.0  # of 1 - GIoU beside the original's losses, which measure boxes in pixels
    pairs: bool = False  # crops come in pairs of one place, and identities are contrasted, not classified
    freeze: str = "nothing"  # one of FREEZABLE
    mosaics: float = 0.0  # share of the crops that four images are put together in
    degrade: bool = False  # some crops are blurred, noisy, compressed or dark
    batch_statistics: bool = False  # batch norms learn statistics (from scratch), or keep the start's

    def __post_init__(self) -> None:
        LearningOptions.__post_init__(self)
        if self.steps < 1:
            raise InvalidInputError(f"steps must be at least 1, not {self.steps}")
        if self.pairs and self.batch_size % 2:
            raise InvalidInputError(f"pairs need an even batch size, not {self.batch_size}")
        if self.freeze not in FREEZABLE:
            raise InvalidInputError(f"--freeze {self.freeze!r}: choose from {', '.join(FREEZABLE)}")
        if not 0 <= self.mosaics <= 1:
            raise InvalidInputError(f"share of mosaics must be between 0 and 1, not {self.mosaics:g}")
        if not 0 <= self.overlap_weight < math.inf:
            raise InvalidInputError(f"overlap weight must be 0 or more, not {self.overlap_weight:g}")


@dataclass(frozen=True, slots=True)
class DistillationOptions(LearningOptions):
    """How a student learns from its teacher."""

    average_decay: float = 0.98


@dataclass(frozen=True, slots=True)
class RunLimits:
    """When a run is validated and when it ends."""

    steps: int | None = None  # in all, those before a resumption included
    minutes: float | None = None  # of this run
    validate_every: int = 100  # steps
    early_stop: bool = False  # end when a validation passes

    def __post_init__(self) -> None:
        if self.steps is None and self.minutes is None:
            raise InvalidInputError("a run needs an end: give --steps or --minutes")
        if self.steps is not None and self.steps < 0:
            raise InvalidInputError(f"--steps must be 0 or more, not {self.steps}")
        if self.minutes is not None and self.minutes <= 0:
            raise InvalidInputError(f"--minutes must be above 0, not {self.minutes:g}")
        if self.validate_every < 1:
            raise InvalidInputError(f"--validate-every must be at least 1, not {self.validate_every}")
