from __future__ import annotations

import numpy as np

from edge_fairmot.sources.live import FreezeWatch

STILL = np.zeros((64, 64, 3), np.uint8)


def test_a_picture_that_stays_is_noticed_and_one_that_changes_by_a_bit_is_not() -> None:
    watch = FreezeWatch(10)
    assert [now_s for now_s in range(25) if watch.is_frozen(STILL, now_s)] == [11]
    changing = STILL.copy()
    watch = FreezeWatch(10)
    for now_s in range(50):
        changing[16, 16, 0] = now_s % 2
        assert not watch.is_frozen(changing, now_s)


def test_a_scene_that_is_still_after_all_is_looked_at_less_and_less() -> None:
    watch = FreezeWatch(10)
    noticed = [now_s for now_s in range(200) if watch.is_frozen(STILL, now_s)]
    assert noticed == [11, 32, 73, 154]
    assert not watch.is_frozen(STILL + 1, 200)
    assert [now_s for now_s in range(201, 225) if watch.is_frozen(STILL + 1, now_s)] == [211]


def test_the_time_that_a_camera_was_away_does_not_count() -> None:
    watch = FreezeWatch(10)
    assert not watch.is_frozen(STILL, 0)
    watch.restart(100)
    assert [now_s for now_s in range(100, 120) if watch.is_frozen(STILL, now_s)] == [111]


def test_zero_never_looks() -> None:
    watch = FreezeWatch(0)
    assert not any(watch.is_frozen(STILL, now_s) for now_s in range(0, 100_000, 1000))
