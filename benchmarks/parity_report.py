"""Result of a parity check: figures against a budget, as JSON and as one HTML page."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

import edge_fairmot
from edge_fairmot.benchmarks.disagreement import STYLE, Disagreement, render_figure
from edge_fairmot.benchmarks.parity_budget import ParityBudget
from edge_fairmot.benchmarks.parity_levels import (
    AssociationFigures,
    HeadFigures,
    TrackFigures,
    TruthFigures,
)
from edge_fairmot.benchmarks.peak_matching import AgreementFigures, PeakFigures

REPORT_SCHEMA_VERSION = 2


@dataclass(frozen=True, slots=True)
class Subject:
    """One side of the comparison."""

    name: str  # file
    runtime: str  # as in cpu, torch:cuda or recorded (torch:cuda)
    checkpoint_sha256: str
    precision: str
    details: Mapping[str, str]  # device, driver, versions


@dataclass(frozen=True, slots=True)
class ListedPeak:
    """An object that is counted apart; a score is None where that side has no such peak."""

    sequence: str
    frame: int  # from 0
    reference_score: float | None
    candidate_score: float | None


@dataclass(frozen=True, slots=True)
class Check:
    """One figure of a level against its threshold."""

    level: str
    figure: str
    value: float | None  # None where it cannot be measured
    threshold: float | None  # None where the figure is reported only
    at_least: bool  # more is better

    @property
    def passed(self) -> bool:
        """Whether the budget holds; a figure without a value or a threshold does not break it."""
        if self.value is None or self.threshold is None:
            return True
        # Written so that NaN fails.
        return self.value >= self.threshold if self.at_least else self.value <= self.threshold

    @property
    def verdict(self) -> str:
        """``passed`` or ``failed``; empty where a value or a threshold is missing."""
        if self.threshold is None or self.value is None:
            return ""
        return "passed" if self.passed else "failed"

    @property
    def value_text(self) -> str:
        """Value with up to five decimals."""
        return "not measured" if self.value is None else _format(self.value)

    @property
    def threshold_text(self) -> str:
        """Threshold with its direction; empty where there is none."""
        return "" if self.threshold is None else f"{'≥' if self.at_least else '≤'} {_format(self.threshold)}"


@dataclass(frozen=True, slots=True)
class ParityFigures:
    """All figures, level by level."""

    heads: Mapping[str, HeadFigures] | None  # None where one side has no dense heads
    peaks: PeakFigures
    boxes: AgreementFigures
    embeddings: AgreementFigures
    association: AssociationFigures
    tracks: TrackFigures
    truth: TruthFigures | None  # None where no ground truth was given


@dataclass(frozen=True, slots=True)
class ParityReport:
    """The report of one comparison."""

    reference: Subject
    candidate: Subject
    sequences: tuple[tuple[str, int], ...]  # names and frames
    score_threshold: float
    budget: ParityBudget
    figures: ParityFigures
    checks: tuple[Check, ...]  # in the order of the levels
    undecided: tuple[ListedPeak, ...]  # too near the score threshold to count; the first hundred
    tied: tuple[ListedPeak, ...]  # found in neighbouring cells of one score; the first hundred

    @property
    def passed(self) -> bool:
        """Whether every level is within the budget."""
        return all(check.passed for check in self.checks)

    @property
    def failed_levels(self) -> tuple[str, ...]:
        """Names of the levels that break the budget, the lowest first."""
        return tuple(dict.fromkeys(check.level for check in self.checks if not check.passed))

    @property
    def frames(self) -> int:
        """Number of compared frames."""
        return sum(frames for _, frames in self.sequences)

    @property
    def measured(self) -> dict[str, float]:
        """Measured figures by level and name: the content of a certificate."""
        return {
            f"{check.level}: {check.figure}": check.value for check in self.checks if check.value is not None
        }

    @property
    def basis(self) -> str:
        """Reference, frames and runtime of the figures, without folders: they are of one machine only."""
        frames = ", ".join(f"{count} frames of {Path(name).name}" for name, count in self.sequences)
        return (
            f"{Path(self.reference.name).name} ({self.reference.runtime}), on {frames}, "
            f"above {self.score_threshold:g}, run by {self.candidate.runtime}"
        )

    def to_json(self) -> str:
        """Return JSON with the schema's version; a figure that is not finite becomes null."""
        content = {
            "schema_version": REPORT_SCHEMA_VERSION,
            "edge_fairmot": edge_fairmot.__version__,
            "passed": self.passed,
            "failed_levels": self.failed_levels,
            "frames": self.frames,
            **asdict(self),
            "checks": [{**asdict(check), "passed": check.passed} for check in self.checks],
        }
        return json.dumps(_finite(content), indent=2, allow_nan=False)


