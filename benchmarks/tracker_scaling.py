"""What association costs as crowds grow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from edge_fairmot.benchmarks.crowd import walk
from edge_fairmot.benchmarks.report.rows import Rows
from edge_fairmot.benchmarks.speed.figures import Spread
from edge_fairmot.benchmarks.speed.summary import spread
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.tracking import Tracker, TrackerConfig

SETTLING_FRAMES = 30
"""Before anything is timed: identities are born in them."""

BLOCK = 10


@dataclass(frozen=True, slots=True)
class CrowdTimes:
    """The tracker's times with one crowd.

    Attributes
    ----------
    people : int
    update_ms : Spread
        Of ``Tracker.update``.
    tracks : float
        Given out, on average.
    """

    people: int
    update_ms: Spread
    tracks: float


def time_crowds(sizes: Sequence[int], frames: int) -> list[CrowdTimes]:
    """Track crowds of several sizes, in turn, frame by frame.

    Parameters
    ----------
    sizes : sequence of int
        Numbers of people.
    frames : int
        Timed; of each crowd.

    Raises
    ------
    InvalidInputError
        If there is no crowd, or one of nobody.
    """
    if not sizes or min(sizes) < 1 or frames < BLOCK:
        raise InvalidInputError(
            f"give crowds of at least 1 and at least {BLOCK} frames, not {list(sizes)} and {frames}"
        )
    crowds = [walk(people, SETTLING_FRAMES + frames) for people in sizes]
    trackers = [Tracker(TrackerConfig()) for _ in sizes]
    elapsed_ms = np.zeros((len(sizes), SETTLING_FRAMES + frames))
    tracks = np.zeros_like(elapsed_ms)
    for frame in range(SETTLING_FRAMES + frames):
        for number, (crowd, tracker) in enumerate(zip(crowds, trackers, strict=True)):
            detections = next(crowd)
            started_s = perf_counter()
            found = tracker.update(detections)
            elapsed_ms[number, frame] = 1e3 * (perf_counter() - started_s)
            tracks[number, frame] = len(found)
    block = np.arange(frames) // BLOCK
    return [
        CrowdTimes(
            people,
            spread(elapsed_ms[number, SETTLING_FRAMES:], block),
            float(tracks[number, SETTLING_FRAMES:].mean()),
        )
        for number, people in enumerate(sizes)
    ]


def tabulate_crowds(times: Sequence[CrowdTimes]) -> Rows:
    """Put them in a table."""

    def ms(value: float | None) -> str:
        return "–" if value is None else f"{value:.2f}"

    cells = [
        (
            str(crowd.people),
            f"{crowd.tracks:.0f}",
            ms(crowd.update_ms.p50),
            ms(crowd.update_ms.p90),
            ms(crowd.update_ms.p99),
        )
        for crowd in times
    ]
    return Rows(
        "Tracker against number of targets",
        ("people", "tracks", "p50 ms", "p90", "p99"),
        tuple(cells),
        1,
        "Association alone: simulated people with embeddings of 128 numbers, one in twenty overlooked in "
        "each frame.",
    )
