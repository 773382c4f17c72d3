"""``bench`` and its kin as a user runs them, on a real file and real frames."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_fairmot.benchmarks.results_file import read_results, write_results
from edge_fairmot.cli.bench_sweep import list_variants
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.tape import read_tape

from .command_line import COMMAND

FRAMES = 60
"""Enough for a comparison to be judged."""

FEW = 24
"""Enough for the rest: what takes time are the pauses between turns."""

_SPEC = importlib.util.spec_from_file_location("moody", Path(__file__).parents[1] / "moody_runtime.py")
moody = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(moody)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    moody.install(folder)
    return folder


@pytest.fixture(scope="module")
def bench(site):
    def run(*arguments, status=0, **environment):
        path = os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH"))))
        result = subprocess.run(
            [*COMMAND, "bench", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"COLUMNS": "250", "NO_COLOR": "1", "PYTHONPATH": path} | environment,
        )
        assert result.returncode == status, result.stdout + result.stderr
        return result

    return run


def error_of(result):
    (line,) = (line for line in result.stderr.splitlines() if line.startswith("error: "))
    return line


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Noise that drifts: what a network of random weights takes for people moves with it."""
    folder = tmp_path_factory.mktemp("pictures")
    noise = np.random.default_rng(1).integers(0, 256, (40, 80, 3), np.uint8)
    noise = cv2.resize(noise, (320, 160), interpolation=cv2.INTER_LINEAR)
    for n in range(FRAMES):
        cv2.imwrite(str(folder / f"{n:03}.png"), noise[4:104, n : n + 200])
    return folder


@pytest.fixture(scope="module")
def truth(bench, stout_model, pictures, tmp_path_factory):
    """Ground truth: the tracks of the file itself, so that it scores well."""
    folder = tmp_path_factory.mktemp("truth")
    subprocess.run(
        [
            *(*COMMAND, "track", pictures, "-m", stout_model, "-o", folder),
            *("--no-video", "--score-threshold", "0.3"),
        ],
        check=True,
        capture_output=True,
    )
    lines = [line.split(",") for line in (folder / "tracks.txt").read_text().splitlines()]
    path = folder / "gt.txt"
    path.write_text("".join(",".join([*line[:6], "1", *line[7:]]) + "\n" for line in lines))
    return path


@pytest.fixture(scope="module")
def options(pictures):
    return (
        *("--video", pictures, "--frames", FEW, "--score-threshold", "0.3"),
        *("--live", "0.4", "--threads", 1),
    )


@pytest.fixture(scope="module")
def measured(bench, stout_model, truth, options, tmp_path_factory):
    """Two files, as a shell gives them for ``*.onnx``, one of them broken, on runtimes of which one dies."""
    pytest.importorskip("trackeval")
    folder = tmp_path_factory.mktemp("measured")
    broken = folder / "broken.onnx"
    broken.write_bytes(b"\x08\x01garbage")
    result = bench(
        *("--models", stout_model, broken, "--runtimes", "cpu,moody:wrong,moody:dies"),
        *("--gt", truth, "-o", folder / "out", *options),
    )
    return folder / "out", result, read_results(folder / "out" / "results.json")


def test_every_file_on_every_runtime_is_a_row(measured):
    _, _, results = measured

    rows = {entry.name: entry for entry in results.entries}
    assert len(rows) == 6
    done = {name for name, entry in rows.items() if entry.done}
    assert done == {"small.onnx on cpu", "small.onnx on moody:wrong"}
    assert "SIGKILL" in rows["small.onnx on moody:dies"].failure
    assert "not an ONNX file" in rows["broken.onnx on cpu"].failure
    assert (results.reference, results.ended) == ("small.onnx on cpu", "")


def test_speed_is_measured_on_every_frame(measured):
    _, _, results = measured
    entry = next(entry for entry in results.entries if entry.done)
    speed = entry.speed

    assert len(speed.times) == FEW
    assert speed.stages["inference"].interval.low <= speed.stages["inference"].p50
    assert speed.stages["frame"].p50 > sum(speed.stages[s].p50 for s in ("inference", "association")) * 0.8
    assert speed.live.tracked + speed.live.dropped == speed.live.played == 11
    assert speed.memory.peak_mb > speed.memory.before_mb > 10
    assert speed.open_ms > 0 < speed.cpu_ms
    assert results.machine.packages["numpy"] == np.__version__
    assert results.conditions[0].readings


def test_accuracy_is_beside_it(measured):
    _, _, results = measured
    rows = {entry.name: entry.correctness for entry in results.entries if entry.done}
    right, wrong = rows["small.onnx on cpu"], rows["small.onnx on moody:wrong"]

    assert right.score.hota == pytest.approx(1, abs=0.01)  # the text has three decimals
    assert right.score.mota == right.score.idf1 == 1
    assert wrong.score.hota < 0.9
    assert (right.agreement.recall, right.agreement.idf1) == (1, 1)
    assert wrong.agreement.iou < 0.9
    assert right.at_device_speed[0].detect_every == 1
    assert right.at_device_speed[0].score.hota < right.score.hota