def check_figures(figures: ParityFigures, budget: ParityBudget) -> tuple[Check, ...]:
    """Compare figures with a budget, in the order of the levels.

    With ground truth, the candidate's MOTA and IDF1 must not be below the reference's 95 % interval. Where
    there are too few frames for an interval, they are reported only.
    """
    peaks, tracks, heads = figures.peaks, figures.tracks, (figures.heads or {}).values()
    largest, mean = (
        # np.max keeps a NaN.
        float(np.max([getattr(head, name) for head in heads])) if heads else None
        for name in ("largest_error", "mean_error")
    )
    changed = figures.association.share
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
        Check("association", "frames that differ", changed, budget.association_share, False),
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


def render_parity_page(report: ParityReport, worst: Sequence[Disagreement]) -> str:
    """Return the report as an HTML page that needs no other file, with the frames that differ most."""
    verdict = '<span class="passed">within budget</span>'
    if not report.passed:
        failed = escape(", ".join(report.failed_levels))
        verdict = f'<span class="failed">budget broken: {failed}</span>'
    sequences = ", ".join(f"{name} ({frames} frames)" for name, frames in report.sequences)
    rows = "\n".join(
        f"<tr><td>{escape(check.level)}</td><td>{escape(check.figure)}</td>"
        f'<td class="number">{check.value_text}</td><td class="number">{check.threshold_text}</td>'
        f'<td class="{check.verdict}">{check.verdict}</td></tr>'
        for check in report.checks
    )
    figures = "\n".join(render_figure(frame) for frame in worst)
    peaks = report.figures.peaks
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Parity check: {escape(report.candidate.name)}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head><body>
<h1>Parity check: {verdict}</h1>
<div class="wide"><table>{_subject_row("candidate", report.candidate)}
{_subject_row("reference", report.reference)}
<tr><th>frames</th><td>{escape(sequences)}</td></tr>
<tr><th>peaks</th><td>{peaks.reference_peaks} of the reference and {peaks.candidate_peaks} of the candidate
above {report.score_threshold:g}; {peaks.missed} missed, {peaks.extra} extra, {peaks.undecided} within
{report.budget.score_margin:g} of the threshold and counted neither way,
{peaks.tied} in a neighbouring cell of the same score</td></tr></table></div>
<h2>Levels</h2>
<div class="wide"><table><tr><th>level</th><th>figure</th><th>value</th><th>budget</th><th></th></tr>
{rows}</table></div>
<h2>Frames that differ most</h2>
<p><span class="reference">reference</span> <span class="candidate">candidate</span>
The candidate's boxes are dashed. A thick box has no partner.</p>
{figures or "<p>None were kept.</p>"}
</body></html>
"""


def _subject_row(role: str, subject: Subject) -> str:
    details = "; ".join(f"{name} {value}" for name, value in subject.details.items())
    text = f"{subject.name}, {subject.precision}, by {subject.runtime}" + (f" ({details})" if details else "")
    sha = subject.checkpoint_sha256
    return f"<tr><th>{role}</th><td>{escape(text)}; checkpoint {escape(sha[:12])}</td></tr>"


def _format(value: float) -> str:
    if value != 0 and abs(value) < 1e-3:
        return f"{value:.1e}"
    return f"{value:.5f}".rstrip("0").rstrip(".")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
