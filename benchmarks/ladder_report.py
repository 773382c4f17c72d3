"""What the parity ladder found, and whether it is within the budget."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import edge_fairmot
from edge_fairmot.benchmarks.head_rung import HeadFigures, worst_errors
from edge_fairmot.benchmarks.parity_budget import ParityBudget
from edge_fairmot.benchmarks.peak_rungs import AgreementFigures, PeakFigures
from edge_fairmot.benchmarks.track_rungs import AssociationFigures, TrackFigures, TruthFigures

REPORT_SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Subject:
    """One side of the comparison.

    Attributes
    ----------
    name : str
        File.
    runtime : str
        What computed, as in ``cpu``, ``torch:cuda`` or ``golden (torch:cuda)``.
    checkpoint_sha256 : str
    precision : str
    details : dict of str to str
        Device, driver, versions.
    """

    name: str
    runtime: str
    checkpoint_sha256: str
    precision: str
    details: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ListedPeak:
    """An object that is counted apart.

    Attributes
    ----------
    sequence : str
    frame : int
        From 0.
    reference_score, candidate_score : float or None
        None where that side has no such peak.
    """

    sequence: str
    frame: int
    reference_score: float | None
    candidate_score: float | None


@dataclass(frozen=True, slots=True)
class Check:
    """One figure of a rung against its threshold.

    Attributes
    ----------
    rung, figure : str
    value : float or None
        None where it could not be measured.
    threshold : float or None
        None where the figure is reported and not judged.
    at_least : bool
        Whether more is better.
    """

    rung: str
    figure: str
    value: float | None
    threshold: float | None
    at_least: bool

    @property
    def passed(self) -> bool:
        """Whether the budget holds; what was not measured or is not judged does not break it."""
        if self.value is None or self.threshold is None:
            return True
        # Written so that NaN fails.
        return self.value >= self.threshold if self.at_least else self.value <= self.threshold


@dataclass(frozen=True, slots=True)
class LadderFigures:
    """All that was measured, rung by rung.

    Attributes
    ----------
    heads : dict of str to HeadFigures, or None
        None where one side has no dense heads.
    peaks : PeakFigures
    boxes, embeddings : AgreementFigures
    association : AssociationFigures
    tracks : TrackFigures
    truth : TruthFigures or None
        None where no ground truth was given.
    """

    heads: Mapping[str, HeadFigures] | None
    peaks: PeakFigures
    boxes: AgreementFigures
    embeddings: AgreementFigures
    association: AssociationFigures
    tracks: TrackFigures
    truth: TruthFigures | None


@dataclass(frozen=True, slots=True)
class LadderReport:
    """The report of one comparison.

    Attributes
    ----------
    reference, candidate : Subject
    sequences : tuple of (str, int)
        Names and frames.
    score_threshold : float
    budget : ParityBudget
    figures : LadderFigures
    checks : tuple of Check
        In the order of the rungs.
    undecided : tuple of ListedPeak
        Too near the score threshold to count; the first hundred.
    tied : tuple of ListedPeak
        Found in neighbouring cells of one score; the first hundred.
    """

    reference: Subject
    candidate: Subject
    sequences: tuple[tuple[str, int], ...]
    score_threshold: float
    budget: ParityBudget
    figures: LadderFigures
    checks: tuple[Check, ...]
    undecided: tuple[ListedPeak, ...]
    tied: tuple[ListedPeak, ...]

    @property
    def passed(self) -> bool:
        """Whether every rung is within the budget."""
        return all(check.passed for check in self.checks)

    @property
    def failed_rungs(self) -> tuple[str, ...]:
        """Names of the rungs that break the budget, the lowest first."""
        return tuple(dict.fromkeys(check.rung for check in self.checks if not check.passed))

    @property
    def frames(self) -> int:
        """How many frames were compared."""
        return sum(frames for _, frames in self.sequences)

    @property
    def measured(self) -> dict[str, float]:
        """Every figure that could be measured, by rung and name: what a certificate holds."""
        return {
            f"{check.rung}: {check.figure}": check.value for check in self.checks if check.value is not None
        }

    @property
    def basis(self) -> str:
        """With what, and on what, the figures were measured; without folders, which are nobody else's."""
        footage = ", ".join(f"{frames} frames of {Path(name).name}" for name, frames in self.sequences)
        return (
            f"{Path(self.reference.name).name} ({self.reference.runtime}), on {footage}, "
            f"above {self.score_threshold:g}, run by {self.candidate.runtime}"
        )

    def to_json(self) -> str:
        """Serialise, with the schema's version; a figure that is not finite becomes null."""
        content = {
            "schema_version": REPORT_SCHEMA_VERSION,
            "edge_fairmot": edge_fairmot.__version__,
            "passed": self.passed,
            "failed_rungs": self.failed_rungs,
            "frames": self.frames,
            **asdict(self),
            "checks": [{**asdict(check), "passed": check.passed} for check in self.checks],
        }
        return json.dumps(_finite(content), indent=2, allow_nan=False)


def judge(figures: LadderFigures, budget: ParityBudget) -> tuple[Check, ...]:
    """Hold figures against a budget.

    With ground truth, the candidate's MOTA and IDF1 must not be below the reference's 95 % interval. Where
    the footage is too short for one, they are reported and not judged.

    Returns
    -------
    tuple of Check
        In the order of the rungs.
    """
    largest, mean = worst_errors(figures.heads) if figures.heads else (None, None)
    peaks, tracks = figures.peaks, figures.tracks
    checks = [
        Check("heads", "largest error of range", largest, budget.head_largest_error, False),
        Check("heads", "mean error of range", mean, budget.head_mean_error, False),
        Check("peaks", "recall", peaks.recall, budget.recall, True),
        Check("peaks", "precision", peaks.precision, budget.precision, True),
        Check("peaks", "score shift, mean", peaks.score_shift_mean, None, False),
        Check("peaks", "score shift, deviation", peaks.score_shift_std, None, False),
        Check("boxes", "IoU, mean", figures.boxes.mean, budget.iou_mean, True),
        Check("boxes", "IoU, least", figures.boxes.least, budget.iou_min, True),
        Check("embeddings", "cosine, mean", figures.embeddings.mean, budget.cosine_mean, True),
        Check("embeddings", "cosine, least", figures.embeddings.least, budget.cosine_min, True),
        Check(
            "association", "frames that differ", figures.association.share, budget.association_share, False
        ),
        Check("tracks", "IDF1 against the reference's", tracks.idf1, budget.track_idf1, True),
        Check("tracks", "MOTA against the reference's", tracks.mota, None, True),
        Check("tracks", "identity switches", float(tracks.idsw), None, False),
    ]
    if figures.truth is not None:
        low = {name: both.reference.low for name, both in figures.truth.intervals.items()}
        candidate = figures.truth.candidate
        checks += [
            Check("ground truth", "MOTA", candidate.mota, low.get("mota"), True),
            Check("ground truth", "IDF1", candidate.idf1, low.get("idf1"), True),
            Check("ground truth", "HOTA", candidate.hota, None, True),
        ]
    return tuple(checks)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
