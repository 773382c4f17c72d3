"""Time stamps, dropped frames, and frames in which nobody looked."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.tracking import Tracker, TrackerConfig
from edge_fairmot.tracking.tracker import FrameClock
from edge_fairmot.types import Detections, Tracks

Seen = Callable[..., Detections]


def assert_same(a: Tracks, b: Tracks) -> None:
    for name in ("track_id", "xyxy", "score", "class_id", "predicted"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


def walk(seen: Seen, frames: int) -> list[Detections]:
    """One walks right by 4 pixels a frame and is hidden now and then; another stands."""
    return [seen(*([] if frame % 7 > 4 else [(4.0 * frame, 0)]), (900, 1)) for frame in range(1, frames + 1)]


@pytest.mark.parametrize("frame_rate", [24.0, 25.0, 29.97, 30.0, 50.0, 60.0, 120.0])
@pytest.mark.parametrize("digits", [3, 17], ids=["milliseconds", "float noise"])
def test_stamps_of_a_constant_rate_change_nothing(seen: Seen, frame_rate: float, digits: int) -> None:
    config = TrackerConfig(frame_rate=frame_rate, track_buffer=2)
    stamped, counted = Tracker(config), Tracker(config)
    for index, detections in enumerate(walk(seen, 60)):
        # 0.04 * 25 and the like are not whole in floating point.
        time_s = round(index * (1 / frame_rate), digits)
        assert_same(stamped.update(detections, time_s), counted.update(detections))


def test_a_nominal_rate_is_near_enough(seen: Seen) -> None:
    stamped, counted = Tracker(), Tracker()
    for index, detections in enumerate(walk(seen, 60)):
        assert_same(stamped.update(detections, index / 29.97), counted.update(detections))


def test_a_dropped_frame_moves_tracks_twice_as_far(seen: Seen) -> None:
    stamped, counted = Tracker(), Tracker()
    for frame in range(8):
        stamped.update(seen((8.0 * frame, 0)), frame / 30)
        counted.update(seen((8.0 * frame, 0)))
    one, two = counted.predict().xyxy[0, 0], counted.predict().xyxy[0, 0]
    assert stamped.predict(9 / 30).xyxy[0, 0] == pytest.approx(two)
    assert two - one > 6


def test_half_a_period_moves_tracks_half_as_far(seen: Seen) -> None:
    tracker, twin = Tracker(), Tracker()
    for frame in range(8):
        before = tracker.update(seen((8.0 * frame, 0)), frame / 30).xyxy[0, 0]
        twin.update(seen((8.0 * frame, 0)), frame / 30)
    step = twin.predict(8 / 30).xyxy[0, 0] - before
    assert tracker.predict(7.5 / 30).xyxy[0, 0] - before == pytest.approx(step / 2, rel=1e-4)


@pytest.mark.parametrize("missed", [1, 2, 3, 4, 5, 9])
def test_a_gap_ages_lost_tracks_like_empty_frames(seen: Seen, missed: int) -> None:
    def given_ids(*, skips: bool) -> list[list[int]]:
        tracker = Tracker(TrackerConfig(track_buffer=3))
        frames = (
            [seen((0, 0))] * 5 + [seen()] * (1 + missed) + [seen((0, 0))] * 4 + [seen()] + [seen((0, 0))] * 2
        )
        skipped = range(6, 6 + missed) if skips else ()
        return [
            tracker.update(detections, index / 30).track_id.tolist()
            for index, detections in enumerate(frames)
            if index not in skipped
        ][-7:]

    assert given_ids(skips=True) == given_ids(skips=False)


def test_time_lost_is_counted_in_frames_that_nobody_looked_at(seen: Seen) -> None:
    tracker = Tracker(TrackerConfig(track_buffer=3))
    for detections in (seen((0, 0), (300, 1)), seen((300, 1))):
        tracker.update(detections)
    for _ in range(10):
        tracker.predict()
    tracker.update(seen((0, 0), (300, 1)))
    assert tracker.update(seen((0, 0), (300, 1))).track_id.tolist() == [2, 3]


@pytest.mark.parametrize("time_s", [2.0, 1.9, -1.0])
def test_time_must_go_forward(seen: Seen, time_s: float) -> None:
    tracker, twin = Tracker(), Tracker()
    for t in (tracker, twin):
        t.update(seen((0, 0)), 2.0)
    with pytest.raises(InvalidInputError, match=rf"later than .* 2\.0, not {time_s}: call reset\(\)"):
        tracker.update(seen((300, 1)), time_s)
    with pytest.raises(InvalidInputError, match=r"call reset\(\)"):
        tracker.predict(time_s)
    assert_same(tracker.update(seen((0, 0)), 2.1), twin.update(seen((0, 0)), 2.1))
    tracker.reset()
    assert tracker.update(seen((300, 1)), time_s).track_id.tolist() == [1]


@pytest.mark.parametrize("time_s", [float("nan"), float("inf"), -float("inf"), 1.7e12, 1.7e18])
def test_time_must_be_finite_seconds(seen: Seen, time_s: float) -> None:
    tracker = Tracker()
    with pytest.raises(InvalidInputError, match="time_s must be finite"):
        tracker.update(seen((0, 0)), time_s)
    assert tracker.update(seen((0, 0)), 0.0).track_id.tolist() == [1]


def test_the_first_stamp_after_a_call_without_one_counts_as_one_period() -> None:
    clock = FrameClock(frame_rate=10)
    for time_s, periods in [(None, 1), (77.0, 1), (77.3, 3), (None, 1), (5.0, 1), (5.05, 0.5)]:
        assert clock.periods_until(time_s) == pytest.approx(periods, abs=1e-6)
        clock.advance(clock.periods_until(time_s), time_s)
    assert clock.now == pytest.approx(7.5, abs=1e-6)


def test_equal_fractional_spans_are_equal_wherever_they_lie() -> None:
    clock = FrameClock(frame_rate=30)
    clock.advance(0.0, 0.0)
    moments = []
    for index in range(1, 1001):
        clock.advance(clock.periods_until(index * 0.0437), index * 0.0437)
        moments.append(clock.now)
    assert len(set(np.diff(moments).tolist())) <= 2  # neighbouring ticks, however far from zero
    assert clock.now == pytest.approx(43.7 * 30, abs=1e-3)


def test_predict_moves_marks_and_loses_nobody(seen: Seen) -> None:
    tracker = Tracker()
    for frame in range(8):
        last = tracker.update(seen((8.0 * frame, 0), (900, 1)))
    assert not last.predicted.any()
    for _ in range(40):
        tracks = tracker.predict()
        assert tracks.track_id.tolist() == [1, 2]
        assert tracks.predicted.all()
        assert tracks.score.tolist() == last.score.tolist()
        assert tracks.xyxy[0, 0] > last.xyxy[0, 0] + 6
        last = tracks


def test_predict_gives_out_neither_lost_nor_unconfirmed_tracks(seen: Seen) -> None:
    tracker = Tracker()
    for _ in range(5):
        tracker.update(seen((0, 0), (300, 1)))
    tracker.update(seen((0, 0), (600, 2)))
    assert tracker.predict().track_id.tolist() == [1]
    assert tracker.update(seen((0, 0), (300, 1), (600, 2))).track_id.tolist() == [1, 3, 2]


def test_predict_before_any_update_is_empty_and_leaves_the_first_update_first(seen: Seen) -> None:
    tracker = Tracker()
    tracks = tracker.predict(0.0)
    assert len(tracks) == 0
    assert tracks.xyxy.shape == (0, 4)
    assert tracker.update(seen((0, 0)), 0.1).track_id.tolist() == [1]


def test_predict_leaves_out_a_box_that_has_shrunk_to_nothing(seen: Seen) -> None:
    tracker = Tracker()
    for frame in range(10):
        tracker.update(seen((0, 0), height=100.0 - 6 * frame))
    given_out = [len(tracker.predict()) for _ in range(30)]
    assert given_out[0] == 1
    assert given_out[-1] == 0


def test_predict_keeps_unconfirmed_tracks_where_they_were_seen(seen: Seen) -> None:
    tracker = Tracker()
    tracker.update(seen((0, 0)))
    tracker.update(seen((0, 0), (300, 1)))
    before = tracker._roster.motion[:, 1].copy()
    tracker.predict()
    np.testing.assert_array_equal(tracker._roster.motion[:, 1], before)
