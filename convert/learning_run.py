"""The run of a training or distillation: steps until time or number say stop, judged and saved on the way."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edge_fairmot.convert.network import check_sides
from edge_fairmot.errors import InvalidInputError

SAVE_EVERY_S = 120.0
"""What a power cut costs, at most."""


def check_learning(
    input_size: tuple[int, int], piece_side: int, batch_size: int, learning_rate: float, seed: int
) -> None:
    """Refuse what nothing can learn with, whether it is trained or distilled.

    Raises
    ------
    InvalidInputError
        If an option is out of its range; names it.
    """
    check_sides(width=input_size[0], height=input_size[1], piece_side=piece_side)
    if batch_size < 1:
        raise InvalidInputError(f"batch size must be at least 1, not {batch_size}")
    if not 0 < learning_rate < 1:
        raise InvalidInputError(f"learning rate must be between 0 and 1, not {learning_rate}")
    if seed < 0:
        raise InvalidInputError(f"seed must be 0 or more, not {seed}")


@dataclass(frozen=True, slots=True)
class RunLimits:
    """When to judge and when to stop.

    Attributes
    ----------
    steps : int or None
        In all, those before a resumption included.
    minutes : float or None
        Of this run.
    judge_every : int
        Steps between two judgements on the held-out frames.
    early_stop : bool
        Whether to stop when a judgement is within the student's budget.
    """

    steps: int | None = None
    minutes: float | None = None
    judge_every: int = 100
    early_stop: bool = True

    def __post_init__(self) -> None:
        if self.steps is None and self.minutes is None:
            raise InvalidInputError("a run needs an end: give steps or minutes")
        if (self.steps is not None and self.steps < 0) or (self.minutes is not None and self.minutes <= 0):
            raise InvalidInputError(
                f"steps must be 0 or more, minutes above 0: not {self.steps}, {self.minutes}"
            )
        if self.judge_every < 1:
            raise InvalidInputError(f"judgements must be 1 step apart or more, not {self.judge_every}")


class Learner(Protocol):
    """What learns, step by step."""

    steps: int

    def step(self) -> dict[str, float]:
        """Learn from one batch, and give the parts of its loss."""


def run_steps(
    learner: Learner,
    limits: RunLimits,
    *,
    judge: Callable[[], bool],
    save: Callable[[], None],
    on_step: Callable[[int, dict[str, float]], None],
) -> None:
    """Learn until the limits say stop.

    Parameters
    ----------
    learner : Learner
    limits : RunLimits
    judge : callable
        Judges what was reached, and writes it; at the start and at the end too. Says whether it is enough.
    save : callable
        Keeps what the next step depends on: a run that is cut off loses two minutes at most.
    on_step : callable
        Called with the number of steps and the parts of the loss.
    """
    began = saved = time.monotonic()
    while True:
        over = _is_over(limits, learner.steps, time.monotonic() - began)
        if over or learner.steps % limits.judge_every == 0:
            good = judge()
            saved = time.monotonic()
            if over or (limits.early_stop and good):
                return
        elif time.monotonic() - saved > SAVE_EVERY_S:
            save()
            saved = time.monotonic()
        losses = learner.step()
        on_step(learner.steps, losses)


def _is_over(limits: RunLimits, steps: int, elapsed_s: float) -> bool:
    too_many = limits.steps is not None and steps >= limits.steps
    return too_many or (limits.minutes is not None and elapsed_s >= 60 * limits.minutes)
