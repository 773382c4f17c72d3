"""The tracks that a tracker knows, as a struct of arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_fairmot.tracking import kalman
from edge_fairmot.types import BoolArray, Float32Array, Float64Array, Int64Array


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
