"""A detector without a network: the true boxes of a source, with the faults of a network's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edge_fairmot.types import (
    Detections,
    Float32Array,
    Float64Array,
    Frame,
    GroundTruth,
    Int64Array,
)

LEAST_VISIBLE, SURELY_VISIBLE = 0.1, 0.5
"""Visible share of a body up to which it is never found, and from which it is found as often as any."""

FOUND = 0.97
BOX_ERROR, BOX_ERROR_PX = 0.015, 0.5
"""Standard deviation of an edge: a share of the box's height, and pixels."""

SCORE_OF_NOTHING, SCORE_OF_ALL, SCORE_ERROR = 0.25, 0.9, 0.08
"""Score of a body of which nothing is visible, of one that is visible whole, and its standard deviation."""

FALSE_BOXES = 0.3
"""Boxes a frame where nobody is."""

DIMENSION, LIKENESS = 128, 0.6
"""Numbers of an embedding; weight of what all people share: two of them have a cosine of about 0.26."""

EMBEDDING_ERROR, HIDDEN_ERROR = 0.5, 1.0
"""Length of an embedding's error, and of what a wholly hidden body adds to it; the embedding's own is 1."""


class SimulatedDetector:
    """Finds the people of a source with ground truth as a network does: not all, not exactly, not alone.

    A frame's detections depend on the seed and the frame's number alone.

    Parameters
    ----------
    truth : callable
        Returns the ground truth of a frame by its index.
    frame_size : (int, int)
        Width and height, pixels.
    seed : int
    score_threshold : float
        Only detections with a greater score are returned.
    """

    def __init__(
        self,
        truth: Callable[[int], GroundTruth],
        frame_size: tuple[int, int],
        seed: int = 0,
        score_threshold: float = 0.1,
    ) -> None:
        self._truth, self._size, self._seed = truth, frame_size, seed
        self._score_threshold = score_threshold
        self._shared = _unit(np.random.default_rng((seed, 0)).normal(size=DIMENSION))

    def detect(self, frame: Frame) -> Detections:
        """Return the detections of a frame."""
        truth, random = self._truth(frame.index), np.random.default_rng((self._seed, 1, frame.index))
        chance = FOUND * np.clip((truth.visibility - LEAST_VISIBLE) / (SURELY_VISIBLE - LEAST_VISIBLE), 0, 1)
        found = truth[np.asarray(random.random(len(truth)) < chance)]
        xyxy, score, embedding = self._people(found, random)
        false_xyxy, false_score, false_embedding = self._nobody(random)
        xyxy = np.concatenate((xyxy, false_xyxy))
        every = Detections(
            xyxy.astype(np.float32),
            np.concatenate((score, false_score)).astype(np.float32),
            np.concatenate((embedding, false_embedding)).astype(np.float32),
        )
        has_size = np.asarray((xyxy[:, 2:] > xyxy[:, :2] + 1).all(axis=1))
        return every[has_size & (every.score > self._score_threshold)]

    def _people(
        self, found: GroundTruth, random: np.random.Generator
    ) -> tuple[Float64Array, Float64Array, Float64Array]:
        hidden = 1 - found.visibility.astype(np.float64)
        height = (found.xyxy[:, 3] - found.xyxy[:, 1]).astype(np.float64)
        error_px = BOX_ERROR_PX + BOX_ERROR * height
        xyxy = found.xyxy + error_px[:, None] * random.normal(size=(len(found), 4))
        score = SCORE_OF_ALL - (SCORE_OF_ALL - SCORE_OF_NOTHING) * hidden
        score = np.clip(score + random.normal(0, SCORE_ERROR, len(found)), 0.01, 0.99)
        error = (EMBEDDING_ERROR + HIDDEN_ERROR * hidden)[:, None] * _units(random, len(found))
        return xyxy, score, self._looks(found.ids) + error

    def _looks(self, ids: Int64Array) -> Float64Array:
        """Return the embedding of each person, (N, D)."""
        own = [
            np.random.default_rng((self._seed, 2, number)).normal(size=DIMENSION) for number in ids.tolist()
        ]
        return np.array([_unit(_unit(one) + LIKENESS * self._shared) for one in own]).reshape(-1, DIMENSION)

    def _nobody(self, random: np.random.Generator) -> tuple[Float64Array, Float64Array, Float64Array]:
        count, (width, height) = random.poisson(FALSE_BOXES), self._size
        tall = random.uniform(0.1, 0.4, count) * height
        left, top = random.uniform(0, width, count), random.uniform(0, 0.6 * height, count)
        xyxy = np.column_stack((left, top, left + 0.4 * tall, top + tall))
        return xyxy, random.uniform(0.2, 0.6, count), _units(random, count) + LIKENESS * self._shared


def _units(random: np.random.Generator, count: int) -> Float64Array:
    vectors = random.normal(size=(count, DIMENSION))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _unit(vector: Float64Array | Float32Array) -> Float64Array:
    return np.asarray(vector / np.linalg.norm(vector), np.float64)
