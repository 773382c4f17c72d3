"""What an option of the tracker is worth, and what it costs: HOTA, MOTA, IDF1, IDSW, and times.

``python -m edge_fairmot.benchmarks.tracking_options moving`` tracks streets whose camera moves, with the true
boxes and a network's faults; ``low-fps`` compares presets at few frames per second, ``refine`` shows each
step of the refinement, and ``time`` the processor time of a frame. ``--detections FOLDER`` takes what ``track
--save-detections`` wrote to ``FOLDER/NAME``, NAME being the seed and the camera's options, as in
``101-pan=52``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from time import thread_time

import cv2
import numpy as np

from edge_fairmot.benchmarks.accuracy import Accuracy, evaluate_many
from edge_fairmot.benchmarks.mot_text import MotRows
from edge_fairmot.benchmarks.simulated_detector import SimulatedDetector
from edge_fairmot.benchmarks.street import SyntheticSource, parse_street
from edge_fairmot.benchmarks.tracker_scaling import FRAME_SIZE, simulate_crowd
from edge_fairmot.camera_motion import CameraMotion
from edge_fairmot.counting import IgnoredZones, parse_zone
from edge_fairmot.detection_cache import CachedDetector
from edge_fairmot.errors import EdgeFairmotError
from edge_fairmot.pipeline import Pipeline
from edge_fairmot.protocols import Detector
from edge_fairmot.refinement import RefineConfig, TrackRows, mean_embeddings, refine
from edge_fairmot.sinks.text import MIN_VISIBILITY
from edge_fairmot.tracking import PRESETS, Tracker, TrackerConfig, preset
from edge_fairmot.types import Detections, Float32Array, Float64Array, Frame, GroundTruth, Tracks, UInt8Array

CAMERAS: Mapping[str, str] = {
    "still": "",
    "shake, 6 px": "handheld=1.11",
    "shake, 15 px": "handheld=2.78",
    "pan, 20 px a frame": "pan=52",
    "pan, 40 px a frame": "pan=104",
    "zoom, 2": "zoom=2",
}
"""Cameras and their options; the pixels are those of 960x540 at 25 frames per second."""

PEOPLE = (10, 60, 200)

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


def compare_rates(seeds: Sequence[int], frames: int, caches: Path | None) -> None:
    """Print the accuracy of presets at few frames per second: of every nth frame of a street at 25."""
    print(f"{'frames/s':8s}  {'preset':10s}  HOTA   MOTA   IDF1   IDSW")
    for step in (25, 12, 8, 5):
        streets = {str(seed): _Sampled(seed, frames, step, caches) for seed in seeds}
        for name in ("fairmot", "low-fps"):
            config = preset(name, {"frame_rate": 25 / step})
            found = {seed: (street.track(config), street.truth) for seed, street in streets.items()}
            print(f"{25 / step:8.1f}  {name:10s}  {shown(evaluate_many(found).combined)}", flush=True)


def compare_refinements(seeds: Sequence[int], frames: int, caches: Path | None) -> None:
    """Print the accuracy of tracks as they are, and after each step of the refinement."""
    steps = {
        "as tracked": RefineConfig(0, 0, 0, 0),
        "gaps filled": RefineConfig(join_s=0),
        "and fragments joined": RefineConfig(),
        "and smoothed": RefineConfig(smooth_s=0.12),
    }
    streets = {str(seed): _Sampled(seed, frames, 1, caches) for seed in seeds}
    config = TrackerConfig(frame_rate=25.0)
    tracked = {seed: street.tracked(config) for seed, street in streets.items()}
    print(f"{'tracks':20s}  HOTA   MOTA   IDF1   IDSW")
    for name, step in steps.items():
        found = {}
        for seed, tracks in tracked.items():
            street = streets[seed]
            numbered = list(zip(range(1, len(tracks) + 1), street.times_s, tracks, strict=True))
            looks = mean_embeddings(zip(tracks, street.detections, strict=True)) if step.join_s else None
            times_s = np.array(street.times_s)
            rows = refine(TrackRows.of_frames(numbered), times_s, street.frame_size, step, looks)
            boxes = MotRows(rows.frame, rows.track_id, rows.xyxy, rows.score)
            found[seed] = (boxes, street.truth)
        print(f"{name:20s}  {shown(evaluate_many(found).combined)}", flush=True)


class _Sampled:
    """Every nth frame of a street, without its images: detections, times and ground truth."""

    def __init__(self, seed: int, frames: int, step: int, caches: Path | None) -> None:
        source = SyntheticSource(parse_street(f"synthetic:seed={seed},frames={frames}"))
        self.frame_size = source.info.frame_size
        truths = {index: source.truth(index) for index in range(0, frames, step)}
        detector: Detector = (
            SimulatedDetector(truths.__getitem__, self.frame_size)
            if caches is None
            else CachedDetector(caches / f"{seed}", None)
        )
        image = np.zeros((1, 1, 3), np.uint8)
        self.times_s = [index / source.info.frame_rate for index in truths]
        found = (
            detector.detect(Frame(image, index, time_s))
            for index, time_s in zip(truths, self.times_s, strict=True)
        )
        self.detections = [Detections.empty() if one is None else one for one in found]
        self.truth = truth_rows(truths.values())

    def tracked(self, config: TrackerConfig) -> list[Tracks]:
        """Return the tracks of each frame."""
        tracker = Tracker(config)
        return [
            tracker.update(found, time_s) for found, time_s in zip(self.detections, self.times_s, strict=True)
        ]

    def track(self, config: TrackerConfig) -> MotRows:
        """Return the tracks as rows."""
        return MotRows.of_tracks(self.tracked(config))


def time_options(frames: int) -> None:
    """Print the processor time of a tracker's frame with each option; all take turns frame by frame."""
    zones = IgnoredZones(tuple(map(parse_zone, ("a:0,0;0.1,0;0.1,0.1;0,0.1", "b:0.9,0;1,0;1,0.1;0.9,0.1"))))
    shift = np.array(((1.0, 0.0, 2.0), (0.0, 1.0, 1.0)))
    source = SyntheticSource(parse_street("synthetic:seed=305,frames=20,size=1280x720,handheld=1"))
    images = [frame.image for frame in source]
    size = (int(FRAME_SIZE[0]), int(FRAME_SIZE[1]))
    names = ("fairmot", "bytetrack", "low-fps", "moved tracks", "ignored zones", "camera motion, 1280x720")
    elapsed_ms, order = np.zeros((len(PEOPLE), len(names), frames)), np.random.default_rng(0)
    crowds = [list(simulate_crowd(people, frames)) for people in PEOPLE]
    trackers = [[Tracker(preset(name if name in PRESETS else "fairmot")) for name in names] for _ in PEOPLE]
    motions = [CameraMotion() for _ in PEOPLE]
    for frame in range(frames):
        for crowd, people in enumerate(PEOPLE):
            detections, image = crowds[crowd][frame], images[frame % len(images)]
            objects = (
                detections.xyxy * np.float32(1280 / FRAME_SIZE[0]) if people < 200 else detections.xyxy[:0]
            )
            for option in order.permutation(len(names)).tolist():  # none always follows the same one
                name, tracker = names[option], trackers[crowd][option]
                started_s = thread_time()
                if name.startswith("camera"):
                    motions[crowd].estimate(image, objects)
                else:
                    if name == "moved tracks":
                        tracker.move(shift)
                    kept = zones.apply(detections, size) if name == "ignored zones" else detections
                    tracker.update(kept)
                elapsed_ms[crowd, option, frame] = 1e3 * (thread_time() - started_s)
    print(f"{'processor ms a frame':26s}" + "".join(f"{people:>8d}" for people in PEOPLE))
    settled = np.median(elapsed_ms[:, :, frames // 5 :], axis=2)
    for option, name in enumerate(names):
        print(f"{name:26s}" + "".join(f"{value:8.2f}" for value in settled[:, option]))


def shown(accuracy: Accuracy) -> str:
    """Return HOTA, MOTA, IDF1 and IDSW in columns."""
    ratios = (accuracy.hota, accuracy.mota, accuracy.idf1)
    return "  ".join(f"{100 * ratio:5.1f}" for ratio in ratios) + f"  {accuracy.idsw:5d}"


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m edge_fairmot.benchmarks.tracking_options", description=__doc__
    )
    parser.add_argument("option", choices=("moving", "low-fps", "refine", "time"))
    parser.add_argument("--seeds", default="101,102", help="of the streets [default: 101,102]")
    parser.add_argument("--frames", type=int, default=250, help="of each street [default: 250]")
    parser.add_argument("--detections", type=Path, help="folder of detection caches")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    compare = {"moving": compare_cameras, "low-fps": compare_rates, "refine": compare_refinements}
    try:
        if arguments.option == "time":
            time_options(arguments.frames)
        else:
            compare[arguments.option](seeds, arguments.frames, arguments.detections)
    except EdgeFairmotError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
