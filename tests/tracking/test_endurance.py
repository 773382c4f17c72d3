"""A camera runs for months: what a frame costs must not depend on how many went before."""

from __future__ import annotations

import tracemalloc

import numpy as np

from edge_fairmot.tracking import Tracker, TrackerConfig
from edge_fairmot.types import Detections

WINDOW = 700
"""Frames; some 175 identities come and go in one."""

SLACK_BYTES = 4_000
"""Less than a Python integer for every identity of a window: no list of them is kept anywhere."""


def passers_by(rng: np.random.Generator, first: int, frames: int) -> list[Detections]:
    """Let a new person walk through every fourth frame, for 20 frames, hidden now and then."""
    looks = np.random.default_rng(0).normal(size=(101, 16)).astype(np.float32)
    scenes = []
    for frame in range(first, first + frames):
        who = np.arange(frame // 4 - 5, frame // 4)
        who = who[rng.random(len(who)) > 0.15]
        left = (frame - 4 * who) * 6.0
        top = who % 11 * 90.0
        boxes = np.stack((left, top, left + 30, top + 80), axis=1)
        scenes.append(
            Detections(boxes.astype(np.float32), np.full(len(who), 0.9, np.float32), looks[who % 101])
        )
    return scenes


def test_memory_is_flat_however_many_identities_have_gone() -> None:
    rng = np.random.default_rng(5)
    tracker = Tracker(TrackerConfig(track_buffer=10))
    held, peaks, known, identities = [], [], 0, 0
    windows = [passers_by(rng, window * WINDOW, WINDOW) for window in range(3)]
    tracemalloc.start()
    try:
        for scenes in windows:
            tracemalloc.reset_peak()
            for detections in scenes:
                tracks = tracker.update(detections)
                known = max(known, len(tracker._roster))
                identities = max(identities, int(tracks.track_id.max(initial=0)))
            size, peak = tracemalloc.get_traced_memory()
            held.append(size)
            peaks.append(peak)
    finally:
        tracemalloc.stop()
    assert identities > WINDOW / 2, identities
    assert known < 15
    assert abs(held[2] - held[1]) < SLACK_BYTES
    assert abs(peaks[2] - peaks[1]) < SLACK_BYTES
