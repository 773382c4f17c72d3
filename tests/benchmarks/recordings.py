"""Recordings of a street whose people are known, made by hand."""

import numpy as np

from edge_fairmot.benchmarks.correctness import CachedSource, Recording
from edge_fairmot.benchmarks.device_speed import FrameCosts
from edge_fairmot.detection_cache import CacheInfo, DetectionWriter
from edge_fairmot.types import Detections, Frame

FRAMES, PEOPLE, RATE = 50, 3, 25.0
SIZE, THRESHOLD = (320, 192), 0.4


def recording(*, inference_s=0.01, shift=0.0, missing=(), dimension=8):
    """People who walk side by side, as a model finds them: perhaps shifted, perhaps not in some frames."""
    found = []
    for frame in range(FRAMES):
        seen = np.arange(0 if frame in missing else PEOPLE)
        left = 20 + 80.0 * seen + frame + shift
        boxes = np.stack([left, 0 * left + 40, left + 30, 0 * left + 130], axis=1).astype(np.float32)
        embeddings = np.eye(dimension, dtype=np.float32)[seen]
        found.append(Detections(boxes, np.full(len(seen), 0.9, np.float32), embeddings))
    info = CacheInfo("street", SIZE, RATE, THRESHOLD - 0.02, dimension)
    cached = CachedSource(info, np.arange(FRAMES) / RATE, tuple(found), tuple(range(1, FRAMES + 1)))

    def each(value):
        return np.full(FRAMES, value)

    costs = FrameCosts(cached.time_s, each(0.001), each(0.001), each(inference_s), each(0.001))
    return Recording("street", cached, costs)


def write_cache(folder, cached):
    """Write a detection cache, as a worker does."""
    image = np.zeros((*SIZE[::-1], 3), np.uint8)
    with DetectionWriter(folder, cached.info) as write:
        for number, time_s, found in zip(
            cached.numbers, cached.time_s.tolist(), cached.detections, strict=True
        ):
            write(Frame(image, number - 1, time_s), found)
