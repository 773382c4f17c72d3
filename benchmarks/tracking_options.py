"""What an option of the tracker is worth: HOTA, MOTA, IDF1 and IDSW without it and with it.

``python -m edge_fairmot.benchmarks.tracking_options moving`` tracks streets whose camera moves, with the true
boxes and a network's faults; ``--detections FOLDER`` takes the detections of ``track --save-detections``
from ``FOLDER/NAME``, NAME being the seed and the camera's options, as in ``101-pan=52``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np

from edge_fairmot.benchmarks.accuracy import Accuracy, evaluate_many
from edge_fairmot.benchmarks.mot_text import MotRows
from edge_fairmot.benchmarks.simulated_detector import SimulatedDetector
from edge_fairmot.benchmarks.street import SyntheticSource, parse_street
from edge_fairmot.camera_motion import CameraMotion
from edge_fairmot.detection_cache import CachedDetector
from edge_fairmot.errors import EdgeFairmotError
from edge_fairmot.pipeline import Pipeline
from edge_fairmot.protocols import Detector
from edge_fairmot.sinks.text import MIN_VISIBILITY
from edge_fairmot.tracking import Tracker, TrackerConfig
from edge_fairmot.types import Float32Array, Float64Array, GroundTruth, Tracks, UInt8Array

CAMERAS: Mapping[str, str] = {
    "still": "",
    "shake, 6 px": "handheld=1.11",
    "shake, 15 px": "handheld=2.78",
    "pan, 20 px a frame": "pan=52",
    "pan, 40 px a frame": "pan=104",
    "zoom, 2": "zoom=2",
}
"""Cameras and their options; the pixels are those of 960x540 at 25 frames per second."""

MOTIONS = ("off", "estimated", "known")


class KnownMotion(CameraMotion):
    """The motion of a street's camera as it is: the best that an estimate can be."""

    def __init__(self, source: SyntheticSource) -> None:
        super().__init__()
        self._source, self._index = source, -1

    def estimate(self, image: UInt8Array, objects: Float32Array) -> Float64Array | None:
        """Return the true motion from the frame before; frames are asked for in order."""
        self._index += 1
        if self._index == 0:
            return None
        before, after = (_square(self._source.view(index)) for index in (self._index - 1, self._index))
        moved: Float64Array = (after @ np.linalg.inv(before))[:2]
        return None if np.array_equal(before, after) else moved


def _square(matrix: Float64Array) -> Float64Array:
    return np.vstack((matrix, (0.0, 0.0, 1.0)))


def truth_rows(truths: Iterable[GroundTruth]) -> MotRows:
    """Return the ground truth of consecutive frames as it is scored: the people of whom enough is visible."""
    tracks = []
    for truth in truths:
        seen = truth[np.asarray(truth.visibility >= MIN_VISIBILITY)]
        score, zero = np.ones(len(seen), np.float32), np.zeros(len(seen), np.int64)
        tracks.append(Tracks(seen.ids, seen.xyxy, score, zero, zero.astype(bool)))
    return MotRows.of_tracks(tracks)


def track_street(
    spec: str, config: TrackerConfig, motion: str, cache: Path | None = None
) -> tuple[MotRows, MotRows]:
    """Return the tracks of a street, and its ground truth; ``motion`` is one of ``MOTIONS``."""
    with closing(SyntheticSource(parse_street(spec))) as source:
        detector: Detector = (
            SimulatedDetector(source.truth, source.info.frame_size, score_threshold=config.lowest_score)
            if cache is None
            else CachedDetector(cache, config.lowest_score)
        )
        motions = {"off": None, "estimated": CameraMotion(), "known": KnownMotion(source)}
        tracks, truths = [], []
        for result in Pipeline(source, detector, Tracker(config), camera_motion=motions[motion]):
            tracks.append(result.tracks)
            truths.append(source.truth(result.frame.index))
    return MotRows.of_tracks(tracks), truth_rows(truths)


def compare_cameras(seeds: Sequence[int], frames: int, caches: Path | None) -> None:
    """Print the accuracy with every camera, its motion ignored, estimated and known."""
    print(f"{'camera':20s}  {'motion':10s}  HOTA   MOTA   IDF1   IDSW")
    for camera, options in CAMERAS.items():
        for motion in MOTIONS:
            sequences = {}
            for seed in seeds:
                spec = f"synthetic:seed={seed},frames={frames}" + (f",{options}" if options else "")
                cache = None if caches is None else caches / (f"{seed}-{options}" if options else f"{seed}")
                config = TrackerConfig(frame_rate=parse_street(spec).fps)
                sequences[str(seed)] = track_street(spec, config, motion, cache)
            print(f"{camera:20s}  {motion:10s}  {shown(evaluate_many(sequences).combined)}", flush=True)


def shown(accuracy: Accuracy) -> str:
    """Return HOTA, MOTA, IDF1 and IDSW in columns."""
    ratios = (accuracy.hota, accuracy.mota, accuracy.idf1)
    return "  ".join(f"{100 * ratio:5.1f}" for ratio in ratios) + f"  {accuracy.idsw:5d}"


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m edge_fairmot.benchmarks.tracking_options", description=__doc__
    )
    parser.add_argument("option", choices=("moving",))
    parser.add_argument("--seeds", default="101,102", help="of the streets [default: 101,102]")
    parser.add_argument("--frames", type=int, default=250, help="of each street [default: 250]")
    parser.add_argument("--detections", type=Path, help="folder of detection caches")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    try:
        compare_cameras(seeds, arguments.frames, arguments.detections)
    except EdgeFairmotError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
