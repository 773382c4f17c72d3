"""The camera's motion, estimated from images, and tracks that move with it."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from edge_fairmot.benchmarks.simulated_detector import SimulatedDetector
from edge_fairmot.benchmarks.street import SyntheticSource, parse_street
from edge_fairmot.benchmarks.tracking_options import KnownMotion
from edge_fairmot.camera_motion import CameraMotion
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.pipeline import Pipeline
from edge_fairmot.tracking import Tracker, TrackerConfig
from edge_fairmot.types import Detections, FrameResult

STILL = "synthetic:seed=305,frames=25,size=640x360"
NOBODY = np.zeros((0, 4), np.float32)
NOISE = np.random.default_rng(1)


def track(spec: str, *, moving: bool) -> Iterator[FrameResult]:
    source = SyntheticSource(parse_street(spec))
    detector = SimulatedDetector(source.truth, source.info.frame_size)
    config = TrackerConfig(frame_rate=source.info.frame_rate)
    return iter(Pipeline(source, detector, Tracker(config), camera_motion=CameraMotion() if moving else None))


def texture(height: int, width: int, seed: int) -> np.ndarray:
    """Return blobs of a few pixels in grey, uint8 (H, W, 3)."""
    noise = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8), np.uint8)
    grey = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    return cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)


@pytest.mark.parametrize("camera", ["handheld=2.78", "pan=104", "zoom=3", "pan=52,zoom=2,handheld=1"])
def test_the_motion_of_a_street_is_found_to_half_a_pixel(camera: str) -> None:
    source = SyntheticSource(parse_street(f"{STILL},{camera}"))
    estimated, known, errors = CameraMotion(), KnownMotion(source), []
    places = np.array([(x, y, 1) for x in (160, 320, 480) for y in (90, 180, 270)], float).T
    for frame in source:
        found, true = estimated.estimate(frame.image, NOBODY), known.estimate(frame.image, NOBODY)
        found, true = (np.eye(2, 3) if one is None else one for one in (found, true))
        errors.append(np.abs(found @ places - true @ places).max())
    assert estimated.unknown == 0
    assert np.median(errors) < 0.25
    assert max(errors) < 1.0  # below a pixel everywhere counts as no motion


@pytest.mark.parametrize("light", ["", ",light=1"])
def test_with_a_still_camera_every_track_stays_as_it_is_to_the_bit(light: str) -> None:
    for plain, followed in zip(
        track(STILL + light, moving=False), track(STILL + light, moving=True), strict=True
    ):
        assert plain.tracks.track_id.tobytes() == followed.tracks.track_id.tobytes()
        assert plain.tracks.xyxy.tobytes() == followed.tracks.xyxy.tobytes()


def test_identities_survive_a_pan_that_breaks_the_gate() -> None:
    lasting = {}
    for moving in (False, True):
        results = list(track(f"{STILL},pan=104", moving=moving))
        ids = [set(result.tracks.track_id.tolist()) for result in results]
        lasting[moving] = len(ids[5] & ids[15])
    assert lasting[True] >= 5
    assert lasting[False] == 0


@pytest.mark.parametrize("jump", [0, 12])
def test_corners_on_objects_are_not_used(jump: int) -> None:
    """An object covers most of the image and moves by 20 pixels; the street behind it moves by ``jump``."""
    street, object_ = texture(360, 800, 1), texture(360, 800, 2)
    before, after = street[:, 100:740].copy(), street[:, 100 - jump : 740 - jump].copy()
    before[40:360, 60:560], after[40:360, 80:580] = object_[40:360, 60:560], object_[40:360, 60:560]
    found = []
    for boxes in (NOBODY, np.array([(60, 40, 560, 360)], np.float32)):
        motion = CameraMotion()
        motion.estimate(before, NOBODY)
        moved = motion.estimate(after, boxes)
        found.append(0.0 if moved is None else float(moved[0, 2]))
    assert found[0] == pytest.approx(20, abs=1)
    assert found[1] == pytest.approx(jump, abs=1)


def test_no_motion_is_invented_where_few_corners_agree() -> None:
    motion = CameraMotion()
    for _ in range(4):
        assert motion.estimate(NOISE.integers(0, 256, (180, 320, 3), np.uint8), NOBODY) is None
    assert motion.unknown == 3
    for number in range(3):
        assert motion.estimate(np.full((180, 320, 3), 10 * number, np.uint8), NOBODY) is None
    assert motion.unknown == 6
    assert motion.estimate(texture(90, 160, 0), NOBODY) is None  # the first image of another size
    assert motion.unknown == 6
    with pytest.raises(InvalidInputError, match=r"uint8 \(H, W, 3\), not float64 \(4, 4\)"):
        motion.estimate(np.zeros((4, 4)), NOBODY)


def seen(*people: tuple[float, float, int], scale: float = 1.0) -> Detections:
    """Return people 40 x 100 around their centres, one look each."""
    centre = np.array([person[:2] for person in people], np.float32).reshape(-1, 2)
    half = np.array((20, 50), np.float32) * np.float32(scale)
    look = np.eye(4, dtype=np.float32)[[person[2] for person in people]].reshape(-1, 4)
    return Detections(np.hstack((centre - half, centre + half)), np.full(len(people), 0.9, np.float32), look)


def test_tracked_lost_and_unconfirmed_tracks_move_with_the_image() -> None:
    """The camera turns by 90 degrees, magnifies and jumps; one person walks, one is lost, one is new."""
    tracker = Tracker()
    for step in range(20):
        tracker.update(seen((200 + 4 * step, 300, 0), (600, 300, 1)))
    tracker.update(seen((280, 300, 0), (900, 300, 2)))  # 1 is lost, 2 is new and unconfirmed
    matrix = np.array(((0, -1.5, 1000), (1.5, 0, 50)), np.float64)
    tracker.move(matrix)

    def moved(x: float, y: float, look: int) -> tuple[float, float, int]:
        return (*(matrix @ (x, y, 1)).tolist(), look)

    tracks = tracker.update(seen(moved(284, 300, 0), moved(600, 300, 1), moved(900, 300, 2), scale=1.5))
    assert tracks.track_id.tolist() == [1, 3, 2]
    walked = tracker.predict().xyxy - tracks.xyxy
    assert walked[0, 1] == pytest.approx(1.5 * 4, abs=0.7)  # to the right before, downwards now
    assert abs(walked[0, 0]) < 0.7
    height = tracks.xyxy[:, 3] - tracks.xyxy[:, 1]
    np.testing.assert_allclose(height, 150, atol=2)


@pytest.mark.parametrize("matrix", [np.eye(3), np.full((2, 3), np.nan), np.zeros((2, 3))])
def test_a_motion_that_is_none_is_refused(matrix: np.ndarray) -> None:
    with pytest.raises(InvalidInputError, match=r"finite matrix \(2, 3\)"):
        Tracker().move(matrix)
