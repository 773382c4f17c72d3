"""The order of events that decides identities: one small scene per rule.

People stand still unless a scene says otherwise. A person of the same look is recovered by embedding.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable

import numpy as np
import pytest

from edge_fairmot.tracking import Tracker, TrackerConfig, preset
from edge_fairmot.types import Detections

Seen = Callable[..., Detections]
Person = tuple[float, int] | tuple[float, int, float]
"""Left edge, look, and the score if it is not 0.9."""

Step = tuple[list[Person], list[int]]
"""The detections of one update, and the ids that it returns."""

BUFFER = 2
BYTE = {"track_low_thresh": 0.15, "keep_occluded": True}
A, B, C = (0.0, 0), (300.0, 1), (600.0, 2)


def known(*people: Person) -> list[Step]:
    """Five updates in which the first tracks are confirmed."""
    return [(list(people), list(range(1, len(people) + 1)))] * 5


RULES: dict[str, tuple[dict[str, object], list[Step]]] = {
    "the first update confirms its tracks": ({}, [([A, B], [1, 2])]),
    "an empty first update is the first": ({}, [([], []), ([A], []), ([A], [1])]),
    "later tracks are returned from their second match": ({}, [*known(A), ([A, B], [1]), ([A, B], [1, 2])]),
    "an unconfirmed track without a match is dropped": (
        {},
        [*known(A), ([A, B], [1]), ([A], [1]), ([A, B], [1]), ([A, B], [1, 3])],
    ),
    "an unconfirmed track is matched by IoU, not by its embedding": (
        {},
        [*known(A), ([A, B], [1]), ([A, (300, 2)], [1, 2])],
    ),
    "a lost track can be matched in the next frame without a buffer": (
        {"track_buffer": 0},
        [*known(A), ([], []), ([A], [1])],
    ),
    "a recovered track comes after those that started before its recovery": (
        {},
        [*known(A, B), ([B], [2]), ([B, C], [2]), ([A, B, C], [2, 3, 1])],
    ),
    # After one match the average is 0.9 of the first look, so the second is too far from it.
    "a lost track is recovered by its embedding, not by IoU": (
        {},
        [*known(A), ([(0, 1)], [1]), ([], []), ([(0, 1)], [])],
    ),
    # Tracks 2 and 3 start and are removed while the lost one is kept. It is dropped in the frame after its
    # expiry, so track 4 stays.
    "a new track on a lost one is its duplicate": (
        {},
        [*known(A), ([], []), *[([(0, 1)], [])] * (BUFFER + 1), ([(0, 1)], [4])],
    ),
    "an embedding outside the gate is no match": ({}, [*known(A), ([(200, 0)], []), ([(200, 0)], [2])]),
    "a score at the threshold takes no part": ({"score_threshold": 0.5}, [([(0, 0, 0.5)], [])]),
    "a low score takes no part": ({}, [*known(A), ([(0, 3, 0.2)], [])]),
    "with BYTE it keeps a tracked track": (BYTE, [*known(A), ([(0, 3, 0.2)], [1]), ([(0, 3, 0.15)], [])]),
    "with BYTE it starts no track": (BYTE, [([(0, 0, 0.3)], [])]),
    "with BYTE it confirms no track and recovers none": (
        BYTE,
        [
            *known(A),
            ([A, B, (600, 2, 0.3)], [1]),
            ([A, (300, 1, 0.3), (600, 2, 0.3)], [1]),
            ([B], []),
            ([(0, 0, 0.3)], []),
            ([A], [1]),
        ],
    ),
    "new_track_thresh is for starting, not for matching": (
        {"new_track_thresh": 0.5},
        [
            *known(A),
            *[([A, (300, 1, 0.5)], [1])] * 3,
            ([A, (300, 1, 0.51)], [1]),
            ([A, (300, 1, 0.41)], [1, 2]),
        ],
    ),
    "new_track_thresh holds in the first update": ({"new_track_thresh": 0.5}, [([(0, 0, 0.5)], [])]),
}


def detections_of(seen: Seen, people: list[Person], class_id: int = 0) -> Detections:
    detections = seen(*(person[:2] for person in people), class_id=class_id)
    detections.score[:] = [person[2] if len(person) > 2 else 0.9 for person in people]
    return detections


@pytest.mark.parametrize(("settings", "steps"), RULES.values(), ids=RULES.keys())
def test_rule(seen: Seen, settings: dict[str, object], steps: list[Step]) -> None:
    tracker = Tracker(TrackerConfig(**{"track_buffer": BUFFER, **settings}))
    for number, (people, ids) in enumerate(steps):
        assert tracker.update(detections_of(seen, people)).track_id.tolist() == ids, f"step {number}"


def ids(tracker: Tracker, detections: Detections) -> list[int]:
    return tracker.update(detections).track_id.tolist()


def tracker_with(seen: Seen, *people: Person, **settings: float) -> Tracker:
    """Return a tracker that has seen the people in every frame so far."""
    tracker = Tracker(TrackerConfig(**{"track_buffer": BUFFER, **settings}))
    for _ in range(5):
        tracker.update(seen(*people))
    return tracker


@pytest.mark.parametrize(("missed", "same"), [(BUFFER, True), (BUFFER + 1, True), (BUFFER + 2, False)])
def test_a_track_that_expires_in_one_frame_can_be_matched_in_the_next(
    seen: Seen, missed: int, same: bool
) -> None:
    # Lost for longer than the buffer after BUFFER + 1 missed frames: it expires in the last of them.
    tracker = tracker_with(seen, A)
    for _ in range(missed):
        assert ids(tracker, seen()) == []
    assert ids(tracker, seen(A)) == ([1] if same else [])
    assert ids(tracker, seen(A)) == ([1] if same else [2])


@pytest.mark.parametrize(("missed", "recovers"), [(BUFFER, True), (BUFFER + 1, False)])
def test_a_track_matched_after_its_expiry_is_never_recovered_again(
    seen: Seen, missed: int, recovers: bool
) -> None:
    tracker = tracker_with(seen, A)
    for _ in range(missed):
        ids(tracker, seen())
    for _ in range(20):
        assert ids(tracker, seen(A)) == [1]
    assert ids(tracker, seen()) == []
    assert ids(tracker, seen(A)) == ([1] if recovers else [])
    assert ids(tracker, seen(A)) == ([1] if recovers else [2])


@pytest.mark.parametrize(("start", "survivor"), [(3, 2), (4, 1)])
def test_of_duplicates_the_one_of_shorter_life_is_removed_and_on_a_tie_the_tracked_one(
    seen: Seen, start: int, survivor: int
) -> None:
    # One person stands at 0 in frames 1 to 4 (life 3), then is hidden by another who walks there and arrives
    # in frame 7: life 4 if started in frame 3, life 3 too if started in frame 4.
    tracker = Tracker()
    for frame in range(1, 8):
        people = [A] if frame <= 4 else []
        if frame >= start:
            people.append((12.0 * (7 - frame), 1))
        tracker.update(seen(*people))
    assert tracker._tracks.track_id.tolist() == [survivor]


@pytest.mark.parametrize("stage", ["tracked", "unconfirmed", "lost"])
def test_no_association_crosses_classes(seen: Seen, stage: str) -> None:
    tracker = tracker_with(seen, A)
    place = 300.0 if stage == "unconfirmed" else 0.0
    if stage == "unconfirmed":
        tracker.update(seen(A, B))
    if stage == "lost":
        tracker.update(seen())
    tracker.update(seen((place, 0), class_id=1))
    tracks = tracker.update(seen((place, 0), class_id=1))
    assert tracks.class_id.tolist() == [1]
    assert tracks.track_id.tolist() == [3 if stage == "unconfirmed" else 2]
    # Here a tracked and a lost track have the same box, and neither is the other's duplicate.
    if stage != "unconfirmed":
        assert tracker._tracks.track_id.tolist() == [2, 1]


@pytest.mark.parametrize(("settings", "expected"), [({}, [1, 3]), (BYTE, [1, 2])], ids=["fairmot", "byte"])
def test_keep_occluded_keeps_a_track_that_is_lost_behind_another(
    seen: Seen, settings: dict[str, object], expected: list[int]
) -> None:
    tracker = tracker_with(seen, A, track_buffer=30, **settings)
    for x in (60, 45, 30, 15):
        tracker.update(seen(A, (x, 1)))
    for _ in range(4):
        tracker.update(seen(A))
    for x in (-15, -30, -45):
        tracks = tracker.update(seen(A, (x, 1)))
    assert tracks.track_id.tolist() == expected


@pytest.mark.parametrize("settings", [{}, BYTE], ids=["fairmot", "byte"])
def test_a_track_that_starts_on_a_lost_one_is_a_duplicate(seen: Seen, settings: dict[str, object]) -> None:
    tracker = tracker_with(seen, A, B, track_buffer=30, **settings)
    for _ in range(4):  # IoU continues track 1 whatever its embedding; once it is lost, nothing does
        assert ids(tracker, seen((0, 2), B)) == [1, 2]
    tracker.update(seen(B))
    for _ in range(4):
        assert ids(tracker, seen((0, 5), B)) == [2]


def test_ids_belong_to_the_instance_and_start_again_after_reset(seen: Seen) -> None:
    first, second = Tracker(), Tracker()
    assert ids(first, seen(A, B)) == [1, 2]
    assert ids(second, seen(C)) == [1]
    first.reset()
    assert ids(first, seen(C)) == [1]


def test_at_low_rates_motion_and_new_tracks_are_followed_by_the_preset(seen: Seen) -> None:
    """One person walks by a body's width between two frames at 2 per second, and another comes in."""

    def identities(config: TrackerConfig) -> list[list[int]]:
        tracker = Tracker(config)
        return [
            tracker.update(
                seen((50.0 * step, 0), *([(900 - 50.0 * step, 1)] if step > 2 else [])), step / 2
            ).track_id.tolist()
            for step in range(7)
        ]

    assert identities(preset("low-fps", {"frame_rate": 2.0})) == [[1]] * 4 + [[1, 2]] * 3
    assert [1, 2] not in identities(TrackerConfig(frame_rate=2.0))


