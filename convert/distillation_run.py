"""The run of a distillation: steps until time, number or thresholds say stop, judged and saved on the way."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_fairmot.benchmarks.ladder_report import LadderReport
from edge_fairmot.convert.agreement import Agreement
from edge_fairmot.convert.checkpoint import write_checkpoint
from edge_fairmot.convert.distillation import Distillation
from edge_fairmot.errors import InvalidInputError

SAVE_EVERY_S = 120.0
"""What a power cut costs, at most."""


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
            raise InvalidInputError("a distillation needs an end: give steps or minutes")
        if (self.steps is not None and self.steps < 0) or (self.minutes is not None and self.minutes <= 0):
            raise InvalidInputError(
                f"steps must be 0 or more, minutes above 0: not {self.steps}, {self.minutes}"
            )
        if self.judge_every < 1:
            raise InvalidInputError(f"judgements must be 1 step apart or more, not {self.judge_every}")


@dataclass(frozen=True, slots=True)
class StudentFiles:
    """Where a run leaves what it has reached.

    Attributes
    ----------
    student : Path
        The averaged student, in the original's format; written after each judgement.
    resume : Path
    teacher_sha256 : str
    """

    student: Path
    resume: Path
    teacher_sha256: str

    def write(self, distillation: Distillation) -> None:
        """Write both."""
        write_checkpoint(self.student, distillation.average, distillation.steps, self.teacher_sha256)
        distillation.save(self.resume, self.teacher_sha256)


def run_distillation(
    distillation: Distillation,
    agreement: Agreement,
    limits: RunLimits,
    files: StudentFiles,
    *,
    on_step: Callable[[int, dict[str, float]], None] = lambda steps, losses: None,
    on_judgement: Callable[[int, LadderReport], None] = lambda steps, report: None,
) -> LadderReport:
    """Distil until the limits say stop.

    Parameters
    ----------
    distillation : Distillation
        New or resumed.
    agreement : Agreement
    limits : RunLimits
    files : StudentFiles
        Overwritten as the run goes; a run that is cut off loses two minutes at most.
    on_step : callable, optional
        Called with the number of steps and the parts of the loss.
    on_judgement : callable, optional
        Called with the number of steps and the report, first of all for the student as it starts.

    Returns
    -------
    LadderReport
        The last.
    """
    began = saved = time.monotonic()
    while True:
        over = _is_over(limits, distillation.steps, time.monotonic() - began)
        if over or distillation.steps % limits.judge_every == 0:
            report = agreement.judge(distillation.average)
            files.write(distillation)
            saved = time.monotonic()
            on_judgement(distillation.steps, report)
            if over or (limits.early_stop and report.passed):
                return report
        elif time.monotonic() - saved > SAVE_EVERY_S:
            distillation.save(files.resume, files.teacher_sha256)
            saved = time.monotonic()
        losses = distillation.step()
        on_step(distillation.steps, losses)


def _is_over(limits: RunLimits, steps: int, elapsed_s: float) -> bool:
    too_many = limits.steps is not None and steps >= limits.steps
    return too_many or (limits.minutes is not None and elapsed_s >= 60 * limits.minutes)
