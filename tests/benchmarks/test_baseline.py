"""The baseline finds moving regions and follows them by overlap."""

import subprocess
import sys

import numpy as np
import pytest

from edge_fairmot.benchmarks.accuracy import evaluate
from edge_fairmot.benchmarks.baseline import CONFIRMED_AFTER, MotionDetector, OverlapTracker, track_motion


def boxes(*corners):
    return np.array([(x, y, x + 20, y + 40) for x, y in corners], np.float64).reshape(-1, 4)


def test_a_moving_region_is_found_and_a_still_one_is_not():
    background = np.random.default_rng(0).integers(80, 120, (180, 320, 3), np.uint8)
    background[60:120, 200:240] = 255
    detector = MotionDetector()
    for step in range(60):
        image = background.copy()
        if step >= 40:
            image[50:110, 3 * step - 60 : 3 * step - 40] = (200, 30, 30)
        found = detector.detect(image)
    np.testing.assert_allclose(found, [(117, 50, 137, 110)], atol=3)


def test_overlap_keeps_an_identity_and_a_short_gap_too():
    tracker = OverlapTracker(25.0)
    ids = [
        tracker.update(boxes((10 + 2 * step, 30), (200 - 2 * step, 30))).track_id.tolist()
        for step in range(8)
    ]
    assert ids == [[]] * (CONFIRMED_AFTER - 1) + [[1, 2]] * (8 - CONFIRMED_AFTER + 1)
    for _ in range(3):
        assert tracker.update(boxes()).track_id.tolist() == []
    assert tracker.update(boxes((24, 30))).track_id.tolist() == [1]
    for _ in range(12):
        tracker.update(boxes())
    for _ in range(CONFIRMED_AFTER):
        late = tracker.update(boxes((24, 30)))
    assert late.track_id.tolist() == [3]
    np.testing.assert_array_equal(late.xyxy, boxes((24, 30)))


def test_the_street_is_too_hard_for_the_baseline(tmp_path):
    pytest.importorskip("scipy", reason="needs the eval extra")
    track_motion("synthetic:frames=100,size=576x320", tmp_path)
    figures = evaluate(tmp_path / "tracks.txt", tmp_path / "gt.txt")
    assert figures.frames == 100
    assert 0.05 < figures.recall < 0.6
    assert figures.mota < 0.4


def test_the_baseline_is_run_from_the_command_line(tmp_path):
    command = [sys.executable, "-m", "edge_fairmot.benchmarks.baseline"]
    spec, output = "synthetic:frames=5,size=96x64", tmp_path / "baseline"
    subprocess.run([*command, spec, "-o", str(output)], check=True)
    assert sorted(path.name for path in output.iterdir()) == ["gt.txt", "tracks.txt"]
    wrong = subprocess.run(
        [*command, "absent.mp4"], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("error: absent.mp4 does not exist")