def test_an_update_without_a_stamp_is_a_frame_of_the_video_at_any_rate_of_the_motion_model(
    seen: Seen,
) -> None:
    config = TrackerConfig(frame_rate=5.0, motion_rate=25.0, track_buffer=30)
    stamped, counted = Tracker(config), Tracker(config)
    for index in range(12):
        found = seen(*([] if 4 < index < 8 else [(9.0 * index, 0)]), (500, 1))
        expected = stamped.update(found, index / 5)
        assert counted.update(found).xyxy.tolist() == expected.xyxy.tolist()


def test_memory_does_not_grow_with_the_identities_so_far() -> None:
    """The original keeps every removed track. Here the state is as large after 150 identities as after 50."""
    tracker, sizes = Tracker(TrackerConfig(track_buffer=5)), []
    rng, looks = np.random.default_rng(5), np.random.default_rng(0).normal(size=(101, 16)).astype(np.float32)
    for frame in range(600):
        present = np.arange(max(0, frame // 4 - 5), frame // 4)  # each walks for 20 frames
        present = present[rng.random(len(present)) > 0.15]
        left, top = (frame - 4 * present) * 6.0, present % 11 * 90.0
        boxes = np.stack((left, top, left + 30, top + 80), axis=1).astype(np.float32)
        tracks = tracker.update(Detections(boxes, np.full(len(boxes), 0.9, np.float32), looks[present % 101]))
        assert len(tracker._tracks) < 12
        if frame % 200 == 199:
            for _ in range(10):
                tracker.update(Detections.empty())
            assert len(tracker._tracks) == 0
            sizes.append(len(pickle.dumps(tracker)))
    assert tracks.track_id.max() > 140
    assert max(sizes) - min(sizes) < 16
