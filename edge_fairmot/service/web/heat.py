"""Where people stand: person-seconds on a coarse grid of the image, halved every quarter of an hour.

It is in memory only, holds no identity, and is off unless ``[web] heat_map`` asks for it.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from edge_fairmot.types import FrameResult

COLUMNS, ROWS = 64, 36

HALF_LIFE_S = 900.0

LONGEST_S = 1.0
"""A frame stands for the time since the one before it, and for no more than this."""

WARM = 255
"""Value of the warmest cell in the answer."""


class HeatMap:
    """Person-seconds by cell; written by the loop's thread, read by the server's."""

    def __init__(self) -> None:
        self._seconds = np.zeros((ROWS, COLUMNS))
        self._time_s = -np.inf
        self._lock = threading.Lock()

    def add(self, result: FrameResult) -> None:
        """Add the feet of the tracks that a detector has seen, each for the time since the last frame."""
        time_s, (width, height) = result.frame.time_s, result.frame.size
        elapsed_s = max(0.0, time_s - self._time_s) if np.isfinite(self._time_s) else 0.0
        tracks = result.tracks[~result.tracks.predicted & np.isfinite(result.tracks.xyxy).all(axis=1)]
        left, _, right, bottom = tracks.xyxy.astype(np.float64).T
        column = ((left + right) / 2 / width * COLUMNS).astype(int).clip(0, COLUMNS - 1)
        row = (bottom / height * ROWS).astype(int).clip(0, ROWS - 1)
        with self._lock:
            self._time_s = time_s
            self._seconds *= 0.5 ** (elapsed_s / HALF_LIFE_S)
            np.add.at(self._seconds, (row, column), min(elapsed_s, LONGEST_S))

    def document(self) -> dict[str, Any]:
        """Return the grid as JSON takes it: rows from the top, the warmest cell is 255."""
        with self._lock:
            seconds = self._seconds.copy()
        most = float(seconds.max())
        cells = np.rint(seconds * (WARM / most)).astype(int) if most > 0 else np.zeros((ROWS, COLUMNS), int)
        return {
            **{"columns": COLUMNS, "rows": ROWS, "half_life_s": HALF_LIFE_S},
            "warmest_person_s": round(most, 1),
            "cells": cells.ravel().tolist(),
        }
