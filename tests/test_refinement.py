"""Finished tracks: gaps filled, fragments joined, short tracks dropped, boxes smoothed."""

from __future__ import annotations

import numpy as np
import pytest

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.refinement import RefineConfig, TrackRows, mean_embeddings, refine
from edge_fairmot.types import Detections, Tracks

SIZE = (400, 200)
RATE = 10.0
FRAMES = 60
TIMES_S = np.arange(FRAMES) / RATE
NOTHING = RefineConfig(0, 0, 0, 0)
FILL = RefineConfig(0.5, 0, 0, 0)
LOOKS = np.eye(4, dtype=np.float32)


def walk(
    track_id: int, frames: list[int], *, start: float = 30.0, speed: float = 4.0, class_id: int = 0
) -> TrackRows:
    """Return a person 20 x 60 who walks right from ``start`` in frame 1, ``speed`` pixels a frame."""
    left = start + speed * (np.array(frames, np.float32) - 1)
    parts = [
        TrackRows.of_frame(
            frame,
            TIMES_S[frame - 1],
            Tracks(
                np.array([track_id]),
                np.array([[x, 100, x + 20, 160]], np.float32),
                np.array([0.5 + 0.01 * frame], np.float32),
                np.array([class_id]),
                np.zeros(1, bool),
            ),
        )
        for frame, x in zip(frames, left.tolist(), strict=True)
    ]
    return TrackRows.concat(parts)


def span(first: int, last: int) -> list[int]:
    return list(range(first, last + 1))


def test_a_gap_is_filled_by_a_straight_line_in_time_and_marked() -> None:
    whole = walk(1, span(1, 30))
    gap = (whole.frame >= 11) & (whole.frame <= 14)
    rows = TrackRows.concat([whole[~gap], walk(2, span(1, 30), start=200)])
    filled = refine(rows.sorted(), TIMES_S, SIZE, FILL)
    found = filled[filled.track_id == 1]
    np.testing.assert_allclose(found.xyxy, whole.xyxy, atol=1e-4)
    np.testing.assert_allclose(found.score, whole.score, atol=1e-6)
    assert found.frame[found.filled].tolist() == [11, 12, 13, 14]
    assert not filled.filled[filled.track_id == 2].any()
    assert refine(rows.sorted(), TIMES_S, SIZE, NOTHING).frame.tolist() == rows.sorted().frame.tolist()


@pytest.mark.parametrize(
    ("rows", "filled"),
    [
        (walk(1, [1, 2, 7, 8]), [3, 4, 5, 6]),  # 0.5 s
        (walk(1, [1, 2, 8, 9]), []),  # 0.6 s
        (walk(1, [1, 2, 5, 6], start=-8), []),  # its box leaves the image before the gap
        (walk(1, [1, 2, 5, 6], start=382, speed=-0.5), []),  # and here at the right edge
        (TrackRows.concat([walk(1, [1, 2]), walk(1, [5, 6], class_id=1)]), []),
        (TrackRows.concat([walk(1, [1, 2]), walk(2, [5, 6])]), []),
    ],
)
def test_only_short_gaps_of_one_track_inside_the_image_are_filled(rows: TrackRows, filled: list[int]) -> None:
    found = refine(rows.sorted(), TIMES_S, SIZE, FILL)
    assert found.frame[found.filled].tolist() == filled


def test_frames_that_are_not_in_the_run_are_not_filled_and_time_decides_the_place() -> None:
    """Frame 4 was dropped, and frame 5 came late."""
    times_s = TIMES_S.copy()
    times_s[3], times_s[4] = np.nan, 0.48
    found = refine(walk(1, [1, 2, 3, 6, 7]), times_s, SIZE, FILL)
    assert found.frame[found.filled].tolist() == [5]
    assert found.xyxy[found.filled][0, 0] == pytest.approx(30 + 40 * 0.48, abs=1e-4)


def test_short_tracks_are_dropped() -> None:
    rows = TrackRows.concat([walk(1, span(1, 30)), walk(2, span(5, 7)), walk(3, span(5, 8))])
    found = refine(rows, TIMES_S, SIZE, RefineConfig(0, 0.3, 0, 0))
    assert set(found.track_id.tolist()) == {1, 3}


