"""The order of events that decides identities: one test a rule, each seen by hand.

People stand still unless a test says otherwise; with the same look a person is found again by appearance.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edge_fairmot.tracking import Tracker, TrackerConfig
from edge_fairmot.types import Detections

Seen = Callable[..., Detections]

BUFFER = 2


def ids(tracker: Tracker, detections: Detections) -> list[int]:
    return tracker.update(detections).track_id.tolist()


def tracker_with(seen: Seen, *people: tuple[float, int], frames: int = 5, **settings: float) -> Tracker:
    """Return a tracker that has seen the people in every frame from its first."""
    tracker = Tracker(TrackerConfig(**{"track_buffer": BUFFER, **settings}))
    for _ in range(frames):
        tracker.update(seen(*people))
    return tracker


def test_the_first_update_confirms_at_once(seen: Seen) -> None:
    assert ids(Tracker(), seen((0, 0), (300, 1))) == [1, 2]


def test_later_tracks_are_given_out_from_their_second_match(seen: Seen) -> None:
    tracker = tracker_with(seen, (0, 0))
    assert ids(tracker, seen((0, 0), (300, 1))) == [1]
    assert ids(tracker, seen((0, 0), (300, 1))) == [1, 2]


def test_an_empty_first_update_is_the_first_all_the_same(seen: Seen) -> None:
    tracker = Tracker()
    assert ids(tracker, seen()) == []
    assert ids(tracker, seen((0, 0))) == []
    assert ids(tracker, seen((0, 0))) == [1]


def test_an_unconfirmed_track_without_a_match_is_gone_for_good(seen: Seen) -> None:
    tracker = tracker_with(seen, (0, 0))
    ids(tracker, seen((0, 0), (300, 1)))
    ids(tracker, seen((0, 0)))
    ids(tracker, seen((0, 0), (300, 1)))
    assert ids(tracker, seen((0, 0), (300, 1))) == [1, 3]


def test_an_unconfirmed_track_is_matched_by_overlap_whatever_it_looks_like(seen: Seen) -> None:
    tracker = tracker_with(seen, (0, 0))
    ids(tracker, seen((0, 0), (300, 1)))
    assert ids(tracker, seen((0, 0), (300, 2))) == [1, 2]


def test_an_unconfirmed_track_is_not_moved_by_the_motion_model(seen: Seen) -> None:
    tracker = tracker_with(seen, (0, 0))
    tracker.update(seen((0, 0), (300, 1)))
    confirmed = tracker.update(seen((0, 0), (310, 1)))
    # First variance (2 h / 20)^2 = 100, measurement noise (h / 20)^2 = 25: gain 0.8. Had time been let
    # pass over it the gain would be 0.87.
    assert confirmed.xyxy[1, 0] == pytest.approx(308)


def test_a_track_that_is_not_tracked_is_moved_with_its_height_velocity_zeroed(seen: Seen) -> None:
    def grown() -> Tracker:
        tracker = Tracker()
        for frame in range(10):
            tracker.update(seen((0, 0), height=100.0 + 5 * frame))
        return tracker

    left, _, right, _ = grown().predict().xyxy[0]
    tracker = grown()
    tracker.update(seen())
    assert tracker._roster.motion[1, 0, 3] > 1
    tracker.update(seen())
    assert tracker._roster.motion[1, 0, 3] == 0
    assert tracker._roster.motion[0, 0, 3] == pytest.approx(grown().predict().xyxy[0] @ [0, -1, 0, 1])
    assert right > left


@pytest.mark.parametrize(("missed", "same"), [(BUFFER, True), (BUFFER + 1, True), (BUFFER + 2, False)])
def test_a_track_that_expires_in_one_frame_can_be_matched_in_the_next(
    seen: Seen, missed: int, same: bool
) -> None:
    # Lost for longer than the buffer after BUFFER + 1 missed frames: it expires in the last of them.
    tracker = tracker_with(seen, (0, 0))
    for _ in range(missed):
        assert ids(tracker, seen()) == []
    assert ids(tracker, seen((0, 0))) == ([1] if same else [])
    assert ids(tracker, seen((0, 0))) == ([1] if same else [2])


@pytest.mark.parametrize(("missed", "recovers"), [(BUFFER, True), (BUFFER + 1, False)])
def test_a_track_revived_after_its_expiry_can_never_be_recovered_again(
    seen: Seen, missed: int, recovers: bool
) -> None:
    tracker = tracker_with(seen, (0, 0))
    for _ in range(missed):
        ids(tracker, seen())
    for _ in range(20):
        assert ids(tracker, seen((0, 0))) == [1]
    assert ids(tracker, seen()) == []
    assert ids(tracker, seen((0, 0))) == ([1] if recovers else [])
    assert ids(tracker, seen((0, 0))) == ([1] if recovers else [2])


def test_a_track_just_lost_has_the_next_frame_even_without_a_buffer(seen: Seen) -> None:
    tracker = tracker_with(seen, (0, 0), track_buffer=0)
    ids(tracker, seen())
    assert ids(tracker, seen((0, 0))) == [1]


def test_the_score_of_a_track_found_again_is_its_old_one(seen: Seen) -> None:
    tracker = tracker_with(seen, (0, 0))
    tracker.update(seen())
    assert tracker.update(seen((0, 0), score=0.6)).score.tolist() == pytest.approx([0.9])
    assert tracker.update(seen((0, 0), score=0.6)).score.tolist() == pytest.approx([0.6])


def test_a_track_found_again_comes_last_after_those_that_began_before_it_was(seen: Seen) -> None:
    tracker = tracker_with(seen, (0, 0), (300, 1))
    ids(tracker, seen((300, 1)))
    ids(tracker, seen((300, 1), (600, 2)))
    assert ids(tracker, seen((0, 0), (300, 1), (600, 2))) == [2, 3, 1]


def test_a_lost_track_is_found_by_appearance_and_never_by_overlap(seen: Seen) -> None:
    tracker = tracker_with(seen, (0, 0))
    assert ids(tracker, seen((0, 1))) == [1]
    ids(tracker, seen())
    # The look blends to 0.9 of the first: the second is too far from it.
    assert ids(tracker, seen((0, 1))) == []


def test_a_newborn_on_a_lost_track_is_its_duplicate_and_vanishes(seen: Seen) -> None:
    tracker = tracker_with(seen, (0, 0))
    ids(tracker, seen())
    # Numbers 2 and 3 are given and vanish while the lost one is kept; in the frame after its expiry it is
    # gone, and number 4 stays.
    for _ in range(BUFFER + 1):
        assert ids(tracker, seen((0, 1))) == []
    assert ids(tracker, seen((0, 1))) == [4]


@pytest.mark.parametrize(("start", "survivor"), [(3, 2), (4, 1)])
def test_of_a_tracked_and_a_lost_duplicate_the_younger_goes_and_on_a_tie_the_tracked(
    seen: Seen, start: int, survivor: int
) -> None:
    # One stands at 0 in frames 1 to 4 (age 3), then is hidden by another who walks up to it and stands on
    # it in frame 7: aged 4 if begun in frame 3, aged 3 too if begun in frame 4.
    tracker = Tracker()
    for frame in range(1, 8):
        people = [(0, 0)] if frame <= 4 else []
        if frame >= start:
            people.append((12.0 * (7 - frame), 1))
        tracker.update(seen(*people))
    assert tracker._roster.track_id.tolist() == [survivor]


def test_appearance_is_asked_before_overlap(seen: Seen) -> None:
    tracker = tracker_with(seen, (0, 0), (20, 1))
    # They change places: by overlap each would keep the place, by appearance each keeps the number.
    tracks = tracker.update(seen((20, 0), (0, 1)))
    assert tracks.track_id.tolist() == [1, 2]
    assert tracks.xyxy[0, 0] > 10 > tracks.xyxy[1, 0]


def test_a_look_outside_the_gate_is_not_believed(seen: Seen) -> None:
    tracker = tracker_with(seen, (0, 0))
    assert ids(tracker, seen((200, 0))) == []
    assert ids(tracker, seen((200, 0))) == [2]


def test_a_score_at_the_threshold_does_not_count(seen: Seen) -> None:
    tracker = Tracker(TrackerConfig(score_threshold=0.5))
    assert ids(tracker, seen((0, 0), score=0.5)) == []


@pytest.mark.parametrize("stage", ["tracked", "unconfirmed", "lost"])
def test_no_association_crosses_classes(seen: Seen, stage: str) -> None:
    tracker = tracker_with(seen, (0, 0))
    place = 300.0 if stage == "unconfirmed" else 0.0
    if stage == "unconfirmed":
        tracker.update(seen((0, 0), (place, 1)))
    if stage == "lost":
        tracker.update(seen())
    tracker.update(seen((place, 0), class_id=1))
    tracks = tracker.update(seen((place, 0), class_id=1))
    assert tracks.class_id.tolist() == [1]
    assert tracks.track_id.tolist() == [3 if stage == "unconfirmed" else 2]
    # Both lie on one another here, one tracked and one lost, and neither is the other's duplicate.
    if stage != "unconfirmed":
        assert tracker._roster.track_id.tolist() == [2, 1]


def test_the_smoothed_look_follows_slowly(seen: Seen) -> None:
    tracker = tracker_with(seen, (0, 0))
    for _ in range(3):
        tracker.update(seen((0, 1)))
    feature = tracker._roster.feature[0]
    assert np.linalg.norm(feature) == pytest.approx(1)
    assert feature[0] > feature[1] > 0


def test_identities_belong_to_the_instance_and_begin_again_after_reset(seen: Seen) -> None:
    first, second = Tracker(), Tracker()
    assert ids(first, seen((0, 0), (300, 1))) == [1, 2]
    assert ids(second, seen((600, 2))) == [1]
    first.reset()
    assert ids(first, seen((600, 2))) == [1]


def joined(*parts: Detections) -> Detections:
    fields = ("xyxy", "score", "embedding", "class_id")
    return Detections(*(np.concatenate([getattr(part, field) for part in parts]) for field in fields))


CROWDED = {"low_score_threshold": 0.15, "spare_hidden": True}


def test_a_low_score_keeps_a_track_in_view_where_it_is(seen: Seen) -> None:
    faint = seen((0, 3), score=0.2)
    assert ids(tracker_with(seen, (0, 0)), faint) == []
    tracker = tracker_with(seen, (0, 0), **CROWDED)
    assert ids(tracker, faint) == [1]
    assert ids(tracker, seen((0, 3), score=0.15)) == []


def test_a_low_score_begins_no_track_confirms_none_and_finds_none_again(seen: Seen) -> None:
    tracker = tracker_with(seen, (0, 0), **CROWDED)
    assert ids(tracker, joined(seen((0, 0), (300, 1)), seen((600, 2), score=0.3))) == [1]
    assert ids(tracker, joined(seen((0, 0)), seen((300, 1), (600, 2), score=0.3))) == [1]
    assert ids(tracker, seen((300, 1))) == []
    assert ids(tracker, seen((0, 0), score=0.3)) == []
    assert ids(tracker, seen((0, 0))) == [1]
    assert ids(Tracker(TrackerConfig(**CROWDED)), seen((0, 0), score=0.3)) == []


def test_a_firm_detection_goes_before_a_nearer_low_one(seen: Seen) -> None:
    tracker = tracker_with(seen, (0, 0), **CROWDED)
    tracks = tracker.update(joined(seen((0, 3), score=0.3), seen((8, 4), score=0.9)))
    assert tracks.track_id.tolist() == [1]
    assert tracks.score[0] == pytest.approx(0.9)


def test_who_stands_behind_another_is_a_duplicate_only_for_the_original(seen: Seen) -> None:
    for settings, expected in (({}, [1, 3]), (CROWDED, [1, 2])):
        tracker = tracker_with(seen, (0, 0), track_buffer=30, **settings)
        for x in (60, 45, 30, 15):
            tracker.update(seen((0, 0), (x, 1)))
        for _ in range(4):  # one before the other
            tracker.update(seen((0, 0)))
        for x in (-15, -30, -45):
            found = ids(tracker, seen((0, 0), (x, 1)))
        assert found == expected


def test_who_begins_where_another_was_lost_is_a_duplicate_in_crowds_too(seen: Seen) -> None:
    for settings in ({}, CROWDED):
        tracker = tracker_with(seen, (0, 0), (300, 1), track_buffer=30, **settings)
        for _ in range(4):
            found = ids(tracker, seen((0, 2), (300, 1)))
        # By its overlap 1 goes on whatever it looks like; once it is lost, it does not.
        assert found == [1, 2]
        tracker.update(seen((300, 1)))
        for _ in range(4):
            assert ids(tracker, seen((0, 5), (300, 1))) == [2]


def test_a_track_begins_with_a_score_above_the_threshold_of_birth(seen: Seen) -> None:
    tracker = tracker_with(seen, (0, 0), birth_threshold=0.5)
    for _ in range(3):
        assert ids(tracker, joined(seen((0, 0)), seen((300, 1), score=0.5))) == [1]
    ids(tracker, joined(seen((0, 0)), seen((300, 1), score=0.51)))
    # Once begun it goes on like any other.
    assert ids(tracker, joined(seen((0, 0)), seen((300, 1), score=0.41))) == [1, 2]
    assert ids(Tracker(TrackerConfig(birth_threshold=0.5)), seen((0, 0), score=0.5)) == []
