"""Settings of the tracker."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from edge_fairmot.errors import InvalidInputError

CHI_SQUARE_95_4_DOF = 9.4877
"""95 % quantile of the chi-square distribution with 4 degrees of freedom: one per measured quantity."""

REFERENCE_FRAME_RATE = 30.0
"""Frames per second in which ``track_buffer`` counts, as in FairMOT."""

_RANGES = {
    "score_threshold": (0.0, 1.0),
    "first_match_thresh": (0.0, 2.0),
    "lambda_": (0.0, 1.0),
    "second_match_thresh": (0.0, 1.0),
    "third_match_thresh": (0.0, 1.0),
    "duplicate_iou_distance": (0.0, 1.0),
    "ema_alpha": (0.0, 1.0),
}


@dataclass(frozen=True, slots=True)
class TrackerConfig:
    """Settings of a :class:`~edge_fairmot.tracking.Tracker`; the defaults are FairMOT's.

    Attributes
    ----------
    score_threshold : float
        Detections with a greater score take part.
    track_buffer : int
        Maximum time that a track may be lost, in frames of a 30 Hz video.
    frame_rate : float
        Frames per second. A frame period is the motion model's unit of time, unless ``motion_rate`` is set.
    first_match_thresh : float
        First association (embedding and motion): maximum cost of a match.
    lambda_ : float
        First association: weight of the embedding distance in the cost. ``1 - lambda_`` is the weight of the
        motion model's gating distance.
    gating_limit : float
        First association: maximum squared Mahalanobis distance of a match.
    second_match_thresh : float
        Second association (IoU) of tracked tracks: maximum cost, 1 - IoU, of a match.
    third_match_thresh : float
        Third association (IoU) of unconfirmed tracks: maximum cost, 1 - IoU, of a match.
    duplicate_iou_distance : float
        A tracked and a lost track with a smaller distance, 1 - IoU, are duplicates.
    ema_alpha : float
        Weight of the old embedding in a track's exponential moving average.
    track_low_thresh : float, optional
        Detections with a score above this and up to ``score_threshold`` are matched by IoU with the tracked
        tracks that the second association left (ByteTrack, Zhang et al., ECCV 2022). They start no track and
        recover no lost one. None, as in FairMOT: they take no part.
    new_track_thresh : float, optional
        Only detections with a greater score start a track. None, as in FairMOT: ``score_threshold``.
    keep_occluded : bool
        True: a lost track is a duplicate only of a track that started after the loss. So a track that is lost
        behind another one is kept. False, as in FairMOT: it is a duplicate of any tracked track.
    classes : tuple of str
        Only these classes are tracked, by the names in the model; all of them when empty.
    class_score_threshold : mapping of str to float
        Score thresholds of single classes, in place of ``score_threshold``. ``new_track_thresh`` keeps its
        distance from it, and ``track_low_thresh`` is at most as high.
    motion_rate : float, optional
        Frame periods per second of the motion model, whatever the video's: the model expects motions of the
        size that people make at 25 to 30 frames per second. None, as in FairMOT: ``frame_rate``.
    confirm_by_embedding : bool
        True: unconfirmed tracks move too, and are matched as confirmed ones are before their IoU is tried.
        False, as in FairMOT: they stay where they are, and only IoU confirms them.

    Raises
    ------
    InvalidInputError
        If a value is outside its range.
    """

    score_threshold: float = 0.4
    track_buffer: int = 30
    frame_rate: float = 30.0
    first_match_thresh: float = 0.4
    lambda_: float = 0.98
    gating_limit: float = CHI_SQUARE_95_4_DOF
    second_match_thresh: float = 0.5
    third_match_thresh: float = 0.7
    duplicate_iou_distance: float = 0.15
    ema_alpha: float = 0.9
    track_low_thresh: float | None = None
    new_track_thresh: float | None = None
    keep_occluded: bool = False
    classes: tuple[str, ...] = ()
    class_score_threshold: Mapping[str, float] = field(default_factory=dict)
    motion_rate: float | None = None
    confirm_by_embedding: bool = False

    def __post_init__(self) -> None:
        ranges = dict(_RANGES)
        if self.track_low_thresh is not None:
            ranges["track_low_thresh"] = (0.0, self.score_threshold)
        if self.new_track_thresh is not None:
            ranges["new_track_thresh"] = (self.score_threshold, 1.0)
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise InvalidInputError(f"{name} must be between {low:g} and {high:g}, not {value}")
        for name, value in self.class_score_threshold.items():
            if not 0 <= value <= 1:
                raise InvalidInputError(
                    f"class_score_threshold of {name!r} must be between 0 and 1, not {value}"
                )
        if not 0 < self.frame_rate < math.inf:
            raise InvalidInputError(f"frame_rate must be positive and finite, not {self.frame_rate}")
        if not 0 < self.clock_rate < math.inf:
            raise InvalidInputError(f"motion_rate must be positive and finite, not {self.motion_rate}")
        if not 0 <= self.track_buffer < math.inf:
            raise InvalidInputError(f"track_buffer must be 0 or more frames, not {self.track_buffer}")
        if not self.gating_limit > 0:
            raise InvalidInputError(f"gating_limit must be positive, not {self.gating_limit}")

    @property
    def lowest_score(self) -> float:
        """Detections take part only with a greater score; the lowest one of all tracked classes."""
        if self.classes or self.class_score_threshold:
            names = self.classes or ("", *self.class_score_threshold)
            return min(self.for_class(name).lowest_score for name in names)
        return self.score_threshold if self.track_low_thresh is None else self.track_low_thresh

    def for_class(self, name: str) -> TrackerConfig:
        """Return the settings of a tracker of this class alone; those of any other class for ``""``."""
        thresh = self.class_score_threshold.get(name, self.score_threshold)
        low, new = self.track_low_thresh, self.new_track_thresh
        return replace(
            self,
            score_threshold=thresh,
            track_low_thresh=None if low is None else min(low, thresh),
            new_track_thresh=None if new is None else min(1.0, thresh + (new - self.score_threshold)),
            classes=(),
            class_score_threshold={},
        )

    @property
    def max_time_lost(self) -> int:
        """Maximum time that a track may be lost, whole frame periods at ``clock_rate``."""
        return int(self.clock_rate / REFERENCE_FRAME_RATE * self.track_buffer)

    @property
    def clock_rate(self) -> float:
        """Frame periods per second of the motion model and the tracker's clock."""
        return self.frame_rate if self.motion_rate is None else self.motion_rate