def test_reports_and_tapes_are_left(measured):
    folder, result, results = measured

    page, markdown = ((folder / name).read_text() for name in ("report.html", "report.md"))
    for text in (page, markdown, result.stdout):
        assert "moody:wrong" in text
    assert "SIGKILL" in page
    assert "SIGKILL" in markdown
    assert page.count("data:image/jpeg") >= 4
    assert str(folder / "report.html") in result.stdout
    assert json.loads((folder / "results.json").read_text())["schema_version"] == 1
    assert len(read_tape(folder / "tapes" / "small.onnx-on-cpu-1.npz")) == FEW
    assert results.footage[0].frames == FEW


@pytest.fixture(scope="module")
def before_and_after(bench, stout_model, options, tmp_path_factory):
    """The same file twice, the second time with everything computed four times."""
    folder = tmp_path_factory.mktemp("before-and-after")
    for name, repeats in (("before", "1"), ("after", "4")):
        command = ("--models", stout_model, "--runtimes", "moody", "-o", folder / name, *options)
        command += ("--frames", FRAMES)
        bench(*command, MOODY_REPEATS=repeats)
    return folder


def test_a_run_is_no_different_from_itself(bench, before_and_after, measured):
    before = before_and_after / "before" / "results.json"
    assert bench("compare", before, before).stdout.rstrip().endswith("no difference seen")
    few = measured[0] / "results.json"
    assert "too few frames to tell" in bench("compare", few, few).stdout


def test_a_slowed_file_is_caught(bench, before_and_after):
    before, after = (before_and_after / name / "results.json" for name in ("before", "after"))

    result = bench("compare", before, after, status=1)
    assert "slower" in result.stdout
    assert "1 regression beyond noise" in result.stdout  # by the clock or, on a busy machine, the processor
    assert "faster" in bench("compare", after, before).stdout
    assert "no regression seen" in bench("compare", after, before).stdout


def test_without_ground_truth_it_is_agreement(before_and_after):
    (entry,) = read_results(before_and_after / "before" / "results.json").entries

    assert entry.correctness.score.hota is None
    assert entry.correctness.score.idf1 == 1
    assert "IDF1 live" in (before_and_after / "before" / "report.md").read_text()


