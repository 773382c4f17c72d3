import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_fairmot.benchmarks.accuracy import evaluate, evaluate_many, evaluate_tracks
from edge_fairmot.benchmarks.mot_text import MotRows, read_ground_truth, read_mot_text
from edge_fairmot.errors import EvaluationError, MissingDependencyError

MOTMETRICS = Path(__file__).resolve().parents[2].parent / "shared" / "mot15" / "motmetrics"

needs_motmetrics_files = pytest.mark.skipif(
    not MOTMETRICS.is_dir(), reason=f"no sequences with known figures at {MOTMETRICS}"
)

ROUNDING = 1e-12
"""Ratios of the same counts, divided in another order."""


def files(sequence):
    return MOTMETRICS / sequence / "test.txt", MOTMETRICS / sequence / "gt.txt"


def make_rows(*rows):
    """Boxes of 10 x 10 pixels from (frame, id, x)."""
    values = np.array(rows, np.float64).reshape(-1, 3)
    corner = np.stack([values[:, 2], np.zeros(len(values))], axis=1)
    return MotRows(
        values[:, 0].astype(np.int64),
        values[:, 1].astype(np.int64),
        np.concatenate([corner, corner + 10], axis=1),
        np.ones(len(values)),
    )


EMPTY = make_rows()


@needs_motmetrics_files
@pytest.mark.parametrize(
    ("sequence", "mota", "idf1"), [("TUD-Campus", 52.6, 55.8), ("TUD-Stadtmitte", 56.4, 64.5)]
)
def test_figures_are_those_py_motmetrics_publishes(sequence, mota, idf1):
    accuracy = evaluate(*files(sequence))

    assert round(100 * accuracy.mota, 1) == mota
    assert round(100 * accuracy.idf1, 1) == idf1


def write(path, rows):
    lines = []
    for row in range(len(rows)):
        x1, y1, x2, y2 = map(float, rows.xyxy[row])
        lines.append(f"{rows.frame[row]},{rows.track_id[row]},{x1},{y1},{x2 - x1},{y2 - y1},1,-1,-1,-1\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines))


def by_trackevals_own_dataset(folder, lengths, benchmark="MOT15"):
    """TrackEval's figures for ``folder/gt/SEQ/gt/gt.txt`` and ``folder/trackers/ours/data/SEQ.txt``."""
    import trackeval

    dataset = trackeval.datasets.MotChallenge2DBox(
        {
            "GT_FOLDER": str(folder / "gt"),
            "TRACKERS_FOLDER": str(folder / "trackers"),
            "TRACKERS_TO_EVAL": ["ours"],
            "BENCHMARK": benchmark,
            "SEQ_INFO": dict(lengths),
            "SKIP_SPLIT_FOL": True,
            "PRINT_CONFIG": False,
        }
    )
    quiet = {"PRINT_CONFIG": False}
    metrics = [
        trackeval.metrics.HOTA(),
        trackeval.metrics.CLEAR(dict(quiet)),
        trackeval.metrics.Identity(dict(quiet)),
    ]
    off = ("PRINT_RESULTS", "PRINT_CONFIG", "TIME_PROGRESS", "OUTPUT_SUMMARY", "OUTPUT_DETAILED")
    off += ("PLOT_CURVES", "OUTPUT_EMPTY_CLASSES")
    found, _ = trackeval.Evaluator(dict.fromkeys(off, False)).evaluate([dataset], metrics)
    return {
        name: {metric: result["pedestrian"][metric] for metric in ("HOTA", "CLEAR", "Identity", "Count")}
        for name, result in found["MotChallenge2DBox"]["ours"].items()
    }


NAMES = {
    "HOTA": {"hota": "HOTA", "deta": "DetA", "assa": "AssA", "loca": "LocA"},
    "CLEAR": {
        **{"mota": "MOTA", "motp": "MOTP", "recall": "CLR_Re", "precision": "CLR_Pr"},
        **{"tp": "CLR_TP", "fp": "CLR_FP", "fn": "CLR_FN", "idsw": "IDSW", "frag": "Frag"},
        **{"mt": "MT", "pt": "PT", "ml": "ML"},
    },
    "Identity": {"idf1": "IDF1", "idp": "IDP", "idr": "IDR"},
    "Count": {"gt_ids": "GT_IDs", "gt_boxes": "GT_Dets", "track_ids": "IDs", "track_boxes": "Dets"},
}


def assert_equal_figures(accuracy, trackeval):
    expected = {
        name: np.mean(trackeval[metric][key]) for metric, keys in NAMES.items() for name, key in keys.items()
    }
    found = asdict(accuracy)
    assert set(found) == {*expected, "frames"}
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=ROUNDING)
    assert {type(value) for value in found.values()} == {int, float}


