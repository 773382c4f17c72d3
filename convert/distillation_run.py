"""The run of a distillation: until time, number or thresholds say stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_fairmot.benchmarks.parity_report import ParityReport
from edge_fairmot.convert.agreement import Agreement
from edge_fairmot.convert.checkpoint import write_checkpoint
from edge_fairmot.convert.distillation import Distillation
from edge_fairmot.convert.learning_run import RunLimits, run_steps


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
    on_judgement: Callable[[int, ParityReport], None] = lambda steps, report: None,
) -> ParityReport:
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
    ParityReport
        The last.
    """
    reports: list[ParityReport] = []

    def judge() -> bool:
        report = agreement.judge(distillation.average)
        reports[:] = [report]
        files.write(distillation)
        on_judgement(distillation.steps, report)
        return report.passed

    def save() -> None:
        distillation.save(files.resume, files.teacher_sha256)

    run_steps(distillation, limits, judge=judge, save=save, on_step=on_step)
    return reports[0]
