"""What no file can carry: NaN and infinity."""

from __future__ import annotations

import math

import numpy as np

from edge_fairmot.errors import SinkError
from edge_fairmot.types import Frame, Tracks


def require_finite(frame: Frame, tracks: Tracks) -> None:
    """Refuse what a reader would stumble over.

    Raises
    ------
    SinkError
        If a box, a score or the time is NaN or infinite.
    """
    finite = np.isfinite(tracks.xyxy).all(axis=1) & np.isfinite(tracks.score)
    if not finite.all():
        ids = ", ".join(map(str, tracks.track_id[~finite]))
        raise SinkError(
            f"frame {frame.index + 1} has boxes or scores that are not finite (ids {ids}): "
            "check the detections given to the tracker"
        )
    if not math.isfinite(frame.time_s):
        raise SinkError(f"frame {frame.index + 1} has time_s {frame.time_s}: check the source's clock")
