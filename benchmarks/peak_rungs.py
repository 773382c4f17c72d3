"""The rungs that look at one frame at a time: peaks, their boxes, their embeddings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_fairmot.benchmarks.peak_matching import PeakMatch
from edge_fairmot.types import Float64Array


@dataclass(frozen=True, slots=True)
class PeakFigures:
    """Whether both find the same.

    Attributes
    ----------
    recall : float or None
        Share of the reference's sure peaks that the candidate has; None where there are none.
    precision : float or None
        Share of the candidate's sure peaks that the reference has.
    reference_peaks, candidate_peaks : int
        Sure ones.
    missed, extra : int
        Of them, without a partner.
    undecided : int
        Objects too near the score threshold to count.
    tied : int
        Pairs of two neighbouring cells of one score, each the peak of one side.
    matched : int
        Pairs, undecided ones included: what boxes, embeddings and the shift are of.
    score_shift_mean, score_shift_std : float or None
        Candidate's score less the reference's.
    """

    recall: float | None
    precision: float | None
    reference_peaks: int
    candidate_peaks: int
    missed: int
    extra: int
    undecided: int
    tied: int
    matched: int
    score_shift_mean: float | None
    score_shift_std: float | None


@dataclass(frozen=True, slots=True)
class AgreementFigures:
    """Mean and least of what is 1 for pairs that are equal: IoU of boxes, cosine of embeddings.

    Attributes
    ----------
    mean, least : float or None
        None where there is no pair.
    """

    mean: float | None
    least: float | None


class _Spread:
    """Count, mean, deviation and least of numbers that come in pieces."""

    def __init__(self) -> None:
        self.count = 0
        self._total = self._squares = 0.0
        self._least = np.inf

    def add(self, values: Float64Array) -> None:
        self.count += values.size
        self._total += float(values.sum())
        self._squares += float((values**2).sum())
        self._least = float(np.minimum(self._least, values.min(initial=np.inf)))

    @property
    def mean(self) -> float | None:
        return self._total / self.count if self.count else None

    @property
    def least(self) -> float | None:
        return self._least if self.count else None

    @property
    def deviation(self) -> float | None:
        if not self.count:
            return None
        return float(np.sqrt(max(self._squares / self.count - (self._total / self.count) ** 2, 0.0)))


class PeakRungs:
    """Takes the matched peaks of one frame after the other."""

    def __init__(self) -> None:
        self._reference = self._candidate = self._missed = self._extra = 0
        self._undecided = self._tied = 0
        self._shift, self._iou, self._cosine = _Spread(), _Spread(), _Spread()

    def add(self, match: PeakMatch) -> None:
        """Take one frame."""
        self._reference += int(match.sure_reference.sum())
        self._candidate += int(match.sure_candidate.sum())
        self._missed += int(match.missed.sum())
        self._extra += int(match.extra.sum())
        self._undecided += len(match.undecided())
        self._tied += int(match.tied.sum())
        self._shift.add(match.score_shift)
        self._iou.add(match.iou)
        self._cosine.add(match.cosine)

    def peaks(self) -> PeakFigures:
        """Tell how the peaks agree."""
        return PeakFigures(
            recall=_share(self._reference - self._missed, self._reference),
            precision=_share(self._candidate - self._extra, self._candidate),
            reference_peaks=self._reference,
            candidate_peaks=self._candidate,
            missed=self._missed,
            extra=self._extra,
            undecided=self._undecided,
            tied=self._tied,
            matched=self._iou.count,
            score_shift_mean=self._shift.mean,
            score_shift_std=self._shift.deviation,
        )

    def boxes(self) -> AgreementFigures:
        """Tell the IoU of matched peaks."""
        return AgreementFigures(self._iou.mean, self._iou.least)

    def embeddings(self) -> AgreementFigures:
        """Tell the cosine of matched peaks."""
        return AgreementFigures(self._cosine.mean, self._cosine.least)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