def test_an_interrupted_run_leaves_a_report_that_says_so(site, stout_model, options, tmp_path):
    output = tmp_path / "out"
    process = subprocess.Popen(
        [
            *("env", "--default-signal=INT", *COMMAND, "bench", "--models", stout_model),
            *("--runtimes", "moody,cpu", "-o", output, *map(str, options), "--frames", str(FRAMES)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(site), "MOODY_REPEATS": "20"},
        start_new_session=True,
    )
    spool = output / "tapes" / "small.onnx-on-cpu-1.npz.recording" / "frame_index"
    deadline = time.monotonic() + 120
    while not (spool.exists() and spool.stat().st_size >= 8 * 4):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "Traceback" not in errors
    results = read_results(output / "results.json")
    assert results.ended == "interrupted"
    cut = [entry for entry in results.entries if entry.speed is not None]
    assert cut
    assert all(4 <= len(entry.speed.times) < FRAMES for entry in cut)
    assert all("interrupted after" in entry.failure and not entry.done for entry in cut)
    page = (output / "report.html").read_text()
    assert "ended before its end (interrupted)" in page


@pytest.fixture(scope="module")
def swept(bench, stout_checkpoint, options, tmp_path_factory):
    folder = tmp_path_factory.mktemp("swept")
    command = (
        *("sweep", stout_checkpoint, "--sizes", "100x64,96x64", "--precisions", "fp32", "--naive"),
        *("--runtimes", "cpu,moody:unwilling", "-o", folder, *options),
    )
    return folder, command, bench(*command)


def test_a_sweep_makes_and_measures_every_file(swept):
    folder, _, result = swept
    results = read_results(folder / "results.json")

    done = {entry.model.name: entry.model for entry in results.entries if entry.done}
    assert set(done) == {"lively-96x64-fp32-native.onnx", "lively-96x64-naive.onnx"}
    assert done["lively-96x64-naive.onnx"].lowering == "gridsample"
    assert "late-heads" not in done["lively-96x64-naive.onnx"].rewrites
    assert {"late-heads", "shuffle-upsampling"} <= set(done["lively-96x64-fp32-native.onnx"].rewrites)
    failed = {entry.name: entry.failure for entry in results.entries if not entry.done}
    assert len(failed) == 6
    assert failed["lively-96x64-fp32-native.onnx on moody:unwilling"].startswith("moody is unwilling")
    assert "not converted: " in failed["lively-100x64-naive.onnx on cpu"]
    assert "32" in failed["lively-100x64-naive.onnx on cpu"]
    assert "lively-100x64-fp32-native.onnx could not be made" in result.stderr
    assert "moody is unwilling" in result.stderr


def test_a_sweep_crosses_precisions_with_lowerings():
    variants = list_variants("576x320,96x64", "fp32,int8", "auto,im2col,native", True, "street.mp4")

    names = [[variant.name(Path("c.pth")) for variant in group] for group in variants]
    kinds = ("naive", "fp32-native", "fp32-im2col", "int8-native", "int8-im2col")
    assert names == [[f"c-{size}-{kind}.onnx" for kind in kinds] for size in ("576x320", "96x64")]
    assert variants[0][0].arguments()[:4] == ["--size", "576x320", "--deform-conv", "gridsample"]
    assert variants[1][4].arguments()[2:] == [
        *("--deform-conv", "im2col", "--precision", "int8", "--calibrate", "street.mp4")
    ]
    with pytest.raises(InvalidInputError, match="im3col"):
        list_variants("96x64", "fp32", "im3col", False, "")
    with pytest.raises(InvalidInputError, match="nothing to make"):
        list_variants("96x64", "fp32", ",", False, "")


def test_a_sweep_that_is_taken_up_again_skips_what_is_done(bench, swept):
    folder, command, _ = swept
    path = folder / "results.json"
    before = read_results(path)
    made = {file: file.stat().st_mtime_ns for file in (folder / "models").iterdir()}
    # As an interruption would leave it: one row without its figures.
    (missing,) = (entry.name for entry in before.entries if entry.done and entry.name != before.reference)
    kept = tuple(entry for entry in before.entries if entry.name != missing)
    write_results(path, replace(before, entries=kept))

    bench(*command)

    after = {entry.name: entry for entry in read_results(path).entries}
    for entry in kept:
        if entry.done:
            assert after[entry.name] == entry
    assert after[missing].done
    assert after[missing].group == 1
    assert {file: file.stat().st_mtime_ns for file in (folder / "models").iterdir()} == made


def test_a_sweep_whose_reference_is_gone_chooses_another(bench, swept):
    folder, command, _ = swept
    path = folder / "results.json"
    before = read_results(path)
    kept = tuple(entry for entry in before.entries if entry.name != before.reference)
    write_results(path, replace(before, entries=kept))

    bench(*command)

    after = read_results(path)
    assert after.reference != before.reference
    assert after.reference in {entry.name for entry in after.entries if entry.done}
    assert before.reference in {entry.name for entry in after.entries if entry.done}


def test_a_sweep_of_other_settings_does_not_mix(bench, swept):
    _, command, _ = swept

    assert "choose another folder" in error_of(bench(*command, "--frames", 30, status=1))


def test_bad_input_is_one_line(bench, stout_model, pictures, measured, tmp_path):
    def fails(*arguments):
        result = bench(*arguments, status=1)
        assert "Traceback" not in result.stderr
        return error_of(result)

    on = ("--models", stout_model, "--video", pictures, "-o", tmp_path / "out")
    assert "give --video" in fails()  # of models there is always one
    assert "give --video" in fails("--models", stout_model)
    assert "no model at absent.onnx" in fails("--models", "absent.onnx", "--video", pictures)
    assert "given twice" in fails("--models", stout_model, stout_model, "--video", pictures)
    assert "nothing could be measured" in fails(*on, "--runtimes", "tpu")
    assert "replay" in fails(*on, "--runtimes", "replay")
    assert "--frames must be at least 2" in fails(*on, "--frames", 1)
    assert "--score-threshold must be between" in fails(*on, "--score-threshold", 2)
    assert "--reference" in fails(*on, "--reference", "other.onnx")
    assert "one --gt for each --video" in fails(*on, "--gt", "a.txt", "--gt", "b.txt")
    assert "does not exist" in fails("--models", stout_model, "--video", "absent.mp4")
    folder = measured[0]
    assert "give a results.json" in fails("compare", folder / "report.md", folder / "results.json")
    assert "--precisions 'fp8'" in fails("sweep", "x.pth", "--precisions", "fp8", "--video", pictures)
    assert "no checkpoint at x.pth" in fails("sweep", "x.pth", "--video", pictures)
    assert "--targets" in fails("tracker", "--targets", "many")


def test_the_tracker_alone_is_timed_on_crowds_of_every_size(bench, tmp_path):
    result = bench("tracker", "--targets", "3,40", "--frames", 20, "-o", tmp_path / "tracker")

    lines = [line.split() for line in result.stdout.splitlines()[1:3]]
    assert [line[0] for line in lines] == ["3", "40"]
    assert int(lines[1][1]) > 30  # nearly all of the forty are tracked
    assert "| 40 |" in (tmp_path / "tracker" / "tracker.md").read_text()


def test_missing_packages_are_named_before_anything_is_measured(stout_model, pictures):
    hide = "import sys; sys.modules['plotly'] = None; from edge_fairmot.cli.main import run; run()"
    result = subprocess.run(
        [sys.executable, "-c", hide, "bench", "--models", stout_model, "--video", pictures],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "pip install 'edge-fairmot[bench]'" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