@needs_motmetrics_files
def test_figures_are_those_of_trackevals_own_dataset(tmp_path, capfd):
    lengths = {"TUD-Campus": 71, "TUD-Stadtmitte": 179}
    sequences = {}
    for name in lengths:
        results, truth = files(name)
        sequences[name] = read_mot_text(results), read_ground_truth(truth).rows
        for source, target in (
            (results, tmp_path / "trackers" / "ours" / "data" / f"{name}.txt"),
            (truth, tmp_path / "gt" / name / "gt" / "gt.txt"),
        ):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    expected = by_trackevals_own_dataset(tmp_path, lengths)
    capfd.readouterr()

    table = evaluate_many(sequences)

    for name in lengths:
        assert_equal_figures(table.sequences[name], expected[name])
        assert table.sequences[name] == evaluate(*files(name))
    assert_equal_figures(table.combined, expected["COMBINED_SEQ"])
    assert table.combined.frames == 250
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("benchmark", ["MOT16", "MOT17", "MOT20"])
@pytest.mark.parametrize("seed", range(4))
def test_classes_and_distractors_are_trackevals(tmp_path, benchmark, seed):
    """Boxes of all classes that overlap, on whole pixels so that assignments tie, and results near them."""
    random = np.random.default_rng(seed)
    name = f"{benchmark}-01"
    gt, found = (
        tmp_path / "gt" / name / "gt" / "gt.txt",
        tmp_path / "trackers" / "ours" / "data" / f"{name}.txt",
    )
    classes = random.integers(1, 14, 24) * (random.random(24) < 0.6)
    for path, jitter, drop in ((gt, 0, 0.1), (found, 4, 0.2)):
        lines = []
        for frame in range(1, 21):
            for one in np.flatnonzero(random.random(24) > drop).tolist():
                near = random.integers(-jitter, jitter + 1, 2).tolist()
                left, top = 16 * (one % 6) + frame + near[0], 30 * (one // 6) + near[1]
                mark, kind = int(classes[one] == 0 and one % 5 > 0), max(1, classes[one])
                last = f"{mark},{kind},0.{one % 9}" if path == gt else "0.9,-1,-1,-1"
                lines.append(f"{frame},{one + 1},{left},{top},24,60,{last}\n")
        path.parent.mkdir(parents=True)
        path.write_text("".join(lines))

    accuracy = evaluate(found, gt)

    assert_equal_figures(accuracy, by_trackevals_own_dataset(tmp_path, {name: 20}, benchmark)[name])
    assert accuracy.track_boxes < len(found.read_text().splitlines())
    assert accuracy.gt_boxes < len(gt.read_text().splitlines())


@pytest.mark.parametrize("kinds", [(1, 7), (7, 1)])
def test_of_two_boxes_that_explain_a_result_equally_trackevals_is_taken(tmp_path, kinds):
    gt, found = tmp_path / "gt" / "S" / "gt" / "gt.txt", tmp_path / "trackers" / "ours" / "data" / "S.txt"
    for path in (gt, found):
        path.parent.mkdir(parents=True)
    gt.write_text("".join(f"1,{n},0,0,9,9,{int(kind == 1)},{kind},1\n" for n, kind in enumerate(kinds)))
    found.write_text("1,5,0,0,9,9,1,-1,-1,-1\n")

    accuracy = evaluate(found, gt)

    assert accuracy.tp == int(kinds[0] == 1)
    assert_equal_figures(accuracy, by_trackevals_own_dataset(tmp_path, {"S": 1}, "MOT17")["S"])


def crowd(seed, ids, frames, jitter, drop):
    """Rows of walkers on quarter pixels, some gone, in random order, ids far apart, frames missing."""
    random = np.random.default_rng(seed)
    frame, track_id = (grid.ravel() for grid in np.meshgrid(np.arange(1, frames + 1), np.arange(ids)))
    corner = np.stack([track_id * 12.0 + frame, track_id * 5.0], axis=1)
    corner += np.round(random.normal(0, jitter, corner.shape) * 4) / 4
    keep = random.permutation(np.flatnonzero((random.random(len(frame)) > drop) & (frame % 7 != 0)))
    boxes = np.concatenate([corner, corner + np.array([16, 40])], axis=1)[keep]
    swapped = (track_id + (frame > frames // 2) * random.integers(0, 2)) % ids
    return MotRows(frame[keep], 1000 * swapped[keep] + 3, boxes, np.ones(len(keep)))


@pytest.mark.parametrize("seed", range(2))
def test_unsorted_rows_gaps_and_large_ids_give_the_same_figures_too(tmp_path, seed):
    truth, results = crowd(seed, 6, 40, 0, 0.2), crowd(seed + 9, 6, 40, 3, 0.3)
    write(tmp_path / "gt" / "S" / "gt" / "gt.txt", truth)
    write(tmp_path / "trackers" / "ours" / "data" / "S.txt", results)

    expected = by_trackevals_own_dataset(tmp_path, {"S": 40})["S"]

    assert_equal_figures(evaluate_tracks(results, truth), expected)


def test_marked_ground_truth_is_left_out_as_in_trackeval(tmp_path):
    gt, found = tmp_path / "gt" / "S" / "gt" / "gt.txt", tmp_path / "trackers" / "ours" / "data" / "S.txt"
    gt.parent.mkdir(parents=True)
    found.parent.mkdir(parents=True)
    gt.write_text("1,1,0,0,9,9,1,-1,-1,-1\n1,2,50,0,9,9,0,-1,-1,-1\n2,1,0,0,9,9,1,-1,-1,-1\n")
    found.write_text("1,5,0,0,9,9,1,-1,-1,-1\n1,6,50,0,9,9,1,-1,-1,-1\n")

    accuracy = evaluate(found, gt)

    assert (accuracy.gt_boxes, accuracy.fp, accuracy.fn) == (2, 1, 1)
    assert_equal_figures(accuracy, by_trackevals_own_dataset(tmp_path, {"S": 2})["S"])


def test_overlap_is_of_edges():
    truth = make_rows((1, 1, 0))
    half = MotRows(truth.frame, truth.track_id, truth.xyxy * (0.5, 1, 0.5, 1), truth.confidence)
    accuracy = evaluate_tracks(half, truth)
    assert (accuracy.tp, accuracy.idf1, accuracy.motp) == (1, 1.0, 0.5)

    # 10 x 10 boxes 5 apart: 50 / 150 by edges; counted inclusively it would be 66 / 176.
    # IoU 1/3 reaches the overlaps 0.05 to 0.30: 6 of 19.
    assert evaluate_tracks(make_rows((1, 1, 5)), truth).deta == pytest.approx(6 / 19)

    apart = MotRows(truth.frame, truth.track_id, truth.xyxy + 20, truth.confidence)
    assert evaluate_tracks(apart, truth).deta == 0


def test_no_results_miss_everything():
    accuracy = evaluate_tracks(EMPTY, make_rows((1, 1, 0), (3, 2, 0)))

    assert (accuracy.fn, accuracy.fp, accuracy.ml, accuracy.gt_ids, accuracy.frames) == (2, 0, 2, 2, 3)
    assert (accuracy.hota, accuracy.mota, accuracy.idf1) == (0, 0, 0)


@pytest.mark.parametrize("frame", [9, 10**12])  # a frame number far away costs nothing
def test_results_after_the_last_ground_truth_count_as_false(frame):
    accuracy = evaluate_tracks(make_rows((1, 1, 0), (frame, 1, 0)), make_rows((1, 1, 0)))

    assert (accuracy.frames, accuracy.fp, accuracy.mota) == (frame, 1, 0)


def test_the_length_of_the_sequence_may_be_given():
    truth = make_rows((1, 1, 0))

    assert evaluate_tracks(truth, truth, num_frames=71).frames == 71
    with pytest.raises(EvaluationError, match="frame 9 of a sequence of 8 frames"):
        evaluate_tracks(make_rows((9, 1, 0)), truth, num_frames=8)


def test_an_identity_belongs_to_its_sequence():
    good, none = make_rows((1, 1, 0), (2, 1, 0)), EMPTY

    table = evaluate_many({"a": (good, good), "b": (none, good)})

    assert table.combined.gt_ids == 2
    assert (table.combined.tp, table.combined.fn, table.combined.frames) == (2, 2, 4)
    assert (table.combined.mota, table.combined.idr) == (0.5, 0.5)
    assert table.sequences["a"].mota == 1
    assert table.sequences["b"].mota == 0


def test_without_ground_truth_there_is_nothing_to_say():
    with pytest.raises(EvaluationError, match="no ground truth"):
        evaluate_tracks(make_rows((1, 1, 0)), EMPTY)
    with pytest.raises(EvaluationError, match="b has no ground truth"):
        evaluate_many({"a": (EMPTY, make_rows((1, 1, 0))), "b": (EMPTY, EMPTY)})
    with pytest.raises(EvaluationError, match="no sequence"):
        evaluate_many({})


def test_a_missing_scipy_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)

    with pytest.raises(MissingDependencyError, match=r"scipy is needed.*edge-fairmot\[eval\]"):
        evaluate_tracks(make_rows((1, 1, 0)), make_rows((1, 1, 0)))


small_rows = st.lists(
    st.tuples(st.integers(1, 6), st.integers(0, 4), st.integers(0, 30)),
    max_size=25,
    unique_by=lambda r: r[:2],
).map(lambda rows: make_rows(*rows))


@settings(max_examples=60)
@given(small_rows, small_rows.filter(len))
def test_counts_add_up_whatever_is_compared(results, truth):
    accuracy = evaluate_tracks(results, truth)

    assert accuracy.tp + accuracy.fn == accuracy.gt_boxes == len(truth)
    assert accuracy.tp + accuracy.fp == accuracy.track_boxes == len(results)
    assert accuracy.mt + accuracy.pt + accuracy.ml == accuracy.gt_ids
    assert 0 <= accuracy.hota <= 1 + ROUNDING
    assert 0 <= accuracy.idf1 <= 1
    assert accuracy.mota <= 1