def test_smoothing_keeps_a_straight_walk_and_removes_noise() -> None:
    straight = walk(1, span(1, FRAMES))
    config = RefineConfig(0, 0, 0.3, 0)
    np.testing.assert_allclose(refine(straight, TIMES_S, SIZE, config).xyxy, straight.xyxy, atol=1e-6)
    noise = np.random.default_rng(0).normal(0, 2, straight.xyxy.shape)
    noisy = TrackRows(*(getattr(straight, name) for name in TrackRows.__slots__))
    noisy.xyxy[:] = straight.xyxy + noise
    off = refine(noisy, TIMES_S, SIZE, config).xyxy - walk(1, span(1, FRAMES)).xyxy
    assert off.std() < 0.55 * noise.std()


BEFORE, AFTER = span(1, 20), span(26, 45)


@pytest.mark.parametrize(
    ("after", "look", "joined"),
    [
        (walk(2, AFTER), 0, True),
        (walk(2, AFTER), 1, False),  # looks different
        (walk(2, AFTER, class_id=1), 0, False),
        (walk(2, AFTER, start=190), 0, False),  # too far from where the first one walks to
        (walk(2, AFTER, start=130, speed=0), 0, True),  # stops where it is expected
        (walk(2, span(19, 38)), 0, False),  # at the same time
        (walk(2, span(36, 55)), 0, False),  # later than join_s
    ],
)
def test_fragments_of_one_look_and_one_walk_are_joined(after: TrackRows, look: int, joined: bool) -> None:
    rows = TrackRows.concat([walk(1, BEFORE), after])
    looks = {1: LOOKS[0], 2: LOOKS[look]}
    found = refine(rows, TIMES_S, SIZE, RefineConfig(0, 0, 0, 1.0), looks)
    assert set(found.track_id.tolist()) == ({1} if joined else {1, 2})
    assert len(found) == len(rows)
    alone = refine(rows, TIMES_S, SIZE, RefineConfig(0, 0, 0, 1.0), {1: LOOKS[0]})
    assert set(alone.track_id.tolist()) == {1, 2}  # without an embedding there is no proof


def test_three_fragments_become_one_and_the_better_of_two_is_taken() -> None:
    near = (LOOKS[0] + 0.3 * LOOKS[1]) / np.linalg.norm(LOOKS[0] + 0.3 * LOOKS[1])
    rows = TrackRows.concat(
        [walk(4, span(1, 10)), walk(7, span(15, 25)), walk(5, span(15, 25), start=34), walk(9, span(30, 40))]
    )
    looks = {4: LOOKS[0], 7: LOOKS[0], 5: near.astype(np.float32), 9: LOOKS[0]}
    found = refine(rows.sorted(), TIMES_S, SIZE, RefineConfig(0.5, 0, 0, 1.0), looks)
    assert set(found.track_id.tolist()) == {4, 5}
    assert found.frame[found.track_id == 4].tolist() == span(1, 40)


def test_the_mean_embedding_of_a_track_is_that_of_its_detections() -> None:
    boxes = np.array([[0, 0, 20, 60], [100, 0, 120, 60]], np.float32)
    tracks = Tracks(
        np.array([3, 8]), boxes + 1, np.ones(2, np.float32), np.zeros(2, np.int64), np.zeros(2, bool)
    )
    looks = (LOOKS[[0, 2]], LOOKS[[1, 2]])
    frames = [(tracks, Detections(boxes[::-1].copy(), np.ones(2, np.float32), look[::-1])) for look in looks]
    elsewhere = Detections(boxes + 50, np.ones(2, np.float32), LOOKS[[3, 3]])
    others = Detections(boxes, np.ones(2, np.float32), LOOKS[[3, 3]], np.ones(2, np.int64))  # another class
    found = mean_embeddings([*frames, (tracks, elsewhere), (tracks, others), (tracks, Detections.empty(4))])
    np.testing.assert_allclose(found[3], (LOOKS[0] + LOOKS[1]) / np.sqrt(2), atol=1e-6)
    np.testing.assert_allclose(found[8], LOOKS[2], atol=1e-6)


def test_a_setting_out_of_range_is_named() -> None:
    with pytest.raises(InvalidInputError, match="fill_gaps_s must be between 0 and 3600, not -1"):
        RefineConfig(fill_gaps_s=-1)
