"""A crowd of any size that walks about, as a detector would tell of it: work for the tracker alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edge_fairmot.types import Detections

FRAME_SIZE = (1920.0, 1080.0)
PERSON_SIZE = (40.0, 100.0)
MISSED = 0.05
"""Share of people that a detector overlooks in a frame, each frame others."""

SPEED_PX = 2.0
JITTER_PX = 1.0
LOOK_NOISE = 0.3
"""Of an embedding, against its length of 1: two looks at one person are at a cosine of about 0.92."""


def walk(people: int, frames: int, dimension: int = 128, seed: int = 0) -> Iterator[Detections]:
    """Let people walk through a picture, in at one side when they are out at the other.

    Parameters
    ----------
    people : int
    frames : int
    dimension : int
        Of the embeddings.
    seed : int

    Yields
    ------
    Detections
        Source pixels.
    """
    generator = np.random.default_rng(seed)
    size, box = np.array(FRAME_SIZE), np.array(PERSON_SIZE)
    place = generator.uniform(0, 1, (people, 2)) * (size - box)
    step = generator.normal(0, SPEED_PX, (people, 2))
    look = generator.normal(0, 1, (people, dimension))
    look /= np.linalg.norm(look, axis=1, keepdims=True)
    for _ in range(frames):
        place = (place + step) % (size - box)
        seen = generator.random(people) > MISSED
        corner = place[seen] + generator.normal(0, JITTER_PX, (int(seen.sum()), 2))
        noise = generator.normal(0, LOOK_NOISE / np.sqrt(dimension), (len(corner), dimension))
        yield Detections(
            xyxy=np.concatenate([corner, corner + box], axis=1).astype(np.float32),
            score=generator.uniform(0.5, 0.9, len(corner)).astype(np.float32),
            embedding=(look[seen] + noise).astype(np.float32),
        )
