"""What a tracker can be told once, when it is made."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from edge_fairmot.errors import InvalidInputError

CHI_SQUARE_95_4_DOF = 9.4877
"""95 % quantile of the chi-square distribution with 4 degrees of freedom: one per measured quantity."""

REFERENCE_FRAME_RATE = 30.0
"""Frames per second at which ``track_buffer`` counts frames; the original's convention."""

BIRTH_MARGIN_IN_CROWDS = 0.1
"""Above the score threshold; ByteTrack's."""

LOW_SCORE_IN_CROWDS = 0.3
"""Of six synthetic streets; from 0.25 on it matters little, and lower ones bring false boxes."""

_RANGES = {
    "score_threshold": (0.0, 1.0),
    "embedding_limit": (0.0, 2.0),
    "motion_weight": (0.0, 1.0),
    "iou_limit": (0.0, 1.0),
    "unconfirmed_iou_limit": (0.0, 1.0),
    "duplicate_iou_distance": (0.0, 1.0),
    "feature_momentum": (0.0, 1.0),
}


@dataclass(frozen=True, slots=True)
class TrackerConfig:
    """Settings of a :class:`~edge_fairmot.tracking.Tracker`; the defaults are the original's.

    Attributes
    ----------
    score_threshold : float
        A detection counts when its score is greater.
    track_buffer : int
        How long a lost track is kept, in frames of a 30 Hz video.
    frame_rate : float
        Frame periods per second: the unit of time of the motion model.
    embedding_limit : float
        First association: cost, of appearance and motion together, of leaving a pair unmatched.
    motion_weight : float
        First association: share of the gating distance in the cost; the rest is appearance.
    gating_limit : float
        First association: squared Mahalanobis distance beyond which a pair is not allowed.
    iou_limit : float
        Second association, tracked tracks: cost (1 - IoU) of leaving a pair unmatched.
    unconfirmed_iou_limit : float
        Third association, unconfirmed tracks: cost (1 - IoU) of leaving a pair unmatched.
    duplicate_iou_distance : float
        A tracked and a lost track nearer than this (1 - IoU) are one object.
    feature_momentum : float
        Share of the old appearance when a new one is blended in.
    low_score_threshold : float, optional
        Detections that score more than this, if not more than ``score_threshold``, keep tracks in view that
        found no other: by IoU, after the second association (ByteTrack, Zhang et al., ECCV 2022). They begin
        and find again none. None, as in the original, passes them over.
    birth_threshold : float, optional
        Tracks begin with detections that score more. None, as in the original: with any that count.
    spare_hidden : bool
        Whether a tracked and a lost track on one another are taken for one object only where the tracked one
        began after the other was lost. The original does always, and forgets who stands behind another.

    Raises
    ------
    InvalidInputError
        If a value is outside its range.
    """

    score_threshold: float = 0.4
    track_buffer: int = 30
    frame_rate: float = 30.0
    embedding_limit: float = 0.4
    motion_weight: float = 0.02
    gating_limit: float = CHI_SQUARE_95_4_DOF
    iou_limit: float = 0.5
    unconfirmed_iou_limit: float = 0.7
    duplicate_iou_distance: float = 0.15
    feature_momentum: float = 0.9
    low_score_threshold: float | None = None
    birth_threshold: float | None = None
    spare_hidden: bool = False

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise InvalidInputError(f"{name} must be between {low:g} and {high:g}, not {value}")
        if self.low_score_threshold is not None and not 0 <= self.low_score_threshold <= self.score_threshold:
            raise InvalidInputError(
                f"low_score_threshold must be between 0 and score_threshold, {self.score_threshold:g}, not "
                f"{self.low_score_threshold}"
            )
        if self.birth_threshold is not None and not self.score_threshold <= self.birth_threshold <= 1:
            raise InvalidInputError(
                f"birth_threshold must be between score_threshold, {self.score_threshold:g}, and 1, not "
                f"{self.birth_threshold}"
            )
        if not 0 < self.frame_rate < math.inf:
            raise InvalidInputError(f"frame_rate must be positive and finite, not {self.frame_rate}")
        if not 0 <= self.track_buffer < math.inf:
            raise InvalidInputError(f"track_buffer must be 0 or more frames, not {self.track_buffer}")
        if not self.gating_limit > 0:
            raise InvalidInputError(f"gating_limit must be positive, not {self.gating_limit}")

    @property
    def lowest_score(self) -> float:
        """Detections that do not score more take no part."""
        return self.score_threshold if self.low_score_threshold is None else self.low_score_threshold

    @property
    def birth_score(self) -> float:
        """Tracks begin with detections that score more."""
        return self.score_threshold if self.birth_threshold is None else self.birth_threshold

    def in_crowds(self) -> TrackerConfig:
        """Give the same settings for people who hide one another."""
        return replace(
            self,
            low_score_threshold=min(LOW_SCORE_IN_CROWDS, self.score_threshold),
            birth_threshold=min(1.0, self.score_threshold + BIRTH_MARGIN_IN_CROWDS),
            spare_hidden=True,
        )

    @property
    def longest_loss(self) -> int:
        """How long a track may be lost, whole frame periods at ``frame_rate``."""
        return int(self.frame_rate / REFERENCE_FRAME_RATE * self.track_buffer)
