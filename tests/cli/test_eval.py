"""Scores from the command line: classes, ids, rows and partly labelled ground truth, as users have them."""

import json
from pathlib import Path

import pytest

from .command_line import error_of, run

CASES = Path(__file__).resolve().parents[2].parent / "shared" / "cases"

needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason=f"no files of users at {CASES}")
pytest.importorskip("scipy", reason="needs the eval extra")


def score(*arguments):
    (accuracy,) = json.loads(run("eval", *arguments, "--json").stdout).values()
    return accuracy


def write(path, frames, *, ids=(1, 2), columns="1,1,1"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{f},{i},{50 * i},0,20,40,{columns}\n" for f in frames for i in ids))
    return path


@needs_cases
@pytest.mark.parametrize(("results", "truth"), [("res17.txt", "mot17.txt"), ("res.txt", "classes.txt")])
def test_classes_are_read_as_trackeval_does(results, truth):
    folder = CASES / "06-eval-ignores-class-column"

    found = score(folder / results, "--gt", folder / truth)

    assert (found["fp"], found["fn"], round(found["mota"], 3), round(found["idf1"], 3)) == (
        0,
        30,
        0.85,
        0.919,
    )


@needs_cases
def test_the_result_of_another_class_is_a_choice():
    folder = CASES / "06-eval-ignores-class-column"

    cars = score(folder / "classes.txt", "--gt", folder / "classes.txt", "--class", "2")
    assert (cars["mota"], cars["gt_boxes"]) == (1.0, 120)
    every = score(folder / "res.txt", "--gt", folder / "classes.txt", "--benchmark", "MOT15")
    assert round(every["mota"], 3) == 0.531


@needs_cases
def test_ids_of_64_bits_are_scored():
    folder = CASES / "16-eval-64-bit-ids"

    assert round(score(folder / "bigid.txt", "--gt", folder / "gt.txt")["mota"], 2) > 0.8


@needs_cases
@pytest.mark.parametrize(
    ("truth", "told"),
    [("half.txt", "in 20 frames (21 to 40)"), ("sparse.txt", "in 32 frames (2 to 40)")],
)
def test_partly_labelled_ground_truth_is_told_and_can_be_scored(truth, told):
    folder = CASES / "17-eval-half-labelled"
    files = folder / "res.txt", "--gt", folder / truth

    result = run("eval", *files, "--json")
    assert told in result.stderr
    assert next(iter(json.loads(result.stdout).values()))["mota"] < 0
    only = run("eval", *files, "--json", "--labelled-frames-only")
    assert only.stderr == ""
    found = next(iter(json.loads(only.stdout).values()))
    assert found["mota"] > 0.8
    assert found["fp"] == 0


def test_every_run_has_its_row(tmp_path):
    truth = write(tmp_path / "gt.txt", range(1, 5))
    good = write(tmp_path / "a" / "out" / "tracks.txt", range(1, 5))
    bad = write(tmp_path / "b" / "out" / "tracks.txt", range(1, 3))
    total = write(tmp_path / "combined" / "tracks.txt", range(1, 5))

    lines = run("eval", good, bad, total, *["--gt", truth] * 3).stdout.splitlines()

    named = {line.split()[0]: line.split()[4] for line in lines[1:]}
    assert named == {str(good): "100.0", str(bad): "50.0", str(total): "100.0", "combined": "83.3"}


def test_a_file_called_combined_keeps_its_figures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(Path("combined"), range(1, 3))
    write(Path("other"), range(1, 5))
    write(Path("gt.txt"), range(1, 5))

    found = json.loads(run("eval", "combined", "other", *["--gt", "gt.txt"] * 2, "--json").stdout)

    assert {name: row["mota"] for name, row in found.items()} == {
        "./combined": 0.5,
        "other": 1,
        "combined": 0.75,
    }


def test_a_class_that_is_not_there_is_named(tmp_path):
    truth = write(tmp_path / "gt.txt", range(1, 5))

    assert "class 1 (pedestrian, 8 boxes)" in error_of("eval", truth, "--gt", truth, "--class", "car")


@needs_cases
def test_numbers_in_image_names_are_those_of_the_ground_truth(tmp_path):
    folder = CASES / "05-frame-numbers-of-files-ignored"
    run("track", folder / "every5th", "-o", tmp_path / "out", "--no-video")

    found = score(tmp_path / "out" / "tracks.txt", "--gt", folder / "gt_of_these.txt")

    assert (found["frames"], found["gt_boxes"]) == (21, 133)
    assert found["mota"] > 0.7  # near 0 where the numbers do not count
