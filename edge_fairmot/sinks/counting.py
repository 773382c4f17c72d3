"""Counting without a file: for those who read the counter."""

from __future__ import annotations

from edge_fairmot.counting import Counter
from edge_fairmot.sinks.finite import require_finite
from edge_fairmot.types import Frame, Tracks


class CountingSink:
    """Counts as tracks come.

    Parameters
    ----------
    counter : Counter
        Updated with every frame that is written.
    """

    def __init__(self, counter: Counter) -> None:
        self._counter = counter

    def write(self, frame: Frame, tracks: Tracks) -> None:
        """Count one frame.

        Raises
        ------
        SinkError
            If the tracks are not finite.
        InvalidInputError
            If time does not go forward.
        """
        require_finite(frame, tracks)
        height, width = frame.image.shape[:2]
        self._counter.update(tracks, frame.time_s, (width, height))

    def close(self) -> None:
        """Do nothing: nothing is held."""
