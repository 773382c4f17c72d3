"""The least that a tracker must beat: what moves, followed by overlap. No network, no appearance.

``python -m edge_fairmot.benchmarks.baseline synthetic:seed=3 -o baseline/`` writes ``tracks.txt``, which
``edge-fairmot eval`` scores beside that of a network.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np

from edge_fairmot.benchmarks.peak_matching import iou
from edge_fairmot.benchmarks.street import SyntheticSource
from edge_fairmot.errors import EdgeFairmotError
from edge_fairmot.protocols import Sink
from edge_fairmot.sinks import GroundTruthSink, MotTextSink
from edge_fairmot.sources import open_source
from edge_fairmot.tracking.association import UNMATCHED, assign
from edge_fairmot.types import Float64Array, Int64Array, Tracks, UInt8Array

LEAST_AREA = 4e-4
"""Of the picture; what is smaller is leaves and noise."""

MOVING = 255
"""OpenCV's mark for what is neither background nor shadow."""

LEAST_OVERLAP = 0.3
CONFIRMED_AFTER = 3
LOST_AFTER_S = 0.4


class MotionDetector:
    """Boxes around what differs from the background, which it learns as it goes (MOG2)."""

    def __init__(self) -> None:
        self._background = cv2.createBackgroundSubtractorMOG2(
            history=250, varThreshold=25, detectShadows=True
        )

    def detect(self, image: UInt8Array) -> Float64Array:
        """Find what moves in the next picture, uint8 (H, W, 3): float64 (N, 4), xyxy, pixels."""
        moving = (self._background.apply(image) == MOVING).astype(np.uint8)
        height, width = image.shape[:2]
        reach = max(3, round(height / 100)) | 1
        moving = np.asarray(cv2.medianBlur(moving, 3), np.uint8)
        # A head and legs of another colour than the background's belong to one body.
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, 2 * reach + 1))
        moving = np.asarray(cv2.morphologyEx(moving, cv2.MORPH_CLOSE, kernel), np.uint8)
        _, _, pieces, _ = cv2.connectedComponentsWithStats(moving)
        pieces = pieces[1:]  # the first is the background
        left, top, wide, high, _ = pieces[pieces[:, 4] >= LEAST_AREA * width * height].T
        return np.stack([left, top, left + wide, top + high], axis=1).astype(np.float64)


class OverlapTracker:
    """Gives a box the identity of the box of the frame before that it overlaps most.

    Parameters
    ----------
    frame_rate : float
    """

    def __init__(self, frame_rate: float) -> None:
        self._lost_after = max(1, round(LOST_AFTER_S * frame_rate))
        self._boxes = np.zeros((0, 4))
        self._ids: Int64Array = np.zeros(0, np.int64)
        self._hits: Int64Array = np.zeros(0, np.int64)
        self._misses: Int64Array = np.zeros(0, np.int64)
        self._next_id = 1

    def update(self, boxes: Float64Array) -> Tracks:
        """Follow the boxes of the next frame, float64 (N, 4); those seen often enough are given."""
        row_of = self._match(boxes)
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

    def _match(self, boxes: Float64Array) -> Int64Array:
        """Row of the track of each box, or ``UNMATCHED``."""
        if not len(boxes) or not len(self._boxes):
            return np.full(len(boxes), UNMATCHED)
        return assign(1 - iou(boxes, self._boxes), 1 - LEAST_OVERLAP)


def track_motion(spec: str, output: Path) -> None:
    """Track what moves in a source; writes ``tracks.txt`` and, of ``synthetic:``, ``gt.txt``.

    Parameters
    ----------
    spec : str
        As for :func:`edge_fairmot.sources.open_source`.
    output : Path
        Folder, made where it does not exist.

    Raises
    ------
    EdgeFairmotError
        If the source cannot be read or the folder not be written.
    """
    with ExitStack() as stack:
        source = open_source(spec)
        stack.callback(source.close)
        sinks: list[Sink] = [stack.enter_context(MotTextSink(output / "tracks.txt"))]
        if isinstance(source, SyntheticSource):
            sinks.append(stack.enter_context(GroundTruthSink(output / "gt.txt", source.truth)))
        detector, tracker = MotionDetector(), OverlapTracker(source.info.frame_rate)
        for frame in source:
            tracks = tracker.update(detector.detect(frame.image))
            for sink in sinks:
                sink.write(frame, tracks)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m edge_fairmot.benchmarks.baseline", description=__doc__)
    parser.add_argument("source", help="video, picture folder, MOTChallenge sequence or synthetic:")
    parser.add_argument("-o", "--output", type=Path, default=Path("baseline"), help="folder for tracks.txt")
    arguments = parser.parse_args()
    try:
        track_motion(arguments.source, arguments.output)
    except EdgeFairmotError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
