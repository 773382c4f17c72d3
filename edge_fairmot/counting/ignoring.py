"""Ignored zones: detections inside them take no part in the tracking."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_fairmot.counting.shapes import Zone
from edge_fairmot.types import BoolArray, Detections, Float64Array

EDGE = 1e-6
"""Foot points are clipped this far inside the image, so that a zone up to the edge contains them."""


class IgnoredZones:
    """Leaves out the detections that stand in one of some zones, before the tracker sees them.

    They spend no track id, hide no other track and are not counted. A box below the image stands on its lower
    edge.

    Parameters
    ----------
    zones : sequence of Zone
    """

    def __init__(self, zones: Sequence[Zone] = ()) -> None:
        self.redraw(zones)

    def redraw(self, zones: Sequence[Zone]) -> None:
        """Replace the zones; may be called from another thread. They apply from the next frame on."""
        self._polygons = tuple(np.array(zone.polygon, np.float64) for zone in zones)

    def apply(self, detections: Detections, frame_size: tuple[int, int]) -> Detections:
        """Return the detections that stand in no zone.

        Parameters
        ----------
        detections : Detections
        frame_size : (int, int)
            Width and height of the frame, pixels.

        Returns
        -------
        Detections
        """
        polygons = self._polygons
        if not polygons or not len(detections):
            return detections
        left, _, right, bottom = detections.xyxy.astype(np.float64).T
        feet = np.column_stack(((left + right) / 2, bottom)) / frame_size
        feet = np.clip(feet, EDGE, 1 - EDGE)
        inside = np.zeros(len(feet), np.bool_)
        for polygon in polygons:
            inside |= _contains(polygon, feet)
        return detections[~inside]


def _contains(polygon: Float64Array, points: Float64Array) -> BoolArray:
    """Mark the points, (N, 2), whose ray to the right crosses the outline an odd number of times."""
    x, y = points[:, 0, None], points[:, 1, None]
    start, end = polygon, np.roll(polygon, -1, axis=0)
    spans = (start[:, 1] > y) != (end[:, 1] > y)
    # A horizontal side spans nothing; its divisor does not matter.
    rise = np.where(start[:, 1] == end[:, 1], 1.0, end[:, 1] - start[:, 1])
    at = start[:, 0] + (y - start[:, 1]) / rise * (end[:, 0] - start[:, 0])
    return np.asarray((spans & (x < at)).sum(axis=1) % 2 == 1)
