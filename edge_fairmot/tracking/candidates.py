"""The detections that take part in an update, checked and in the form that the association needs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.tracking import kalman
from edge_fairmot.types import Detections, Float32Array, Float64Array, Int64Array


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
