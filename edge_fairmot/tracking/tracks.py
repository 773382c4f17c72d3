"""The tracks that a tracker knows, as a struct of arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.tracking import kalman
from edge_fairmot.types import BoolArray, Detections, Float32Array, Float64Array, Int64Array

# FOLDED candidates.py: The detections that take part in an update, checked and in the form that the association needs.


@dataclass(frozen=True, slots=True)
class Candidates:
    """Detections that score enough to take part, in the order they came.

    Attributes
    ----------
    xyxy : float64 (N, 4)
        Source pixels.
    xyah : float64 (N, 4)
        The same boxes as the filter measures them.
    feature : float32 (N, D)
        Unit norm.
    score : float32 (N,)
    class_id : int64 (N,)
    """

    xyxy: Float64Array
    xyah: Float64Array
    feature: Float32Array
    score: Float32Array
    class_id: Int64Array

    def __len__(self) -> int:
        return len(self.score)


def select_candidates(detections: Detections, score_threshold: float) -> Candidates:
    """Keep the detections that count.

    Boxes without positive width and height hold no pixel and have no aspect: they are passed over, like
    those of a low score.

    Parameters
    ----------
    detections : Detections
    score_threshold : float
        A detection counts when its score is greater.

    Returns
    -------
    Candidates

    Raises
    ------
    InvalidInputError
        If a number is not finite, or an embedding that counts has no direction.
    """
    for name in ("xyxy", "score", "embedding"):
        finite = np.isfinite(getattr(detections, name))
        if not finite.all():
            row = int(np.argwhere(~finite)[0, 0])
            value = getattr(detections, name)[row]
            raise InvalidInputError(
                f"detections must be finite, but {name} of row {row} is {_brief(value)}: "
                "leave such rows out, and look for the cause in the model or its precision"
            )
    size = detections.xyxy[:, 2:] - detections.xyxy[:, :2]
    has_size = ((size > 0) & np.isfinite(size)).all(axis=1)
    rows = np.flatnonzero((detections.score > score_threshold) & has_size)
    feature = detections.embedding[rows].astype(np.float32, copy=False)
    norm = np.sqrt(np.einsum("nd,nd->n", feature, feature))
    usable = (norm > 0) & np.isfinite(norm)
    if not usable.all():
        worst = int(np.argmin(usable))
        raise InvalidInputError(
            f"an embedding must have a positive, finite norm, but that of row {rows[worst]} has "
            f"{norm[worst]}: leave such rows out, and look for the cause in the model or its precision"
        )
    # The original takes width and height in float32; so the boxes agree to the last digit.
    xyxy = detections.xyxy[rows].astype(np.float64)
    xyxy[:, 2:] = xyxy[:, :2] + size[rows]
    return Candidates(
        xyxy,
        kalman.xyah_from_xyxy(xyxy),
        feature / norm[:, None],
        detections.score[rows].astype(np.float32, copy=False),
        detections.class_id[rows],
    )


def _brief(value: Float32Array) -> str:
    return np.array2string(np.asarray(value), threshold=6, edgeitems=2).replace("\n", "")


@dataclass(slots=True)
class Roster:
    """One row a track: first the tracked ones, confirmed or not, then the lost ones.

    Within each group the order is the original's, for it decides which of two equal matches is made.
    Moments are frame periods on the tracker's clock.

    Attributes
    ----------
    motion : float64 (5, M, 4)
        See :mod:`edge_fairmot.tracking.kalman`.
    feature : float32 (M, D)
        Smoothed appearance, unit norm.
    track_id : int64 (M,)
    class_id : int64 (M,)
    score : float32 (M,)
        Of the detection last matched in the tracked state.
    started, matched : float64 (M,)
        Moments of the first and the last detection.
    confirmed : bool (M,)
        Matched a second time, or begun in the first update. Lost tracks are.
    lost : bool (M,)
    retired : bool (M,)
        Has been lost for too long once: when next it is without a match it goes at once.
    """

    motion: Float64Array
    feature: Float32Array
    track_id: Int64Array
    class_id: Int64Array
    score: Float32Array
    started: Float64Array
    matched: Float64Array
    confirmed: BoolArray
    lost: BoolArray
    retired: BoolArray

    @classmethod
    def empty(cls, dimension: int) -> Roster:
        """Make a roster of nobody, for embeddings of ``dimension`` numbers."""
        return cls(
            motion=np.zeros((5, 0, 4)),
            feature=np.zeros((0, dimension), np.float32),
            track_id=np.zeros(0, np.int64),
            class_id=np.zeros(0, np.int64),
            score=np.zeros(0, np.float32),
            started=np.zeros(0),
            matched=np.zeros(0),
            confirmed=np.zeros(0, np.bool_),
            lost=np.zeros(0, np.bool_),
            retired=np.zeros(0, np.bool_),
        )

    def __len__(self) -> int:
        return len(self.track_id)

    def take(self, rows: Int64Array) -> Roster:
        """Copy the tracks at ``rows`` (int64 (K,)), in that order."""
        return Roster(
            motion=self.motion[:, rows],
            feature=self.feature[rows],
            track_id=self.track_id[rows],
            class_id=self.class_id[rows],
            score=self.score[rows],
            started=self.started[rows],
            matched=self.matched[rows],
            confirmed=self.confirmed[rows],
            lost=self.lost[rows],
            retired=self.retired[rows],
        )

    def joined(self, other: Roster) -> Roster:
        """Copy these tracks, then ``other``'s."""
        return Roster(
            motion=np.concatenate((self.motion, other.motion), axis=1),
            feature=np.concatenate((self.feature, other.feature)),
            track_id=np.concatenate((self.track_id, other.track_id)),
            class_id=np.concatenate((self.class_id, other.class_id)),
            score=np.concatenate((self.score, other.score)),
            started=np.concatenate((self.started, other.started)),
            matched=np.concatenate((self.matched, other.matched)),
            confirmed=np.concatenate((self.confirmed, other.confirmed)),
            lost=np.concatenate((self.lost, other.lost)),
            retired=np.concatenate((self.retired, other.retired)),
        )

    def xyxy(self, rows: Int64Array) -> Float64Array:
        """Boxes, float64 (K, 4), source pixels, of the tracks at ``rows``."""
        return kalman.xyxy_from_xyah(self.motion[0, rows])
