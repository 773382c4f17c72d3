"""The first rung: dense heads, value by value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edge_fairmot.benchmarks.observation import DenseHead
from edge_fairmot.errors import EvaluationError


@dataclass(frozen=True, slots=True)
class HeadFigures:
    """How far one dense head is from the reference's, over all frames.

    Attributes
    ----------
    largest_error, mean_error : float
        Absolute, as shares of the reference head's range over all frames.
    low, high : float
        That range.
    values : int
        Compared.
    """

    largest_error: float
    mean_error: float
    low: float
    high: float
    values: int


class HeadRung:
    """Compares one dense head, frame after frame."""

    def __init__(self) -> None:
        self._largest = self._total = 0.0
        self._low, self._high = np.inf, -np.inf
        self._values = 0

    def add(self, reference: DenseHead, candidate: DenseHead) -> None:
        """Take one frame. The reference may be a selection, the candidate must be whole.

        Raises
        ------
        EvaluationError
            If the heads are of different size.
        """
        if reference.size != candidate.size:
            raise EvaluationError(
                f"a dense head has {candidate.size} values, the reference's {reference.size}: "
                "convert again from the same checkpoint with the same --size"
            )
        if reference.positions is not None:
            candidate = candidate.select(reference.positions)
        error = np.abs(candidate.values.astype(np.float64) - reference.values)
        # Not Python's max, which may drop a NaN; here it must stay and fail the rung.
        self._largest = float(np.maximum(self._largest, error.max(initial=0)))
        self._total += float(error.sum())
        self._values += error.size
        self._low, self._high = min(self._low, reference.low), max(self._high, reference.high)

    def figures(self) -> HeadFigures:
        """Tell the figures up to now."""
        span = max(self._high - self._low, float(np.finfo(np.float32).tiny))
        mean = self._total / max(self._values, 1)
        return HeadFigures(self._largest / span, mean / span, self._low, self._high, self._values)


def worst_errors(heads: Mapping[str, HeadFigures]) -> tuple[float, float]:
    """Largest error and largest mean error over all heads."""
    largest = np.max([head.largest_error for head in heads.values()])
    return float(largest), float(np.max([head.mean_error for head in heads.values()]))
