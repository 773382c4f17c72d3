"""A candidate that is broken on purpose fails the level it is broken on, and none below."""

import json
from dataclasses import replace

import numpy as np
import pytest

from edge_fairmot.benchmarks.disagreement import draw_disagreement
from edge_fairmot.benchmarks.mot_text import MotRows, MotTruth, read_ground_truth
from edge_fairmot.benchmarks.parity_budget import BUDGETS, FP32_BUDGET, INT8_BUDGET, budget_for
from edge_fairmot.benchmarks.parity_check import ParityCheck
from edge_fairmot.benchmarks.parity_levels import SequenceTracks, truth_figures
from edge_fairmot.benchmarks.parity_report import render_parity_page
from edge_fairmot.errors import EvaluationError, InvalidInputError
from edge_fairmot.types import Tracks

from . import scene

NEAR = INT8_BUDGET.score_margin / 2
UNSURE = scene.PEOPLE - 1


def without_first(frame, arrays):
    return tuple(values[1:] for values in arrays)


def with_another(frame, arrays):
    xyxy, score, embedding = arrays
    stray = np.array([[5.0, 130.0, 25.0, 180.0]])
    return np.vstack([xyxy, stray]), np.append(score, 0.7), np.vstack([embedding, np.eye(1, 16, 9)])


def without_people(frame, arrays):
    return tuple(values[:0] for values in arrays)


def shifted(pixels):
    return lambda frame, arrays: (arrays[0] + [pixels, 0, pixels, 0], *arrays[1:])


def rotated(degrees):
    def spoil(frame, arrays):
        xyxy, score, embedding = arrays
        turn = np.deg2rad(degrees)
        # Towards a direction that no person has: all stay as far from one another.
        away = np.roll(embedding, scene.PEOPLE, axis=1)
        return xyxy, score, np.cos(turn) * embedding + np.sin(turn) * away

    return spoil


def scores_of(offset):
    """All people but one have the threshold's score and an offset by frame."""

    def spoil(frame, arrays):
        return arrays[0], np.array([0.8, *[0.4 + offset(frame)] * UNSURE]), arrays[2]

    return spoil


near_threshold = scores_of(lambda frame: NEAR)
flickering = scores_of(lambda frame: NEAR if frame % 8 < 4 else -NEAR)  # longer than a buffer of two frames
fading = scores_of(lambda frame: NEAR if frame < 20 else -NEAR)


@pytest.mark.parametrize("precision", BUDGETS)
def test_an_identical_candidate_passes_every_level(precision):
    report, _ = scene.compare(budget_for(precision))

    assert report.passed
    assert report.failed_levels == ()
    figures = report.figures
    assert (figures.peaks.recall, figures.peaks.precision) == (1.0, 1.0)
    assert figures.peaks.matched == scene.PEOPLE * scene.FRAMES
    assert figures.boxes.least == pytest.approx(1, abs=1e-12)
    assert figures.embeddings.least == pytest.approx(1, abs=1e-12)
    assert (figures.association.changed_frames, figures.association.unpaired) == (0, 0)
    assert (figures.tracks.idf1, figures.tracks.mota, figures.tracks.idsw) == (1.0, 1.0, 0)
    assert figures.heads["id"].largest_error == 0


@pytest.mark.parametrize(
    ("budget", "spoil", "base", "rate", "level"),
    [
        (FP32_BUDGET, without_first, scene.unchanged, 30.0, "peaks"),
        (INT8_BUDGET, without_first, scene.unchanged, 30.0, "peaks"),
        (FP32_BUDGET, with_another, scene.unchanged, 30.0, "peaks"),
        (INT8_BUDGET, with_another, scene.unchanged, 30.0, "peaks"),
        (FP32_BUDGET, shifted(0.1), scene.unchanged, 30.0, "boxes"),
        (FP32_BUDGET, shifted(0.005), scene.unchanged, 30.0, None),
        (INT8_BUDGET, shifted(3.0), scene.unchanged, 30.0, "boxes"),
        (FP32_BUDGET, rotated(2.0), scene.unchanged, 30.0, "embeddings"),
        (INT8_BUDGET, rotated(12.0), scene.unchanged, 30.0, "embeddings"),
        (INT8_BUDGET, flickering, near_threshold, 2.0, "association"),
        (INT8_BUDGET, fading, near_threshold, 30.0, "tracks"),
        (INT8_BUDGET, lambda frame, arrays: scene.people(frame), without_people, 30.0, "peaks"),
    ],
)
def test_a_broken_candidate_fails_its_level_and_none_below(budget, spoil, base, rate, level):
    report, _ = scene.compare(budget, spoil, base=base, frame_rate=rate)

    assert report.passed == (level is None)
    assert report.failed_levels[:1] == ((level,) if level else ())


