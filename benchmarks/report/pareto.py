"""Which contenders nobody beats on both counts."""

from __future__ import annotations

from collections.abc import Sequence


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Find the points that no other one beats: is at least as good in both numbers and better in one.

    Parameters
    ----------
    points : sequence of (float, float)
        More is better in both.

    Returns
    -------
    list of int
        Indices, by rising first number; of equal points all.
    """
    front = [
        index
        for index, (x, y) in enumerate(points)
        if not any(a >= x and b >= y and (a, b) != (x, y) for a, b in points)
    ]
    return sorted(front, key=lambda index: points[index])
