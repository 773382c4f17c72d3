"""A tracker of several classes equals one tracker for each class; classes are chosen by name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.tracking import Tracker, TrackerConfig, preset
from edge_fairmot.types import Detections, Tracks

NAMES = ("person", "bicycle", "car")
THRESHOLDS = {"bicycle": 0.55, "car": 0.3}

SETTINGS = {"track_buffer": 4, "class_score_threshold": THRESHOLDS}
CONFIGS = {name: preset(name, SETTINGS) for name in ("fairmot", "bytetrack", "low-fps")}


def crowded_street(seed: int, frames: int = 25) -> list[Detections]:
    """Objects of three classes with noisy boxes, scores and looks; riders share the box of another."""
    random = np.random.default_rng(seed)
    count = int(random.integers(4, 25))
    class_id = random.integers(0, len(NAMES), count)
    place, step = random.uniform(0, 300, (count, 2)), random.normal(0, 4, (count, 2))
    size = random.uniform(20, 60, (count, 2))
    riders = count // 2
    place[:riders], step[:riders], size[:riders] = place[-riders:], step[-riders:], size[-riders:]
    look = random.normal(size=(count, 16))
    found = []
    for frame in range(frames):
        seen = np.flatnonzero(random.uniform(size=count) < 0.8)
        rows = random.permutation(np.concatenate((seen, seen[: len(seen) // 5])))  # some are found twice
        corner = place[rows] + step[rows] * frame + random.normal(0, 0.5, (len(rows), 2))
        found.append(
            Detections(
                np.hstack((corner, corner + size[rows])).astype(np.float32),
                random.uniform(0.2, 1, len(rows)).astype(np.float32),
                (look[rows] + random.normal(0, 0.7, (len(rows), 16))).astype(np.float32),
                class_id[rows],
            )
        )
    return found


def columns(tracks: Tracks) -> tuple[bytes, ...]:
    """Everything but the ids."""
    return tracks.xyxy.tobytes(), tracks.score.tobytes(), tracks.class_id.tobytes()


@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(CONFIGS)))
@settings(max_examples=20)
def test_a_tracker_of_three_classes_equals_three_trackers_byte_for_byte(seed: int, name: str) -> None:
    config = CONFIGS[name]
    together, apart = Tracker(config, NAMES), [Tracker(config.for_class(one)) for one in NAMES]
    id_of: dict[tuple[int, int], int] = {}
    for index, detections in enumerate(crowded_street(seed)):
        if index % 7 == 6:  # predicted between detections
            tracks, alone = together.predict(), [tracker.predict() for tracker in apart]
        else:
            tracks = together.update(detections)
            alone = [
                tracker.update(detections[detections.class_id == class_id])
                for class_id, tracker in enumerate(apart)
            ]
        for class_id, expected in enumerate(alone):
            found = tracks[tracks.class_id == class_id]
            assert columns(found) == columns(expected)
            for own, other in zip(found.track_id.tolist(), expected.track_id.tolist(), strict=True):
                assert id_of.setdefault((class_id, other), own) == own
    assert len(set(id_of.values())) == len(id_of)
    for class_id in range(len(NAMES)):  # renumbering keeps the order
        pairs = sorted((other, own) for (one, other), own in id_of.items() if one == class_id)
        assert pairs == sorted(pairs, key=lambda pair: pair[1])


def test_only_the_chosen_classes_are_tracked() -> None:
    config = TrackerConfig(classes=("car", "bicycle"), class_score_threshold={"car": 0.6})
    chosen, every = Tracker(config, NAMES), Tracker(replace(config, classes=()), NAMES)
    seen = 0
    for detections in crowded_street(3):
        tracks, all_tracks = chosen.update(detections), every.update(detections)
        kept = all_tracks[all_tracks.class_id != 0]
        assert columns(tracks) == columns(kept)
        seen += len(all_tracks) - len(kept)
    assert seen > 20


def test_the_detector_is_asked_for_the_lowest_score_of_all_tracked_classes() -> None:
    assert TrackerConfig(class_score_threshold=THRESHOLDS).lowest_score == 0.3
    assert TrackerConfig(class_score_threshold={"car": 0.6}).lowest_score == 0.4
    assert TrackerConfig(classes=("car",), class_score_threshold={"car": 0.6}).lowest_score == 0.6
    assert preset("bytetrack", {"class_score_threshold": {"car": 0.2}}).lowest_score == 0.2


def test_a_class_has_the_presets_distances_from_its_own_threshold() -> None:
    for thresh in (0.2, 0.6, 0.95):
        own = preset("bytetrack", {"class_score_threshold": {"car": thresh}}).for_class("car")
        alone = preset("bytetrack", {"score_threshold": thresh})
        assert own.new_track_thresh == pytest.approx(alone.new_track_thresh)
        assert own == replace(alone, new_track_thresh=own.new_track_thresh)


def test_a_class_that_is_not_there_is_named_with_those_that_are() -> None:
    lacks = "names 'lorry', which the model does not have: use 'person', 'bicycle', 'car'"
    with pytest.raises(InvalidInputError, match=f"^classes {lacks}"):
        Tracker(TrackerConfig(classes=("car", "lorry")), NAMES)
    with pytest.raises(InvalidInputError, match=f"^class_score_threshold {lacks}"):
        Tracker(TrackerConfig(class_score_threshold={"lorry": 0.5}), NAMES)
    with pytest.raises(InvalidInputError, match="class_score_threshold of 'car' must be between 0 and 1"):
        TrackerConfig(class_score_threshold={"car": 40.0})
