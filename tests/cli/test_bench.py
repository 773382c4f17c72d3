"""``bench`` and its commands on a real file and real frames."""

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

from edge_fairmot.benchmarks.correctness import CachedSource
from edge_fairmot.benchmarks.results import read_results, write_results
from edge_fairmot.cli import bench_sweep
from edge_fairmot.cli.bench_sweep import list_variants
from edge_fairmot.errors import ConversionError, InvalidInputError

from .command_line import COMMAND, error_of, run

FRAMES = 50
"""The least that a comparison judges."""

_SPEC = importlib.util.spec_from_file_location("moody", Path(__file__).parents[1] / "moody_runtime.py")
moody = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(moody)


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory):
    """The moody runtime, for the processes of the workers."""
    folder = tmp_path_factory.mktemp("site")
    moody.install(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        yield


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Noise that drifts: the detections of a network of random weights move with it."""
    folder = tmp_path_factory.mktemp("pictures")
    noise = np.random.default_rng(1).integers(0, 256, (40, 80, 3), np.uint8)
    noise = cv2.resize(noise, (320, 160), interpolation=cv2.INTER_LINEAR)
    for n in range(FRAMES):
        cv2.imwrite(str(folder / f"{n:03}.png"), noise[4:104, n : n + 200])
    return folder


@pytest.fixture(scope="module")
def truth(people_model, pictures, tmp_path_factory):
    """Ground truth: the tracks of the file itself, so that it scores well."""
    folder = tmp_path_factory.mktemp("truth")
    # With as many threads as the benchmark: another order of sums moves a peak of random weights.
    settings = ("--no-video", "--score-threshold", 0.3, "--threads", 1)
    run("track", pictures, "-m", people_model, "-o", folder, *settings)
    lines = [line.split(",") for line in (folder / "tracks.txt").read_text().splitlines()]
    path = folder / "gt.txt"
    path.write_text("".join(",".join([*line[:6], "1", *line[7:]]) + "\n" for line in lines))
    return path


@pytest.fixture(scope="module")
def options(pictures):
    return (
        *("--video", pictures, "--max-frames", FRAMES, "--score-threshold", 0.3),
        *("--live-seconds", 0.4, "--threads", 1, "--worst-frames", 2),
    )


@pytest.fixture(scope="module")
def measured(people_model, truth, options, tmp_path_factory):
    """Two files, as a shell writes ``*.onnx``, one of them broken, on runtimes of which one dies."""
    pytest.importorskip("scipy")
    folder = tmp_path_factory.mktemp("measured")
    broken = folder / "broken.onnx"
    broken.write_bytes(b"\x08\x01garbage")
    result = run(
        *("bench", "--models", people_model, broken, "--runtimes", "cpu,moody:wrong,moody:dies"),
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
    speed = next(entry for entry in results.entries if entry.done).speed

    assert len(speed.times) == FRAMES
    assert speed.stages["inference"].interval.low <= speed.stages["inference"].p50
    assert speed.stages["frame"].p50 > sum(speed.stages[s].p50 for s in ("inference", "association")) * 0.8
    assert speed.throughput.interval.low <= speed.throughput.fps <= speed.throughput.interval.high
    assert len(speed.throughput.frames) >= 6
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


def test_reports_and_caches_are_left(measured):
    folder, result, results = measured

    page, markdown = ((folder / name).read_text() for name in ("report.html", "report.md"))
    for text in (page, markdown, result.stdout):
        assert "moody:wrong" in text
    assert "SIGKILL" in page
    assert "SIGKILL" in markdown
    assert page.count("data:image/jpeg") >= 2
    assert str(folder / "report.html") in result.stdout.replace("\n", "")
    assert json.loads((folder / "results.json").read_text())["schema_version"] == 2
    assert len(CachedSource.read(folder / "detections" / "small.onnx-on-cpu-1", 0.3)) == FRAMES
    assert results.sources[0].frames == FRAMES


def test_a_slowed_file_is_caught(measured, people_model, truth, options, tmp_path):
    """The same file, with everything computed eight times."""
    before, after = measured[0] / "results.json", tmp_path / "after" / "results.json"
    command = ("bench", "--models", people_model, "--runtimes", "moody:wrong", "-o", after.parent, *options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(moody.REPEATS, "8")
        run(*command, "--gt", truth)

    result = run("bench", "compare", before, after, status=1)
    assert "slower" in result.stdout
    assert "1 regression beyond noise" in result.stdout  # by the clock or, on a busy machine, the processor
    back = run("bench", "compare", after, before).stdout
    assert "faster" in back
    assert "no regression seen" in back
    assert run("bench", "compare", before, before).stdout.rstrip().endswith("no difference seen")


def test_an_interrupted_run_leaves_a_report_that_says_so(people_model, options, tmp_path):
    output = tmp_path / "out"
    process = subprocess.Popen(
        [
            *("env", "--default-signal=INT", *COMMAND, "bench", "--models", people_model),
            *("--runtimes", "moody,cpu", "-o", output, *map(str, options)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {moody.REPEATS: "20"},
        start_new_session=True,
    )
    frames = output / "detections" / "small.onnx-on-cpu-1" / "frames.npy"
    deadline = time.monotonic() + 120
    while not (frames.exists() and len(frames.read_bytes()) >= 128 + 24 * 4):
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
    assert "ended early (interrupted)" in (output / "report.html").read_text()


def test_a_sweep_makes_measures_and_resumes(people_checkpoint, options, tmp_path):
    command = (
        *("bench", "sweep", people_checkpoint, "--sizes", "96x64", "--precisions", "fp32", "--naive"),
        *(
            "--runtimes",
            "cpu,moody:unwilling",
            "-o",
            tmp_path,
            *options,
            "--max-frames",
            6,
            "--live-seconds",
            0,
        ),
    )
    path = tmp_path / "results.json"
    result = run(*command)
    before = read_results(path)

    done = {entry.model.name: entry.model for entry in before.entries if entry.done}
    assert set(done) == {"lively-96x64-fp32-native.onnx", "lively-96x64-naive.onnx"}
    assert done["lively-96x64-naive.onnx"].lowering == "gridsample"
    assert "late-heads" not in done["lively-96x64-naive.onnx"].rewrites
    assert {"late-heads", "shuffle-upsampling"} <= set(done["lively-96x64-fp32-native.onnx"].rewrites)
    failed = {entry.name: entry.failure for entry in before.entries if not entry.done}
    assert len(failed) == 2
    assert failed["lively-96x64-fp32-native.onnx on moody:unwilling"].startswith("moody is unwilling")
    assert "moody is unwilling" in result.stderr

    # As an interruption would leave it: one row without its figures.
    made = {file: file.stat().st_mtime_ns for file in (tmp_path / "models").iterdir()}
    (missing,) = (entry.name for entry in before.entries if entry.done and entry.name != before.reference)
    kept = tuple(entry for entry in before.entries if entry.name != missing)
    write_results(path, replace(before, entries=kept))
    run(*command)

    after = {entry.name: entry for entry in read_results(path).entries}
    assert all(after[entry.name] == entry for entry in kept if entry.done)
    assert after[missing].done
    assert after[missing].group == 1
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "models").iterdir()} == made
    assert "choose another folder" in error_of(*command, "--max-frames", 30)


class Blank:
    """A benchmark in which nothing is measured yet."""

    def __init__(self):
        self.notes, self.failures = [], []

    def is_done(self, spec):
        return False

    def add_failure(self, model, runtime, reason):
        self.failures.append((model.name, runtime, reason))


def test_a_plain_student_is_made_once_and_found_again(lively_network, tmp_path, monkeypatch):
    import torch

    from edge_fairmot.convert import GraphOptions, NetworkSpec, build_network, convert
    from edge_fairmot.convert.network import deformable_layers

    spec = NetworkSpec(base_channels=4)
    spec = replace(spec, plain_layers=frozenset(deformable_layers(build_network(spec))))
    student = tmp_path / "student.pth"
    torch.save(lively_network(spec).state_dict(), student)
    made = []

    def convert_here(variant, checkpoint, path):
        made.append(path.name)
        if variant.size == (100, 64):
            raise ConversionError("sizes are multiples of 32")
        late = variant.kind != bench_sweep.NAIVE
        rewrites = {"late_heads": late, "shuffle_upsampling": late}
        convert(checkpoint, path, GraphOptions(variant.size, variant.lowering, **rewrites))

    monkeypatch.setattr(bench_sweep, "_convert", convert_here)
    variants = list_variants("96x64,100x64", "fp32", "native,im2col", naive=True, calibration="")
    group, wrong = variants
    assert [variant.lowering for variant in group] == ["gridsample", "native", "im2col"]

    for _ in range(2):  # a sweep, and one that resumes it
        benchmark = Blank()
        names = [s.model.name for s in bench_sweep._specs(benchmark, student, group, ("cpu",), tmp_path)]

        assert names == made == ["student-96x64-naive.onnx", "student-96x64-fp32-native.onnx"]
        (note,) = benchmark.notes
        assert "no deformable layers" in note

    assert list(bench_sweep._specs(benchmark, student, wrong[:1], ("cpu",), tmp_path)) == []
    reason = "not converted: sizes are multiples of 32"
    assert benchmark.failures == [("student-100x64-naive.onnx", "cpu", reason)]


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


def test_bad_input_is_one_line(people_model, pictures, measured, tmp_path):
    on = ("bench", "--models", people_model, "--video", pictures, "-o", tmp_path / "out")
    report, results = measured[0] / "report.md", measured[0] / "results.json"
    for arguments, words in (
        (("bench",), "give --video"),  # of models there is always one
        (("bench", "--models", people_model), "give --video"),
        (("bench", "--models", "absent.onnx", "--video", pictures), "no model at absent.onnx"),
        (("bench", "--models", people_model, people_model, "--video", pictures), "given twice"),
        (("bench", "--models", people_model, "--video", "absent.mp4"), "does not exist"),
        ((*on, "--max-frames", 1), "--max-frames must be at least 2"),
        ((*on, "--score-threshold", 2), "--score-threshold must be between"),
        ((*on, "--reference", "other.onnx"), "--reference"),
        ((*on, "--gt", "a.txt", "--gt", "b.txt"), "one --gt for each --video"),
        (("bench", "compare", report, results), "give a results.json"),
        (("bench", "sweep", "x.pth", "--precisions", "fp8", "--video", pictures), "--precisions 'fp8'"),
        (("bench", "sweep", "x.pth", "--video", pictures), "no checkpoint at x.pth"),
        (("bench", "tracker", "--targets", "many"), "--targets"),
    ):
        assert words in error_of(*arguments)
    failed = run(*on, "--runtimes", "tpu", status=1)
    assert "error: nothing could be measured" in failed.stderr


def test_the_tracker_alone_is_timed_on_crowds_of_every_size(tmp_path):
    result = run("bench", "tracker", "--targets", "3,40", "--timed-frames", 20, "-o", tmp_path / "tracker")

    lines = [line.split() for line in result.stdout.splitlines()[1:3]]
    assert [line[0] for line in lines] == ["3", "40"]
    assert int(lines[1][1]) > 30  # nearly all of the forty are tracked
    assert "| 40 |" in (tmp_path / "tracker" / "tracker.md").read_text()


def test_missing_packages_are_named_before_anything_is_measured(people_model, pictures, monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly", None)

    line = error_of("bench", "--models", people_model, "--video", pictures)
    assert "pip install 'edge-fairmot[bench]'" in line
