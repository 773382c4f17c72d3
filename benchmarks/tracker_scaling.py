"""Cost of association against the number of people, on simulated detections."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from edge_fairmot.benchmarks.report_tables import NOTHING, TextTable
from edge_fairmot.benchmarks.speed import Spread, spread
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.tracking import Tracker, TrackerConfig
from edge_fairmot.types import Detections

FRAME_SIZE = (1920.0, 1080.0)
PERSON_SIZE = (40.0, 100.0)
MISSED = 0.05
"""Share of people that the simulated detector misses, others in each frame."""

SPEED_PX = 2.0
JITTER_PX = 1.0
EMBEDDING_NOISE = 0.3
"""Length of an embedding's noise; its own is 1. Two embeddings of one person have a cosine of about 0.92."""

SETTLING_FRAMES = 30
"""Before anything is timed: new tracks start in them."""

BLOCK = 10


@dataclass(frozen=True, slots=True)
class CrowdTimes:
    """The tracker's times with one crowd."""

    people: int
    update_ms: Spread  # of Tracker.update
    tracks: float  # given out, on average


def simulate_crowd(people: int, frames: int, dimension: int = 128, seed: int = 0) -> Iterator[Detections]:
    """Return detections of people who walk through an image and come in again at the other side."""
    generator = np.random.default_rng(seed)
    size, box = np.array(FRAME_SIZE), np.array(PERSON_SIZE)
    place = generator.uniform(0, 1, (people, 2)) * (size - box)
    step = generator.normal(0, SPEED_PX, (people, 2))
    embedding = generator.normal(0, 1, (people, dimension))
    embedding /= np.linalg.norm(embedding, axis=1, keepdims=True)
    for _ in range(frames):
        place = (place + step) % (size - box)
        seen = generator.random(people) > MISSED
        corner = place[seen] + generator.normal(0, JITTER_PX, (int(seen.sum()), 2))
        noise = generator.normal(0, EMBEDDING_NOISE / np.sqrt(dimension), (len(corner), dimension))
        yield Detections(
            xyxy=np.concatenate([corner, corner + box], axis=1).astype(np.float32),
            score=generator.uniform(0.5, 0.9, len(corner)).astype(np.float32),
            embedding=(embedding[seen] + noise).astype(np.float32),
        )


def time_crowds(sizes: Sequence[int], frames: int) -> list[CrowdTimes]:
    """Return times of the tracker with crowds of several sizes, which take turns frame by frame."""
    if not sizes or min(sizes) < 1 or frames < BLOCK:
        raise InvalidInputError(
            f"give crowds of at least 1 and at least {BLOCK} frames, not {list(sizes)} and {frames}"
        )
    crowds = [simulate_crowd(people, SETTLING_FRAMES + frames) for people in sizes]
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


def tabulate_crowds(times: Sequence[CrowdTimes]) -> TextTable:
    """Return the times as a table."""
    cells = []
    for crowd in times:
        percentiles = (crowd.update_ms.p50, crowd.update_ms.p90, crowd.update_ms.p99)
        texts = (NOTHING if value is None else f"{value:.2f}" for value in percentiles)
        cells.append((str(crowd.people), f"{crowd.tracks:.0f}", *texts))
    return TextTable(
        "Tracker against number of people",
        ("people", "tracks", "p50 ms", "p90", "p99"),
        tuple(cells),
        1,
        "Association alone: simulated people with embeddings of 128 numbers, one in twenty missed in each "
        "frame.",
    )
