"""A baseline for trackers: moving regions, followed by their overlap, without a network.

``python -m edge_fairmot.benchmarks.baseline synthetic:seed=3 -o baseline/`` writes ``tracks.txt``, which
``edge-fairmot eval`` scores beside that of a network.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack, closing
from pathlib import Path

import cv2
import numpy as np

from edge_fairmot.boxes import iou
from edge_fairmot.errors import EdgeFairmotError
from edge_fairmot.protocols import HasGroundTruth, Sink
from edge_fairmot.sinks import GroundTruthSink, MotTextSink
from edge_fairmot.sources import open_source
from edge_fairmot.tracking.association import UNMATCHED, assign
from edge_fairmot.types import Float64Array, FrameResult, Int64Array, Tracks, UInt8Array

LEAST_AREA = 4e-4
"""Share of the image; smaller regions are leaves and noise."""

MOVING = 255
"""OpenCV's mark for pixels that are neither background nor shadow."""

LEAST_OVERLAP = 0.3
CONFIRMED_AFTER = 3
LOST_AFTER_S = 0.4


class MotionDetector:
    """Boxes around regions that differ from a background, which is learned from the frames (MOG2)."""

    def __init__(self) -> None:
        self._background = cv2.createBackgroundSubtractorMOG2(
            history=250, varThreshold=25, detectShadows=True
        )

    def detect(self, image: UInt8Array) -> Float64Array:
        """Return boxes of the moving regions of the next image, uint8 (H, W, 3): float64 (N, 4), xyxy."""
        moving = (self._background.apply(image) == MOVING).astype(np.uint8)
        height, width = image.shape[:2]
        reach = max(3, round(height / 100)) | 1
        moving = np.asarray(cv2.medianBlur(moving, 3), np.uint8)
        # Joins the parts of one body, such as head and legs, that are apart in their colours.
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, 2 * reach + 1))
        moving = np.asarray(cv2.morphologyEx(moving, cv2.MORPH_CLOSE, kernel), np.uint8)
        _, _, regions, _ = cv2.connectedComponentsWithStats(moving)
        regions = regions[1:]  # the first is the background
        left, top, wide, high, _ = regions[regions[:, 4] >= LEAST_AREA * width * height].T
        return np.stack([left, top, left + wide, top + high], axis=1).astype(np.float64)


class OverlapTracker:
    """Assigns each box the identity of the earlier box with the greatest overlap."""

    def __init__(self, frame_rate: float) -> None:
        self._lost_after = max(1, round(LOST_AFTER_S * frame_rate))
        self._boxes = np.zeros((0, 4))
        self._ids: Int64Array = np.zeros(0, np.int64)
        self._hits: Int64Array = np.zeros(0, np.int64)
        self._misses: Int64Array = np.zeros(0, np.int64)
        self._next_id = 1

    def update(self, boxes: Float64Array) -> Tracks:
        """Return the tracks of the next frame from its boxes, float64 (N, 4); a track needs three of them."""
        row_of = np.full(len(boxes), UNMATCHED)
        if len(boxes) and len(self._boxes):
            row_of = assign(1 - iou(boxes, self._boxes), 1 - LEAST_OVERLAP)
        self._misses += 1
        old = row_of[row_of != UNMATCHED]
        self._boxes[old], self._misses[old] = boxes[row_of != UNMATCHED], 0
        self._hits[old] += 1
        new = boxes[row_of == UNMATCHED]
        kept = self._misses < self._lost_after
        fresh = np.arange(self._next_id, self._next_id + len(new))
        self._next_id += len(new)
        self._boxes = np.concatenate([self._boxes[kept], new])
        self._ids = np.concatenate([self._ids[kept], fresh])
        self._hits = np.concatenate([self._hits[kept], np.ones(len(new), np.int64)])
        self._misses = np.concatenate([self._misses[kept], np.zeros(len(new), np.int64)])
        shown = (self._misses == 0) & (self._hits >= CONFIRMED_AFTER)
        count = int(shown.sum())
        return Tracks(
            self._ids[shown],
            self._boxes[shown].astype(np.float32),
            np.ones(count, np.float32),
            np.zeros(count, np.int64),
            np.zeros(count, np.bool_),
        )


def track_motion(spec: str, output: Path) -> None:
    """Track the moving regions of a source; writes ``tracks.txt`` and, for ``synthetic:``, ``gt.txt``."""
    with ExitStack() as stack:
        source = stack.enter_context(closing(open_source(spec)))
        sinks: list[Sink] = [stack.enter_context(MotTextSink(output / "tracks.txt"))]
        if isinstance(source, HasGroundTruth):
            sinks.append(stack.enter_context(GroundTruthSink(output / "gt.txt", source.truth)))
        detector, tracker = MotionDetector(), OverlapTracker(source.info.frame_rate)
        for frame in source:
            result = FrameResult(frame, tracker.update(detector.detect(frame.image)))
            for sink in sinks:
                sink.write(result)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m edge_fairmot.benchmarks.baseline", description=__doc__)
    parser.add_argument("source", help="video, image folder, MOTChallenge sequence or synthetic:")
    parser.add_argument("-o", "--output", type=Path, default=Path("baseline"), help="folder for tracks.txt")
    arguments = parser.parse_args()
    try:
        track_motion(arguments.source, arguments.output)
    except EdgeFairmotError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