def test_wrong_heads_fail_their_level_alone():
    report, _ = scene.compare(FP32_BUDGET, spoil_heads=lambda dense: {**dense, "wh": dense["wh"] + 0.01})

    assert report.failed_levels == ("heads",)
    wrong, right = report.figures.heads["wh"], report.figures.heads["reg"]
    assert wrong.largest_error == pytest.approx(0.01 / (wrong.high - wrong.low), rel=1e-3)
    assert right.largest_error == 0

    report, _ = scene.compare(FP32_BUDGET, spoil_heads=lambda dense: {**dense, "hm": dense["hm"] * np.nan})
    assert report.failed_levels == ("heads",)
    assert json.loads(report.to_json())["figures"]["heads"]["hm"]["largest_error"] is None

    with pytest.raises(EvaluationError, match="48 values"):
        scene.compare(FP32_BUDGET, spoil_heads=lambda dense: {**dense, "reg": dense["hm"]})


def test_scores_near_the_threshold_count_neither_way_and_are_listed():
    report, _ = scene.compare(replace(INT8_BUDGET, track_idf1=0), fading, base=near_threshold)

    peaks = report.figures.peaks
    assert report.passed
    assert (peaks.reference_peaks, peaks.candidate_peaks, peaks.recall) == (scene.FRAMES, scene.FRAMES, 1)
    assert peaks.undecided == UNSURE * scene.FRAMES
    assert len(report.undecided) == 100
    assert report.undecided[0].reference_score == pytest.approx(0.41)


def test_one_changed_frame_is_one_of_all():
    def renamed(frame, arrays):
        # The last frames of three people come after a gap that the candidate alone has.
        return flickering(frame, arrays) if 4 <= frame < 12 else arrays

    budget = replace(INT8_BUDGET, track_idf1=0)
    report, _ = scene.compare(budget, renamed, base=near_threshold, frame_rate=2.0)

    # Lost in frames 4 to 7, found again in frame 8, given out from frame 9 on, all at once.
    assert report.figures.association.changed_frames == 1
    assert report.figures.association.share == pytest.approx(1 / scene.FRAMES)
    assert report.figures.tracks.idsw == UNSURE


def truth_of_the_scene(delay=0):
    frames = np.repeat(np.arange(scene.FRAMES), scene.PEOPLE)
    xyxy = np.concatenate([scene.people(frame)[0] for frame in range(scene.FRAMES)])
    ids = np.tile(np.arange(scene.PEOPLE), scene.FRAMES)
    return MotTruth.of_rows(MotRows(frames + 1 + delay, ids, xyxy, np.ones(len(ids))))


def test_ground_truth_belongs_to_the_numbers_of_frames_and_distractors_do_not_count(tmp_path):
    pytest.importorskip("scipy")
    lines = [
        f"{number},{n},{40 * n},0,20,50,{n},{kind},1"
        for number in range(301, 311)
        for n, kind in ((1, 1), (0, 7))
    ]
    (tmp_path / "gt.txt").write_text("\n".join(lines))
    sequence = SequenceTracks("s", 25.0, read_ground_truth(tmp_path / "gt.txt"))
    boxes = np.array([[40, 0, 60, 50], [0, 0, 20, 50]], np.float32)
    found = Tracks(np.array([3, 4]), boxes, np.ones(2, np.float32), np.zeros(2, np.int64), np.zeros(2, bool))
    for number in (301, 306):
        sequence.add(found, found, number)

    figures = truth_figures([sequence])

    assert (figures.candidate.mota, figures.candidate.gt_boxes, figures.candidate.fp) == (1, 2, 0)


def test_ground_truth_of_a_sequence_that_begins_late(tmp_path):
    pytest.importorskip("scipy")
    report, _ = scene.compare(INT8_BUDGET, truth=truth_of_the_scene(delay=300), first=300)

    assert report.figures.truth.candidate.mota == 1


