"""A street of a few people, as two models might see it, made by hand."""

import numpy as np

from edge_fairmot.benchmarks.observation import DenseHead, Observation
from edge_fairmot.benchmarks.parity_check import FramePair, ParityCheck
from edge_fairmot.benchmarks.parity_report import Subject
from edge_fairmot.letterbox import Letterbox
from edge_fairmot.types import RawDetections

PEOPLE, FRAMES, ROOM = 4, 40, 8
SIZE = (320, 192)
DIMENSION = 16
SUBJECT = Subject("model.onnx", "cpu", "0" * 64, "fp32", {})
HEAD_SHAPES = {"hm": (1, 1, 6, 8), "wh": (1, 4, 6, 8), "reg": (1, 2, 6, 8), "id": (1, 16, 6, 8)}


def unchanged(frame, arrays):
    return arrays


def detections(xyxy, score, embedding):
    """RawDetections of room for ``ROOM``, best first."""
    order = np.argsort(-np.asarray(score), kind="stable")
    boxes = np.zeros((1, ROOM, 4), np.float32)
    scores = np.zeros((1, ROOM), np.float32)
    embeddings = np.full((1, ROOM, np.shape(embedding)[1]), 0.25, np.float32)
    count = len(order)
    boxes[0, :count] = np.asarray(xyxy)[order]
    scores[0, :count] = np.asarray(score)[order]
    embeddings[0, :count] = np.asarray(embedding)[order]
    return RawDetections(boxes, scores, np.zeros((1, ROOM), np.int64), embeddings)


def people(frame):
    """Boxes, scores and embeddings of people who walk side by side."""
    left = 10 + 70.0 * np.arange(PEOPLE) + frame
    xyxy = np.stack([left, np.full(PEOPLE, 40.0), left + 30, np.full(PEOPLE, 120.0)], axis=1)
    return xyxy, np.full(PEOPLE, 0.8), np.eye(PEOPLE, DIMENSION)


def heads(seed):
    generator = np.random.default_rng(seed)
    return {name: generator.normal(size=shape).astype(np.float32) for name, shape in HEAD_SHAPES.items()}


def observation(arrays, dense):
    whole = {name: DenseHead.whole(values) for name, values in dense.items()}
    return Observation(detections(*arrays), whole)


def compare(
    budget,
    spoil=unchanged,
    *,
    spoil_heads=lambda dense: dense,
    base=unchanged,
    frame_rate=30.0,
    truth=None,
    pictures=0,
    first=0,
):
    """The report of a candidate that differs from the reference by ``spoil``, and its check."""
    check = ParityCheck(budget, worst_frames=pictures)
    check.begin("street", frame_rate, truth)
    letterbox = Letterbox(SIZE, SIZE)
    image = np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)
    for frame in range(FRAMES):
        arrays, dense = base(frame, people(frame)), heads(frame)
        reference = observation(arrays, dense)
        candidate = observation(spoil(frame, tuple(np.copy(a) for a in arrays)), spoil_heads(dense))
        check.add(FramePair(image, first + frame, frame / frame_rate, letterbox, reference, candidate))
    return check.report(SUBJECT, SUBJECT), check
