"""What a good network might find on the synthetic street: true boxes and simulated embeddings."""

import numpy as np
import pytest

from edge_fairmot.benchmarks.street import parse_street
from edge_fairmot.benchmarks.street.source import SyntheticSource
from edge_fairmot.letterbox import Letterbox
from edge_fairmot.manifest import ModelManifest
from edge_fairmot.tape import TapeHeader
from edge_fairmot.tape_recorder import TapeRecorder
from edge_fairmot.types import Detections, RawDetections

DIMENSION, CAPACITY = 32, 128
FOUND_ABOVE = 0.35
"""Visibility from which somebody is found."""


def _true_detections(truth, random):
    """Boxes of those who can be found, a little off; embeddings the blurrier the less of somebody is seen."""
    rows = np.flatnonzero(truth.visibility > FOUND_ABOVE)
    xyxy = truth.xyxy[rows]
    height = (xyxy[:, 3] - xyxy[:, 1])[:, None]
    xyxy = xyxy + random.normal(0, 0.015, xyxy.shape) * height
    looks = [np.random.default_rng(identity).normal(size=DIMENSION) for identity in truth.ids[rows].tolist()]
    embedding = np.array(looks).reshape(-1, DIMENSION)
    embedding += random.normal(0, 0.3, embedding.shape) / truth.visibility[rows, None]
    embedding /= np.linalg.norm(embedding, axis=1, keepdims=True)
    score = 0.5 + 0.5 * truth.visibility[rows]
    return Detections(xyxy.astype(np.float32), score.astype(np.float32), embedding.astype(np.float32))


def _record_true_boxes(spec, path, input_size=(320, 192)):
    """Make a tape of a street, for ``--runtime replay``."""
    options, random = parse_street(spec), np.random.default_rng(0)
    manifest = ModelManifest(input_size, CAPACITY, DIMENSION, ("person",), 18, "ab" * 32, "0.1.0")
    header = TapeHeader(spec, options.size, options.fps, 0.4, manifest)
    letterbox = Letterbox(options.size, input_size)
    with SyntheticSource(options) as source, TapeRecorder(path, header) as recorder:
        for frame in source:
            found = _true_detections(source.truth(frame.index), random)
            order = np.argsort(-found.score, kind="stable")
            boxes, scores = np.zeros((1, CAPACITY, 4), np.float32), np.zeros((1, CAPACITY), np.float32)
            embeddings = np.zeros((1, CAPACITY, DIMENSION), np.float32)
            count = len(order)
            boxes[0, :count] = letterbox.to_input(found.xyxy[order])
            scores[0, :count] = found.score[order]
            embeddings[0, :count] = found.embedding[order]
            recorder.record(
                frame, RawDetections(boxes, scores, np.zeros((1, CAPACITY), np.int64), embeddings)
            )


@pytest.fixture(scope="session")
def record_true_boxes():
    return _record_true_boxes
