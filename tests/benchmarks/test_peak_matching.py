import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fairmot.benchmarks.observation import TIE
from edge_fairmot.benchmarks.peak_matching import (
    MIN_IOU,
    PeakStatistics,
    match_boxes,
    match_peaks,
    settle_ties,
)
from edge_fairmot.boxes import iou
from edge_fairmot.types import RawDetections

THRESHOLD, MARGIN = 0.4, 0.02
ROUNDING = 1e-9


@st.composite
def frames(draw, most=7):
    """Detections of one frame: boxes on a coarse grid, so that many overlap; two classes."""
    count = draw(st.integers(0, most))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    low = generator.integers(0, 40, (count, 2)).astype(np.float32)
    size = generator.integers(0, 40, (count, 2)) * generator.random((count, 1))
    scores = np.sort(generator.uniform(0.3, 0.5, count))[::-1]
    return RawDetections(
        np.concatenate([low, low + size], axis=1).astype(np.float32)[None],
        scores.astype(np.float32)[None],
        generator.integers(0, 2, (1, count)),
        generator.normal(size=(1, count, 8)).astype(np.float32),
    )


@given(st.lists(st.tuples(*[st.integers(0, 12)] * 4), min_size=1, max_size=5))
def test_overlap_is_a_share_of_unit_cells(corners):
    boxes = np.array([(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in corners], float)

    def cells(box):
        left, top, right, bottom = map(int, box)
        return {(x, y) for x in range(left, right) for y in range(top, bottom)}

    expected = [[len(cells(a) & cells(b)) / max(1, len(cells(a) | cells(b))) for b in boxes] for a in boxes]
    np.testing.assert_allclose(iou(boxes, boxes), expected, atol=ROUNDING)


@given(frames(), frames())
def test_matching_is_one_to_one_symmetric_and_keeps_to_classes(a, b):
    there, back = match_peaks(a, b, THRESHOLD, MARGIN), match_peaks(b, a, THRESHOLD, MARGIN)

    for column in there.pairs.T:
        assert len(set(column.tolist())) == len(column)
    assert (there.iou >= MIN_IOU).all()
    ours, theirs = there.pairs.T
    assert (there.reference.class_id[ours] == there.candidate.class_id[theirs]).all()
    # Ties may be paired in another way, of the same total.
    assert there.iou.sum() == pytest.approx(back.iou.sum(), abs=ROUNDING)
    assert there.missed.sum() - back.extra.sum() == 0 or len(there.pairs) != len(set(there.iou.tolist()))


@given(frames())
def test_a_frame_matches_itself(a):
    match = match_peaks(a, a, THRESHOLD, MARGIN)

    assert len(match.pairs) == len(match.reference)
    assert not match.missed.any()
    assert not match.extra.any()
    np.testing.assert_allclose(match.cosine, 1, atol=1e-6)
    assert (match.score_shift == 0).all()


@given(frames(), frames())
def test_every_peak_is_sure_or_undecided_and_is_counted_once(a, b):
    match = match_peaks(a, b, THRESHOLD, MARGIN)
    undecided = match.undecided()

    both_sure = (match.sure_reference[match.pairs[:, 0]] & match.sure_candidate[match.pairs[:, 1]]).sum()
    objects = len(match.reference) + len(match.candidate) - len(match.pairs)
    assert len(undecided) + both_sure + match.missed.sum() + match.extra.sum() == objects
    for scores in undecided:
        assert any(s is not None and abs(s - THRESHOLD) <= MARGIN + 1e-6 for s in scores)


def one(score, x=0.0, class_id=0):
    return RawDetections(
        np.array([[[x, 0, x + 20, 40]]], np.float32),
        np.array([[score]], np.float32),
        np.array([[class_id]]),
        np.ones((1, 1, 4), np.float32) / 2,
    )


@pytest.mark.parametrize(
    ("reference", "candidate", "recall", "precision", "undecided"),
    [
        (0.50, 0.50, 1.0, 1.0, 0),
        (0.50, 0.39, 1.0, None, 1),  # a sure peak may have a partner that is not
        (0.50, 0.37, 0.0, None, 0),
        (0.39, 0.50, None, 1.0, 1),
        (0.37, 0.50, None, 0.0, 0),
        (0.41, 0.39, None, None, 1),
        (0.41, 0.10, None, None, 1),
        (0.10, 0.41, None, None, 1),
        (0.10, 0.10, None, None, 0),
    ],
)
def test_what_counts(reference, candidate, recall, precision, undecided):
    statistics = PeakStatistics()
    statistics.add(match_peaks(one(reference), one(candidate), THRESHOLD, MARGIN))
    figures = statistics.peaks()

    assert (figures.recall, figures.precision, figures.undecided) == (recall, precision, undecided)


def test_classes_and_distance_part_peaks():
    for other in (one(0.5, class_id=1), one(0.5, x=10)):  # x + 10: a third of the union
        match = match_peaks(one(0.5), other, THRESHOLD, MARGIN)
        assert (match.missed.sum(), match.extra.sum(), len(match.pairs)) == (1, 1, 0)


def test_the_best_total_is_chosen_and_not_the_first_comer():
    # The first of a overlaps both of b, the second only the first of b.
    a = np.array([[0.0, 0, 20, 40], [-4.0, 0, 16, 40]])
    b = np.array([[-2.0, 0, 18, 40], [5.0, 0, 25, 40]])
    pairs, _ = match_boxes(a, np.zeros(2, int), b, np.zeros(2, int))

    assert sorted(map(tuple, pairs.tolist())) == [(0, 1), (1, 0)]


def test_figures_add_up_over_frames():
    statistics = PeakStatistics()
    for shift in (0.0, 0.1, 0.2):
        statistics.add(match_peaks(one(0.5), one(0.5 + shift, x=2.0), THRESHOLD, MARGIN))
    peaks = statistics.peaks()

    assert peaks.score_shift_mean == pytest.approx(0.1, abs=1e-6)
    assert peaks.score_shift_std == pytest.approx(np.std([0, 0.1, 0.2]), abs=1e-6)
    assert statistics.boxes().mean == pytest.approx(18 / 22)


def test_the_least_is_of_all_pairs_of_all_frames():
    near, far = one(0.5), one(0.45, x=100)
    both = RawDetections(
        *(np.concatenate(pair, axis=1) for pair in zip(_arrays(near), _arrays(far), strict=True))
    )
    moved = both.boxes + np.array([[[0, 0, 0, 0], [4, 0, 4, 0]]], np.float32)
    turned = both.embeddings * np.array([[[1, 1, 1, 1], [1, 1, 1, -1]]], np.float32)
    statistics = PeakStatistics()
    statistics.add(
        match_peaks(both, RawDetections(moved, both.scores, both.class_ids, turned), THRESHOLD, MARGIN)
    )
    statistics.add(match_peaks(both, both, THRESHOLD, MARGIN))

    assert statistics.boxes().least == pytest.approx(16 / 24)
    assert statistics.embeddings().least == pytest.approx(0.5)
    assert statistics.embeddings().mean == pytest.approx(3.5 / 4)


def _arrays(raw):
    return raw.boxes, raw.scores, raw.class_ids, raw.embeddings


def beside(raw, score, x, turn):
    """``raw`` and one more detection, of a neighbouring cell; its embedding has ``turn`` signs turned."""
    other = one(score, x=x)
    other.embeddings[0, 0, :turn] *= -1
    return RawDetections(
        *(np.concatenate(both, axis=1) for both in zip(_arrays(raw), _arrays(other), strict=True))
    )


def test_the_neighbour_that_ties_stands_for_the_peak_that_rounding_chose():
    known = beside(one(0.5), 0.5 - TIE / 2, x=4, turn=1)
    found = RawDetections(*(values[:, 1:] for values in _arrays(known)))
    match = match_peaks(one(0.5), found, THRESHOLD, MARGIN)
    assert match.iou[0] < 1
    assert match.cosine[0] < 1

    settled = settle_ties(match, known)

    assert settled.tied.tolist() == [True]
    assert settled.iou[0] == pytest.approx(1)
    assert settled.cosine[0] == pytest.approx(1)
    assert settled.tied_scores() == [pytest.approx((0.5, 0.5 - TIE / 2))]


@pytest.mark.parametrize("score", [0.5 - 2 * TIE, 0.5 + 2 * TIE])
def test_a_neighbour_of_another_score_does_not(score):
    match = match_peaks(one(0.5), one(0.5, x=4), THRESHOLD, MARGIN)
    settled = settle_ties(match, beside(one(0.5), score, x=4, turn=0))

    assert not settled.tied.any()
    assert settled.iou.tolist() == match.iou.tolist()


@given(frames())
def test_a_frame_without_neighbours_has_no_ties(a):
    match = match_peaks(a, a, THRESHOLD, MARGIN)
    settled = settle_ties(match, a)

    assert not settled.tied.any()
    assert settled.iou.tolist() == match.iou.tolist()
