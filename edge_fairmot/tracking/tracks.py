"""The tables that the tracker works on: the tracks it knows, and the detections of one update."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.tracking import kalman
from edge_fairmot.types import BoolArray, Detections, Float32Array, Float64Array, Int64Array, Table


@dataclass(slots=True)
class TrackTable(Table):
    """All tracks of a tracker, one row per track: the tracked ones, then the lost ones.

    The order within both groups is FairMOT's, because it decides between matches of equal cost. Times are
    frame periods of the tracker's clock.

    Attributes
    ----------
    motion : float64 (M, 5, 4)
        State of the Kalman filter, see :mod:`edge_fairmot.tracking.kalman`.
    embedding : float32 (M, D)
        Moving average, unit norm.
    track_id : int64 (M,)
    class_id : int64 (M,)
    score : float32 (M,)
        Score of the detection last matched in the tracked state.
    start_frame, last_update : float64 (M,)
        Times of the first and of the last match.
    confirmed : bool (M,)
        Matched a second time, or started in the first update. Lost tracks are confirmed.
    lost : bool (M,)
    removed : bool (M,)
        Was once lost for too long: the next update without a match drops the track.
    """

    motion: Float64Array
    embedding: Float32Array
    track_id: Int64Array
    class_id: Int64Array
    score: Float32Array
    start_frame: Float64Array
    last_update: Float64Array
    confirmed: BoolArray
    lost: BoolArray
    removed: BoolArray

    @classmethod
    def start(cls, measured: Measurements, first_id: int, now: float, *, confirmed: bool) -> TrackTable:
        """Return a new track for each measurement, with ids from ``first_id``."""
        count = len(measured)
        return cls(
            motion=kalman.initiate(measured.xyah),
            embedding=measured.embedding,
            track_id=np.arange(first_id, first_id + count, dtype=np.int64),
            class_id=measured.class_id,
            score=measured.score,
            start_frame=np.full(count, now),
            last_update=np.full(count, now),
            confirmed=np.full(count, confirmed),
            lost=np.zeros(count, np.bool_),
            removed=np.zeros(count, np.bool_),
        )

    @property
    def xyxy(self) -> Float64Array:
        """Boxes, float64 (M, 4), source pixels."""
        return kalman.xyxy_from_xyah(self.motion[:, 0])


@dataclass(frozen=True, slots=True)
class Measurements(Table):
    """The detections that take part in an update, checked and in the form that the association needs.

    Attributes
    ----------
    xyxy : float64 (N, 4)
        Source pixels.
    xyah : float64 (N, 4)
        The same boxes as the Kalman filter measures them.
    embedding : float32 (N, D)
        Unit norm.
    score : float32 (N,)
    class_id : int64 (N,)
    """

    xyxy: Float64Array
    xyah: Float64Array
    embedding: Float32Array
    score: Float32Array
    class_id: Int64Array


def measure(detections: Detections, lowest_score: Float32Array) -> Measurements:
    """Check the detections; select those above ``lowest_score``, (N,), with a positive width and height."""
    for name in ("xyxy", "score", "embedding"):
        finite = np.isfinite(getattr(detections, name))
        if not finite.all():
            row = int(np.argwhere(~finite)[0, 0])
            value = np.array2string(np.asarray(getattr(detections, name)[row]), threshold=6, edgeitems=2)
            value = value.replace("\n", "")
            raise InvalidInputError(
                f"detections must be finite, but {name} of row {row} is {value}: "
                "leave such rows out, and look for the cause in the model or its precision"
            )
    size = detections.xyxy[:, 2:] - detections.xyxy[:, :2]
    has_size = ((size > 0) & np.isfinite(size)).all(axis=1)
    rows = np.flatnonzero((detections.score > lowest_score) & has_size)
    embedding = detections.embedding[rows].astype(np.float32, copy=False)
    norm = np.sqrt(np.einsum("nd,nd->n", embedding, embedding))
    usable = (norm > 0) & np.isfinite(norm) | (embedding.shape[1] == 0)  # a detector without embeddings
    if not usable.all():
        first = int(np.argmin(usable))
        raise InvalidInputError(
            f"an embedding must have a positive, finite norm, but that of row {rows[first]} has "
            f"{norm[first]}: leave such rows out, and look for the cause in the model or its precision"
        )
    # FairMOT computes width and height in float32; doing the same makes the boxes agree to the last digit.
    xyxy = detections.xyxy[rows].astype(np.float64)
    xyxy[:, 2:] = xyxy[:, :2] + size[rows]
    return Measurements(
        xyxy,
        kalman.xyah_from_xyxy(xyxy),
        embedding / norm[:, None],
        detections.score[rows].astype(np.float32, copy=False),
        detections.class_id[rows],
    )
