import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_fairmot.benchmarks.accuracy import evaluate_tracks
from edge_fairmot.benchmarks.frame_counts import RESAMPLES, FrameCounts, bootstrap, count_by_frame
from edge_fairmot.benchmarks.mot_text import MotRows
from edge_fairmot.benchmarks.parity_levels import SequenceTracks, association_figures, track_figures
from edge_fairmot.types import Tracks

NUM_FRAMES = 12


def random_rows(generator, ids):
    """Boxes of walkers who are sometimes away, and sometimes exchange places. No two pairs overlap alike:
    of equal ones each implementation takes its own."""
    frames, who, left = [], [], []
    for frame in range(1, NUM_FRAMES + 1):
        present = np.flatnonzero(generator.random(ids) < 0.7)
        places = generator.permutation(present) if generator.random() < 0.3 else present
        frames += [frame] * len(present)
        who += present.tolist()
        left += (6.0 * places + generator.uniform(0, 5, len(present))).tolist()
    corner = np.stack([left, np.zeros(len(left))], axis=1)
    return MotRows(
        np.array(frames, np.int64),
        np.array(who, np.int64),
        np.concatenate([corner, corner + 10], axis=1),
        np.ones(len(left)),
    )


@settings(max_examples=100)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 6))
def test_the_sums_are_trackevals(seed, truth_ids, result_ids):
    pytest.importorskip("trackeval")
    generator = np.random.default_rng(seed)
    truth, results = random_rows(generator, truth_ids), random_rows(generator, result_ids)
    if not len(truth):
        return
    counts = count_by_frame(results, truth, NUM_FRAMES)
    accuracy = evaluate_tracks(results, truth, NUM_FRAMES)

    assert (counts.fp, counts.fn, counts.idsw) == (accuracy.fp, accuracy.fn, accuracy.idsw)
    assert counts.matched.sum() == accuracy.tp
    assert counts.mota == pytest.approx(accuracy.mota, abs=1e-12)
    assert counts.idf1 == pytest.approx(accuracy.idf1, abs=1e-12)


def test_the_sums_are_trackevals_on_a_real_sequence(shared):
    pytest.importorskip("trackeval")
    from edge_fairmot.benchmarks.mot_text import read_ground_truth, read_mot_text

    folder = shared / "mot15" / "motmetrics" / "TUD-Stadtmitte"
    results, truth = read_mot_text(folder / "test.txt"), read_ground_truth(folder / "gt.txt").rows
    counts = count_by_frame(results, truth, 179)

    assert round(100 * counts.mota, 1) == 56.4
    assert round(100 * counts.idf1, 1) == 64.5


def test_no_boxes_at_all():
    empty = MotRows(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0))
    counts = count_by_frame(empty, empty, 3)

    assert (len(counts), counts.boxes, counts.mota, counts.idf1) == (3, 0, 0, 0)


def some_counts(generator, frames):
    truth = generator.integers(3, 6, frames)
    matched = truth - generator.integers(0, 3, frames)
    return FrameCounts(truth, matched + generator.integers(0, 2, frames), matched, 0 * truth, matched)


def test_an_interval_holds_the_figure_and_repeats():
    generator = np.random.default_rng(1)
    sides = [some_counts(generator, 200)], [some_counts(generator, 200)]
    found = bootstrap(*sides, [25.0])

    assert found == bootstrap(*sides, [25.0])
    for name in ("mota", "idf1"):
        for side, interval in zip(sides, (found[name].reference, found[name].candidate), strict=True):
            assert interval.low < getattr(side[0], name) < interval.high
            assert interval.high - interval.low < 0.2


def test_an_interval_is_as_wide_as_theory_says():
    # Every frame by itself, one box: MOTA is the mean of coin flips.
    matched = np.random.default_rng(2).integers(0, 2, 400)
    ones = np.ones(400, np.int64)
    counts = FrameCounts(ones, matched, matched, 0 * ones, matched)
    interval = bootstrap([counts], [counts], [1.0])["mota"].reference

    expected = 2 * 1.96 * matched.std() / 20
    assert interval.high - interval.low == pytest.approx(expected, rel=5 / RESAMPLES**0.5)


def test_equal_models_do_not_differ_on_any_resample():
    counts = [some_counts(np.random.default_rng(3), 60), some_counts(np.random.default_rng(4), 90)]
    difference = bootstrap(counts, counts, [25.0, 30.0])["idf1"].difference

    assert (difference.low, difference.high) == (0, 0)


def tracks(*rows):
    """Tracks of 10 x 10 px from (id, x)."""
    ids = np.array([row[0] for row in rows], np.int64)
    corner = np.array([(row[1], 0) for row in rows], np.float32).reshape(-1, 2)
    count = len(ids)
    xyxy = np.concatenate([corner, corner + 10], axis=1)
    return Tracks(ids, xyxy, np.ones(count, np.float32), np.zeros(count, np.int64), np.zeros(count, bool))


def compare(*frames):
    sequence = SequenceTracks("street", 30.0)
    changed = [sequence.add(tracks(*ours), tracks(*theirs)) for ours, theirs in frames]
    return sequence, changed


BOTH, SWAPPED = ([(1, 0), (2, 50)], [(1, 0), (2, 50)]), ([(1, 0), (2, 50)], [(2, 0), (1, 50)])


@pytest.mark.parametrize(
    ("frames", "expected", "unpaired"),
    [
        # Other names are no difference.
        ([([(1, 0), (2, 50)], [(9, 0), (4, 50)])] * 3, [0, 0, 0], 0),
        # Two identities that are exchanged are one changed frame.
        ([BOTH, BOTH, SWAPPED, SWAPPED, SWAPPED, BOTH], [0, 0, 1, 0, 0, 1], 0),
        ([BOTH, (BOTH[0], [(2, 0)]), SWAPPED], [0, 1, 0], 1),
        # A new name is a changed frame, an absence is not.
        (
            [([(1, 0)], ids) for ids in ([(1, 0)], [], [(1, 0)], [], [(5, 0)], [(5, 0)])],
            [0, 0, 0, 0, 1, 0],
            2,
        ),
        # A name that a second person gets is a changed frame.
        ([([(1, 0)], [(1, 0)]), ([(2, 50)], [(1, 50)]), ([(2, 50)], [(1, 50)])], [0, 1, 0], 0),
    ],
)
def test_a_changed_frame_separates_partners(frames, expected, unpaired):
    sequence, changed = compare(*frames)

    assert changed == [bool(value) for value in expected]
    assert (sequence.changed_frames, sequence.unpaired) == (sum(expected), unpaired)
    assert association_figures([sequence]).share == pytest.approx(sum(expected) / len(frames))


def test_an_identity_belongs_to_its_sequence():
    first, _ = compare(*[([(1, 0)], [(1, 0)])] * 4)
    second, _ = compare(*[([(1, 0)], [(2, 0)])] * 4)
    figures = track_figures([first, second])

    assert (figures.idf1, figures.idsw) == (1, 0)
    assert (figures.reference_ids, figures.candidate_ids) == (2, 2)


def test_without_tracks_there_is_no_figure():
    sequence, _ = compare(([], []), ([], []))

    assert track_figures([sequence]).idf1 is None
    assert association_figures([]).share is None
