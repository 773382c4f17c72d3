"""How far a candidate may be from its reference, rung by rung, for each precision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.manifest import ModelManifest


@dataclass(frozen=True, slots=True)
class ParityBudget:
    """Thresholds of the parity ladder; None where a figure is reported and not judged.

    Attributes
    ----------
    name : str
        As in "within the NAME budget".
    score_margin : float
        Peaks whose score is this close to the score threshold count neither way.
    head_largest_error, head_mean_error : float or None
        Of a dense head, as shares of the reference head's range; at most.
    recall, precision : float
        Of peaks; at least.
    iou_mean, iou_min : float or None
        Of matched peaks' boxes; at least.
    cosine_mean, cosine_min : float or None
        Of matched peaks' embeddings; at least.
    association_share : float or None
        Frames in which an identity changes hands; at most.
    track_idf1 : float
        Of the candidate's tracks against the reference's; at least.
    """

    name: str
    score_margin: float
    head_largest_error: float | None
    head_mean_error: float | None
    recall: float
    precision: float
    iou_mean: float | None
    iou_min: float | None
    cosine_mean: float | None
    cosine_min: float | None
    association_share: float | None
    track_idf1: float


FP32_BUDGET = ParityBudget(
    name="fp32",
    # Lowerings and folded norms reorder float32 sums: 1e-6 to 1e-5 of a head's range was seen. A wrong tap,
    # border or rewrite costs 1e-2 and more. Errors of 1e-5 move no decision, so decisions are the same.
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
    # Eleven bits: 5e-4 a value, some 3e-3 after sixty layers of it, in the logit a few times that. So scores
    # near 0.4 move by up to 0.005, and boxes by tenths of a pixel. One swap in a hundred frames is what a
    # peak that falls on the other side of the threshold can start.
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
    # Eight bits cannot be judged value by value: one step of the heatmap's input moves a score by 0.01. What
    # counts is what a user sees: one peak of fifty, a twentieth of a box, 8 degrees of an embedding (people
    # are told apart at 53, a cosine distance of 0.4), three of a hundred boxes under another name. The
    # head errors catch a layer that saturates; the least IoU and cosine are left to the means and the tracks.
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
    # A student is another network: it is to find the same people, know them again and follow them under
    # the same names, nineteen times of twenty. Its heads differ cell by cell where nobody stands, and its
    # scores by as much as int8's.
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
    """Choose the budget of a comparison: a student's with its teacher, or that of the candidate's precision.

    Raises
    ------
    InvalidInputError
        If there is none for its precision.
    """
    if candidate.teacher_sha256 and candidate.teacher_sha256 == reference.checkpoint_sha256:
        return STUDENT_BUDGET
    return budget_for(candidate.default_precision)


def budget_for(precision: str) -> ParityBudget:
    """Choose the budget of a file by its manifest's ``default_precision``.

    Raises
    ------
    InvalidInputError
        If there is none for it.
    """
    if precision not in BUDGETS:
        raise InvalidInputError(
            f"no parity budget for precision {precision!r}: there are {', '.join(BUDGETS)}"
        )
    return BUDGETS[precision]
