"""Hand-made tracks, and what a good network might find on the synthetic street."""

import numpy as np
import pytest

from edge_fairmot.types import Detections, Tracks

DIMENSION = 32
FOUND_ABOVE = 0.35
"""Visibility above which a person is detected."""


def _tracks(*people, height=40.0):
    table = np.array(people, np.float64).reshape(-1, 3)
    x, y = table[:, 1], table[:, 2]
    count = len(table)
    return Tracks(
        table[:, 0].astype(np.int64),
        np.stack([x - 8, y - height, x + 8, y], axis=1).astype(np.float32),
        np.ones(count, np.float32),
        np.zeros(count, np.int64),
        np.zeros(count, bool),
    )


@pytest.fixture(scope="session")
def tracks():
    """Make tracks of (id, x, y), feet in pixels, 16 pixels wide and 40 high unless ``height`` is given."""
    return _tracks


class TrueBoxes:
    """A detector of the true boxes, slightly off; embeddings are the more noisy the less is visible."""

    def __init__(self, source):
        self._source, self._random = source, np.random.default_rng(0)

    def detect(self, frame):
        return self.find(self._source.truth(frame.index))

    def find(self, truth):
        truth = truth[truth.visibility > FOUND_ABOVE]
        height = (truth.xyxy[:, 3] - truth.xyxy[:, 1])[:, None]
        xyxy = truth.xyxy + self._random.normal(0, 0.015, truth.xyxy.shape) * height
        looks = [np.random.default_rng(identity).normal(size=DIMENSION) for identity in truth.ids.tolist()]
        embedding = np.array(looks).reshape(-1, DIMENSION)
        embedding += self._random.normal(0, 0.3, embedding.shape) / truth.visibility[:, None]
        score = 0.5 + 0.5 * truth.visibility
        return Detections(xyxy.astype(np.float32), score.astype(np.float32), embedding.astype(np.float32))


@pytest.fixture(scope="session")
def true_boxes():
    """Class of a detector; it is made with a source that knows its ground truth."""
    return TrueBoxes
