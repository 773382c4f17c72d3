"""Scores of recordings whose people are known."""

import numpy as np
import pytest

from edge_fairmot.benchmarks.correctness import Baseline, CachedSource, score_recordings, worst_frames
from edge_fairmot.benchmarks.frame_counts import FrameCounts
from edge_fairmot.benchmarks.mot_text import MotRows, MotTruth

from .recordings import FRAMES, PEOPLE, RATE, THRESHOLD, recording, write_cache


def truth(shift=0.0):
    rows = [
        (frame + 1, person, 20 + 80.0 * person + frame + shift)
        for frame in range(FRAMES)
        for person in range(PEOPLE)
    ]
    frame, person, left = np.array(rows).T
    xyxy = np.stack([left, 0 * left + 40, left + 30, 0 * left + 130], axis=1)
    return MotTruth.of_rows(
        MotRows(frame.astype(np.int64), person.astype(np.int64), xyxy, np.ones(len(rows)))
    )


def baseline(reference=None, rows=None, detect_every=None):
    return Baseline((reference or recording(),), None if rows is None else (rows,), THRESHOLD, detect_every)


def test_a_detection_cache_is_read_whole(tmp_path):
    written = recording(missing=range(3, 9)).cached
    write_cache(tmp_path / "cache", written)

    read = CachedSource.read(tmp_path / "cache", THRESHOLD)

    assert read.info == written.info
    np.testing.assert_array_equal(read.time_s, written.time_s)
    for ours, theirs in zip(read.detections, written.detections, strict=True):
        np.testing.assert_array_equal(ours.xyxy, theirs.xyxy)
        np.testing.assert_array_equal(ours.embedding, theirs.embedding)


def test_a_perfect_model_scores_one_everywhere():
    pytest.importorskip("scipy")
    found = score_recordings([recording()], baseline(rows=truth()))

    assert (found.score.hota, found.score.mota, found.score.idf1) == pytest.approx((1, 1, 1))
    assert (found.score.idsw, found.score.fp, found.score.fn) == (0, 0, 0)
    agreement = found.agreement
    assert (agreement.recall, agreement.precision, agreement.idf1, agreement.changed_share) == (1, 1, 1, 0)
    assert (agreement.iou, agreement.cosine) == pytest.approx((1, 1))
    (live,) = found.at_device_speed  # it keeps up, so there is no interval to tell
    assert (live.detect_every, live.dropped_share, live.detections_per_s) == (1, 0, pytest.approx(RATE))
    assert live.age_ms == pytest.approx(13, abs=0.1)
    # No track is on the screen at the first moment, and every box is one frame late.
    assert 0.8 < live.score.hota < 1
    assert live.score.fn == PEOPLE


def test_results_on_distractors_do_not_count():
    pytest.importorskip("scipy")
    boxes = truth().boxes
    distractor = boxes.track_id == 0

    found = score_recordings([recording()], baseline(rows=MotTruth(boxes, ~distractor, distractor)))

    assert (found.score.mota, found.score.fp, found.score.fn) == (1, 0, 0)


def test_a_slow_model_is_as_right_and_worse_live():
    pytest.importorskip("scipy")
    found = score_recordings([recording(inference_s=0.5)], baseline(rows=truth()))

    assert found.score.hota == pytest.approx(1)
    every_frame, interval = found.at_device_speed
    assert (every_frame.detect_every, interval.detect_every) == (1, 13)
    assert every_frame.dropped_share > 0.85
    assert every_frame.score.hota < 0.8
    assert FrameCounts.of(found.counts[0]).mota == pytest.approx(1)


def test_the_interval_may_be_given():
    found = score_recordings([recording()], baseline(detect_every=4))

    assert [live.detect_every for live in found.at_device_speed] == [1, 4]
    assert found.at_device_speed[1].detections_per_s == pytest.approx(RATE / 4, rel=0.05)


def test_without_ground_truth_the_reference_s_tracks_take_its_place():
    found = score_recordings([recording(missing=range(20, 30))], baseline())

    assert found.score.hota is None
    assert found.score.fn >= 10 * PEOPLE
    assert found.score.idf1 < 1
    assert score_recordings([recording()], baseline()).score.mota == 1


def test_frames_without_people_have_no_score():
    empty = recording(missing=range(FRAMES))
    found = score_recordings([empty], baseline(empty))

    assert found.score.mota is found.score.idf1 is None
    assert score_recordings([recording()], baseline(empty)).score.idf1 == 0


def test_embeddings_of_other_lengths_are_not_compared():
    other = score_recordings([recording(dimension=16)], baseline()).agreement
    assert other.cosine is None
    assert (other.recall, other.idf1) == (1, 1)


def test_the_frames_that_differ_most_are_found():
    candidate = recording(missing=(30,), shift=3.0)
    worst = worst_frames([candidate], baseline(), 3)

    assert worst[0].frame == 30
    assert (worst[0].missed, worst[0].extra) == (PEOPLE, 0)
    assert worst_frames([recording(shift=1.0)], baseline(), 3) == []
    assert worst_frames([candidate], baseline(), 0) == []


def test_several_sources_are_scored_together():
    pytest.importorskip("scipy")
    both = Baseline((recording(), recording()), (truth(), truth()), 0.4, None)
    found = score_recordings([recording(), recording(missing=range(FRAMES))], both)

    assert found.score.fn == FRAMES * PEOPLE
    assert found.score.mota == pytest.approx(0.5)
    assert len(found.counts) == 2