def test_worse_than_the_reference_against_ground_truth_fails_that_level():
    pytest.importorskip("scipy")
    budget = replace(INT8_BUDGET, track_idf1=0)
    setting = {"base": near_threshold, "truth": truth_of_the_scene(), "frame_rate": 6.0}
    good, _ = scene.compare(budget, **setting)
    bad, _ = scene.compare(budget, fading, **setting)

    assert good.passed
    assert good.figures.truth.candidate == good.figures.truth.reference
    assert bad.failed_levels == ("ground truth",)
    assert bad.figures.truth.candidate.fn == UNSURE * 20
    assert bad.figures.truth.intervals["mota"].difference.high < 0


def test_too_few_frames_for_an_interval_are_not_judged():
    pytest.importorskip("scipy")
    late = truth_of_the_scene(delay=10)  # what is after the last frame is ignored
    report, _ = scene.compare(INT8_BUDGET, fading, base=near_threshold, truth=late, frame_rate=30.0)

    assert report.figures.truth.reference.frames == scene.FRAMES
    assert report.figures.truth.intervals == {}
    assert report.failed_levels == ("tracks",)
    (mota,) = (check for check in report.checks if (check.level, check.figure) == ("ground truth", "MOTA"))
    assert mota.value == report.figures.truth.candidate.mota
    assert mota.threshold is None


def test_the_report_is_json_with_a_schema():
    report, _ = scene.compare(INT8_BUDGET, without_first)
    content = json.loads(report.to_json())

    assert (content["schema_version"], content["passed"]) == (2, False)
    assert content["failed_levels"][0] == "peaks"
    assert content["sequences"] == [["street", scene.FRAMES]]
    assert content["budget"]["recall"] == INT8_BUDGET.recall
    recall = next(check for check in content["checks"] if check["figure"] == "recall")
    assert (recall["value"], recall["passed"]) == (0.75, False)


def test_the_page_shows_the_frames_that_differ_most():
    def bad_in_two_frames(frame, arrays):
        if frame == 7:
            return without_first(frame, arrays)
        return with_another(frame, without_first(frame, arrays)) if frame == 20 else arrays

    report, check = scene.compare(INT8_BUDGET, bad_in_two_frames, pictures=3)
    worst = check.worst_frames()
    page = render_parity_page(report, worst)

    assert [frame.frame for frame in worst[:2]] == [20, 7]
    assert (worst[0].missed, worst[0].extra) == (1, 1)
    assert page.count("data:image/jpeg;base64,") == 3
    assert "frame 21: 1 missed, 1 extra" in page
    assert "http" not in page.replace("<!doctype", "")


def test_a_missed_box_is_drawn_thicker():
    _, check = scene.compare(INT8_BUDGET, without_first, pictures=1)
    (frame,) = check.worst_frames()
    changed = (draw_disagreement(frame) != 90).any(axis=2)

    def inked_columns(box):
        row = int((box[1] + box[3]) / 2 * 3)
        return changed[row, int(box[0] * 3) - 15 : int(box[0] * 3) + 15].sum()

    alone, paired = frame.reference[0], frame.reference[1]
    assert inked_columns(alone) > inked_columns(paired) > 0


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(EvaluationError, match="hold no detection"):
        scene.compare(INT8_BUDGET, base=without_people)
    with pytest.raises(EvaluationError, match="call begin"):
        ParityCheck(INT8_BUDGET).add(None)
    with pytest.raises(InvalidInputError, match=r"between 0\.02 and 0\.98"):
        ParityCheck(INT8_BUDGET, score_threshold=0.01)
    with pytest.raises(InvalidInputError, match="no parity budget for precision 'int4'"):
        budget_for("int4")


def test_budgets_loosen_with_fewer_bits():
    fp32, fp16, int8 = (BUDGETS[name] for name in ("fp32", "fp16", "int8"))
    for name in ("score_margin", "head_largest_error", "head_mean_error", "association_share"):
        assert getattr(fp32, name) < getattr(fp16, name) < getattr(int8, name)
    for name in ("recall", "precision", "iou_mean", "cosine_mean", "track_idf1"):
        assert getattr(fp32, name) > getattr(fp16, name) > getattr(int8, name)
