"""Time stamps, dropped frames, gaps, frames without detections, and images of another size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pytest

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.tracking import Tracker, TrackerConfig
from edge_fairmot.tracking.tracker import MAX_GAP_S, FrameClock
from edge_fairmot.types import Detections, Tracks

Seen = Callable[..., Detections]


def assert_same(a: Tracks, b: Tracks) -> None:
    for column in fields(a):
        np.testing.assert_array_equal(getattr(a, column.name), getattr(b, column.name), column.name)


def walk(seen: Seen, frames: int) -> list[Detections]:
    """One person walks right by 4 pixels a frame and is hidden now and then; another one stands."""
    return [seen(*([] if frame % 7 > 4 else [(4.0 * frame, 0)]), (900, 1)) for frame in range(1, frames + 1)]


def after_a_walk(seen: Seen, frames: int = 8) -> tuple[Tracker, Tracks]:
    """Return a tracker that saw one person walk right by 8 pixels a frame, and its last tracks."""
    tracker = Tracker()
    for frame in range(frames):
        tracks = tracker.update(seen((8.0 * frame, 0), (900, 1)), frame / 30)
    return tracker, tracks


@pytest.mark.parametrize("frame_rate", [24.0, 25.0, 29.97, 30.0, 50.0, 60.0, 120.0])
@pytest.mark.parametrize("digits", [3, 17], ids=["milliseconds", "float noise"])
def test_stamps_of_a_constant_rate_change_nothing(seen: Seen, frame_rate: float, digits: int) -> None:
    config = TrackerConfig(frame_rate=round(frame_rate), track_buffer=2)  # the nominal rate
    stamped, counted = Tracker(config), Tracker(config)
    for index, detections in enumerate(walk(seen, 60)):
        # 0.04 * 25 and the like are not whole in floating point.
        time_s = round(index * (1 / frame_rate), digits)
        assert_same(stamped.update(detections, time_s), counted.update(detections))


def test_tracks_move_in_proportion_to_elapsed_time(seen: Seen) -> None:
    tracker, last = after_a_walk(seen)
    step = tracker.predict(8 / 30).xyxy[0, 0] - last.xyxy[0, 0]
    assert step > 6
    for periods in (0.5, 2.0):
        moved = after_a_walk(seen)[0].predict((7 + periods) / 30).xyxy[0, 0] - last.xyxy[0, 0]
        assert moved == pytest.approx(periods * step, rel=1e-3)


@pytest.mark.parametrize("missed", [1, 2, 3, 4, 5, 9])
def test_a_gap_ages_lost_tracks_like_empty_frames(seen: Seen, missed: int) -> None:
    def ids(*, skips: bool) -> list[list[int]]:
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

    assert ids(skips=True) == ids(skips=False)


def test_frames_without_detections_count_as_time_lost(seen: Seen) -> None:
    tracker = Tracker(TrackerConfig(track_buffer=3))
    for detections in (seen((0, 0), (300, 1)), seen((300, 1))):
        tracker.update(detections)
    for _ in range(10):
        tracker.predict()
    tracker.update(seen((0, 0), (300, 1)))
    assert tracker.update(seen((0, 0), (300, 1))).track_id.tolist() == [2, 3]


@pytest.mark.parametrize(
    ("gap_s", "track_buffer", "kept"),
    [
        (0.5, 30, True),
        (MAX_GAP_S - 0.1, 30, True),
        (MAX_GAP_S + 0.2, 30, False),
        (86400.0 * 30, 30, False),
        (15.0, 600, True),
        (21.0, 600, False),
    ],
)
def test_tracked_tracks_survive_a_gap_of_five_seconds_or_of_the_buffer(
    seen: Seen, gap_s: float, track_buffer: int, kept: bool
) -> None:
    tracker = Tracker(TrackerConfig(track_buffer=track_buffer))
    for frame in range(30):
        tracker.update(seen((0, 0), (300, 1)), frame / 30)
    for after_s in (0, 1 / 30):
        tracks = tracker.update(seen((0, 0), (300, 1)), 29 / 30 + gap_s + after_s)
    assert tracks.track_id.tolist() == ([1, 2] if kept else [3, 4])


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


def test_time_must_be_finite_seconds(seen: Seen) -> None:
    tracker = Tracker()
    for time_s in (float("nan"), float("inf"), -float("inf"), 1.7e12, 1.7e18):
        with pytest.raises(InvalidInputError, match="time_s must be finite"):
            tracker.update(seen((0, 0)), time_s)
    assert tracker.update(seen((0, 0)), 0.0).track_id.tolist() == [1]


def test_the_first_stamp_after_a_call_without_one_counts_as_one_period() -> None:
    clock = FrameClock(frame_rate=10)
    for time_s, periods in [(None, 1), (77.0, 1), (77.3, 3), (None, 1), (5.0, 1), (5.05, 0.5)]:
        assert clock.periods_until(time_s) == pytest.approx(periods, abs=1e-6)
        clock.advance(clock.periods_until(time_s), time_s)
    assert clock.now == pytest.approx(7.5, abs=1e-6)


def test_equal_fractional_spans_stay_equal_over_time() -> None:
    clock = FrameClock(frame_rate=30)
    clock.advance(0.0, 0.0)
    times = []
    for index in range(1, 1001):
        clock.advance(clock.periods_until(index * 0.0437), index * 0.0437)
        times.append(clock.now)
    assert len(set(np.diff(times).tolist())) <= 2  # neighbouring ticks, however far from zero
    assert clock.now == pytest.approx(43.7 * 30, abs=1e-3)


def test_predict_moves_and_marks_tracks_and_loses_none(seen: Seen) -> None:
    tracker, last = after_a_walk(seen)
    assert not last.predicted.any()
    for _ in range(40):
        tracks = tracker.predict()
        assert tracks.track_id.tolist() == [1, 2]
        assert tracks.predicted.all()
        assert tracks.score.tolist() == last.score.tolist()
        assert tracks.xyxy[0, 0] > last.xyxy[0, 0] + 6
        last = tracks


def test_predict_returns_neither_lost_nor_unconfirmed_tracks_and_keeps_both(seen: Seen) -> None:
    tracker = Tracker()
    assert tracker.predict().xyxy.shape == (0, 4)  # and the next update is the first
    for _ in range(5):
        assert tracker.update(seen((0, 0), (300, 1))).track_id.tolist() == [1, 2]
    tracker.update(seen((0, 0), (600, 2)))
    before = tracker._tracks.motion[1].copy()
    assert tracker.predict().track_id.tolist() == [1]
    np.testing.assert_array_equal(tracker._tracks.motion[1], before)  # unconfirmed: not predicted
    assert tracker.update(seen((0, 0), (300, 1), (600, 2))).track_id.tolist() == [1, 3, 2]


def test_predict_leaves_out_a_box_that_has_shrunk_to_nothing(seen: Seen) -> None:
    tracker = Tracker()
    for frame in range(10):
        tracker.update(seen((0, 0), height=100.0 - 6 * frame))
    returned = [len(tracker.predict()) for _ in range(30)]
    assert returned[0] == 1
    assert returned[-1] == 0


@pytest.mark.parametrize("factor", [(0.5, 0.5), (2.0, 2.0), (2.0, 1.5)])
def test_another_image_size_keeps_tracks_and_scales_boxes(seen: Seen, factor: tuple[float, float]) -> None:
    def scaled(detections: Detections) -> Detections:
        xyxy = detections.xyxy * np.tile(np.float32(factor), 2)
        return Detections(xyxy, detections.score, detections.embedding)

    changing, always = Tracker(), Tracker()
    changing.rescale((2, 2))  # without tracks it changes nothing
    for frame in range(20):
        detections = seen((8.0 * frame, 0), (900, 1))
        if frame == 10:
            changing.rescale(factor)
        found = changing.update(scaled(detections) if frame >= 10 else detections, frame / 30)
        expected = always.update(scaled(detections), frame / 30)
        assert found.track_id.tolist() == expected.track_id.tolist() == [1, 2]
    if factor[0] == factor[1]:  # the filter's noise depends on the height: one factor scales all of it
        np.testing.assert_allclose(found.xyxy, expected.xyxy, rtol=1e-4)
    else:
        np.testing.assert_allclose(found.xyxy, expected.xyxy, atol=3)


def test_factors_must_be_positive() -> None:
    for factor in ((0, 1), (1, -1), (float("nan"), 1), (1, float("inf"))):
        with pytest.raises(InvalidInputError, match="changes by positive factors"):
            Tracker().rescale(factor)
