"""How far a candidate may differ from its reference at each level of the parity check, by precision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.manifest import ModelManifest


@dataclass(frozen=True, slots=True)
class ParityBudget:
    """Thresholds of the parity check; None where a figure is reported only."""

    name: str  # as in "within the NAME budget"
    score_margin: float  # peaks within this distance of the score threshold count neither way
    head_largest_error: float | None  # at most, as shares of the reference head's range
    head_mean_error: float | None
    recall: float  # of peaks, at least
    precision: float
    iou_mean: float | None  # of matched peaks' boxes, at least
    iou_min: float | None
    cosine_mean: float | None  # of matched peaks' embeddings, at least
    cosine_min: float | None
    association_share: float | None  # frames in which an identity changes, at most
    track_idf1: float  # of the candidate's tracks against the reference's, at least


FP32_BUDGET = ParityBudget(
    name="fp32",
    # Lowerings and folded norms reorder float32 sums: errors of 1e-6 to 1e-5 of a head's range were seen, and
    # they change no decision. A wrong tap, border or rewrite costs 1e-2 and more.
    score_margin=1e-4,
    head_largest_error=1e-4,
    head_mean_error=1e-5,
    recall=1.0,
    precision=1.0,
    iou_mean=0.999,
    iou_min=0.999,  # 0.04 px on a person 40 px wide
    cosine_mean=0.9999,
    cosine_min=0.9999,  # a hundredth of what moves an association
    association_share=0.0,
    track_idf1=1.0,
)
FP16_BUDGET = ParityBudget(
    name="fp16",
    # Eleven bits: 5e-4 a value, about 3e-3 after sixty layers, and a few times that in the logit. So scores
    # near 0.4 move by up to 0.005, and boxes by tenths of a pixel. A peak that falls on the other side of the
    # threshold can start one exchange of identities in a hundred frames.
    score_margin=0.005,
    head_largest_error=0.02,
    head_mean_error=0.002,
    recall=0.995,
    precision=0.995,
    iou_mean=0.99,
    iou_min=0.9,
    cosine_mean=0.999,
    cosine_min=0.99,
    association_share=0.01,
    track_idf1=0.99,
)
INT8_BUDGET = ParityBudget(
    name="int8",
    # Eight bits cannot be compared value by value: one step of the heatmap's input moves a score by 0.01. The
    # budget is for what a user sees: one peak of fifty, a twentieth of a box, 8 degrees of an embedding (the
    # tracker separates people at 53, a cosine distance of 0.4), three of a hundred boxes with another
    # identity. The head errors find a layer that saturates.
    score_margin=0.02,
    head_largest_error=0.25,
    head_mean_error=0.02,
    recall=0.98,
    precision=0.98,
    iou_mean=0.95,
    iou_min=None,
    cosine_mean=0.99,
    cosine_min=None,
    association_share=0.05,
    track_idf1=0.97,
)
STUDENT_BUDGET = ParityBudget(
    name="student",
    # A student is another network. It must find the same people and keep their identities, in nineteen of
    # twenty cases. Its heads differ cell by cell where no person is, and its scores by as much as int8's.
    score_margin=0.02,
    head_largest_error=None,
    head_mean_error=None,
    recall=0.95,
    precision=0.95,
    iou_mean=0.9,
    iou_min=None,
    cosine_mean=0.97,
    cosine_min=None,
    association_share=None,
    track_idf1=0.95,
)

BUDGETS: Mapping[str, ParityBudget] = MappingProxyType(
    {"fp32": FP32_BUDGET, "fp16": FP16_BUDGET, "int8": INT8_BUDGET}
)


def budget_between(reference: ModelManifest, candidate: ModelManifest) -> ParityBudget:
    """Return the budget of a comparison: for a student with its teacher, or for the candidate's precision."""
    if candidate.teacher_sha256 and candidate.teacher_sha256 == reference.checkpoint_sha256:
        return STUDENT_BUDGET
    return budget_for(candidate.default_precision)


def budget_for(precision: str) -> ParityBudget:
    """Return the budget of a file by its manifest's ``default_precision``."""
    if precision not in BUDGETS:
        raise InvalidInputError(
            f"no parity budget for precision {precision!r}: there are {', '.join(BUDGETS)}"
        )
    return BUDGETS[precision]
