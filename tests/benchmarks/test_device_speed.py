"""What a viewer sees of a live source on a device of known speed, worked out by hand."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_fairmot.benchmarks.device_speed import (
    FrameCosts,
    Shown,
    keep_up_interval,
    on_screen,
    play_live,
    track_shown,
)
from edge_fairmot.schedule import DetectionSchedule
from edge_fairmot.tracking import TrackerConfig
from edge_fairmot.types import Detections

PERIOD_S = 0.1


def costs(frames, *, inference_s, decode_s=0.0, letterbox_s=0.0, output_s=0.0, period_s=PERIOD_S):
    def each(value):
        return np.broadcast_to(np.asarray(value, np.float64), frames).copy()

    return FrameCosts(
        np.arange(frames) * period_s, each(decode_s), each(letterbox_s), each(inference_s), each(output_s)
    )


def played(given, every=1):
    return [(s.frame, s.detected, round(s.at_s, 6)) for s in play_live(given, DetectionSchedule(every))]


def test_a_fast_device_shows_every_frame_a_little_late():
    given = costs(3, inference_s=0.05, letterbox_s=0.01, output_s=0.02, decode_s=0.005)

    assert played(given) == [(0, True, 0.085), (1, True, 0.185), (2, True, 0.285)]


def test_a_slow_device_takes_the_newest_frame_when_it_is_free():
    """0.25 s a frame: done at 0.25, the newest then is frame 2; done at 0.50, frame 5 has just come."""
    assert played(costs(8, inference_s=0.25)) == [
        (0, True, 0.25),
        (2, True, 0.5),
        (5, True, 0.75),
        (7, True, 1.0),
    ]


def test_the_letterbox_waits_for_the_network_and_the_output_does_not():
    given = costs(4, inference_s=0.1, letterbox_s=0.05, output_s=0.08)

    # Frame 1 is letterboxed at 0.15, when the network is free, while frame 0 is put out.
    assert played(given)[:2] == [(0, True, 0.23), (1, True, 0.38)]


def test_predicted_frames_wait_in_order_behind_a_detection():
    """Detections take 0.25 s; between them two frames wait in the queue, and the camera keeps the newest."""
    found = played(costs(8, inference_s=0.25), every=3)

    assert found[:3] == [(0, True, 0.25), (1, False, 0.25), (2, False, 0.25)]
    assert found[3] == (3, True, 0.55)
    assert found[4:6] == [(4, False, 0.55), (5, False, 0.55)]


def test_where_two_wait_the_camera_drops_what_comes():
    """During half a second frames 1 and 2 wait, 3 waits to wait, and the camera keeps the newest, 5."""
    found = played(costs(8, inference_s=0.5), every=10)

    at_once = [(frame, False, 0.5) for frame in (1, 2, 3, 5)]
    assert found == [(0, True, 0.5), *at_once, (6, False, 0.6), (7, False, 0.7)]


def test_with_the_interval_that_keeps_up_nothing_is_dropped():
    given = costs(30, inference_s=0.25)

    assert keep_up_interval(given) == 3
    assert [frame for frame, _, _ in played(given, every=3)] == list(range(30))
    assert keep_up_interval(costs(30, inference_s=0.1)) == 1
    assert keep_up_interval(costs(30, inference_s=0.101)) == 2
    assert keep_up_interval(costs(1, inference_s=5)) == 1
    assert keep_up_interval(costs(9, inference_s=0.1, letterbox_s=0.01)) == 2


small_s = st.floats(0, 0.5)


@settings(max_examples=200)
@given(
    st.lists(st.tuples(small_s, small_s, small_s, small_s), min_size=1, max_size=25),
    st.integers(1, 5),
)
def test_whatever_things_cost_time_and_frames_go_forward(rows, every):
    decode, letterbox, inference, output = np.array(rows).T
    given = FrameCosts(np.arange(len(rows)) * PERIOD_S, decode, letterbox, inference, output)

    shown = play_live(given, DetectionSchedule(every))

    frames = [s.frame for s in shown]
    assert frames == sorted(set(frames))
    assert frames[-1] == len(rows) - 1  # the last one waits until there is time for it
    assert shown[0].detected
    for before, after in pairwise(shown):
        assert after.at_s >= before.at_s
    for s in shown:
        least = given.time_s[s.frame] + decode[s.frame] + output[s.frame]
        assert s.at_s >= least + s.detected * (letterbox[s.frame] + inference[s.frame]) - 1e-9
    assert [s.detected for s in shown] == [number % every == 0 for number in range(len(shown))]


def walker(frames):
    """Detections of one person who walks 4 pixels a frame, and the time of each frame."""
    found = []
    for left in 20 + 4 * np.arange(frames):
        box = np.array([[left, 20, left + 30, 100]], np.float32)
        found.append(Detections(box, np.float32([0.9]), np.float32([[1, 0]])))
    return found, np.arange(frames) * PERIOD_S


CONFIG = TrackerConfig(frame_rate=1 / PERIOD_S)


def test_a_viewer_sees_the_newest_result_that_is_ready():
    found, time_s = walker(6)
    shown = [Shown(0, True, 0.15), Shown(3, True, 0.4)]

    tracks = track_shown(found, time_s, shown, CONFIG)
    seen = on_screen(time_s, shown, tracks)

    # At 0 and 0.1 nothing is ready; from 0.2 frame 0 is on the screen, from 0.4 frame 3.
    assert [len(tracks) for tracks in seen] == [0, 0, 1, 1, 1, 1]
    assert seen[2] is seen[3] is tracks[0]
    assert seen[4] is seen[5] is tracks[1]


def test_between_detections_tracks_are_predicted():
    found, time_s = walker(6)
    shown = play_live(costs(6, inference_s=0.0), DetectionSchedule(2))

    tracks = track_shown(found, time_s, shown, CONFIG)

    assert [tracks.predicted.tolist() for tracks in tracks] == [[False], [True]] * 3


def test_prediction_brings_the_box_nearer_to_where_the_person_is():
    found, time_s = walker(40)
    slow = costs(40, inference_s=0.35)

    def lag_px(every):
        shown = play_live(slow, DetectionSchedule(every))
        seen = on_screen(time_s, shown, track_shown(found, time_s, shown, CONFIG))
        return np.mean([found[frame].xyxy[0, 0] - seen[frame].xyxy[0, 0] for frame in range(20, 40)])

    assert lag_px(keep_up_interval(slow)) < lag_px(1)


def test_dropped_frames_leave_the_tracker_s_clock_right():
    """A person found in every third frame moves three times as far between updates, and stays one person."""
    found, time_s = walker(30)
    shown = play_live(costs(30, inference_s=0.3), DetectionSchedule())

    tracks = track_shown(found, time_s, shown, CONFIG)

    assert {int(i) for tracks in tracks for i in tracks.track_id} == {1}
    assert len(tracks) == len(shown) < 15
