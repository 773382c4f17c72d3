"""The commands of the README, run as a user runs them, on real input."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_fairmot.benchmarks.mot_text import read_mot_text
from edge_fairmot.sinks import read_json_lines

from .command_line import COMMAND, assert_one_line_error, run


@pytest.fixture(scope="module")
def tracked(trained_model, shared, tmp_path_factory):
    output = tmp_path_factory.mktemp("tracked") / "TUD-Campus"
    result = run("track", shared / "mot15" / "TUD-Campus", "--model", trained_model, "-o", output)
    return output, result


def test_track_writes_every_file_of_a_run(tracked):
    output, result = tracked
    rows = read_mot_text(output / "tracks.txt")
    header, frames = read_json_lines(output / "tracks.jsonl")
    frames = list(frames)
    assert len(frames) == 71
    assert header.frame_size == (640, 480)
    assert sum(len(tracks) for _, _, tracks in frames) == len(rows) > 150
    summary = json.loads((output / "summary.json").read_text())
    assert (summary["complete"], summary["frames"]) == (True, 71)
    assert summary["identities"] == len(set(rows.track_id.tolist()))
    assert (output / "video.mp4").stat().st_size > 100_000
    assert "71 of 71" in result.stdout
    assert result.stderr == ""  # no progress where there is no terminal


def test_eval_gives_the_figures_of_the_real_sequence(tracked, shared):
    output, _ = tracked
    truth = shared / "mot15" / "TUD-Campus" / "gt" / "gt.txt"
    figures = json.loads(run("eval", output / "tracks.txt", "--gt", truth, "--json").stdout)
    (accuracy,) = figures.values()
    # Rounding may move one box of 359 over the threshold on another processor.
    assert accuracy["mota"] == pytest.approx(0.429, abs=0.006)
    assert accuracy["idf1"] == pytest.approx(0.498, abs=0.006)
    assert "42.9" in run("eval", output / "tracks.txt", "--gt", truth).stdout


def test_the_readme_s_python_gives_the_same_tracks(tracked, trained_model, shared):
    from contextlib import closing

    from edge_fairmot import Pipeline, Tracker, TrackerConfig
    from edge_fairmot.runtimes import open_runtime
    from edge_fairmot.sources import open_source

    output, _ = tracked
    expected = [tracks.track_id.tolist() for _, _, tracks in read_json_lines(output / "tracks.jsonl")[1]]
    with (
        open_source(shared / "mot15" / "TUD-Campus") as source,
        closing(open_runtime(trained_model)) as runtime,
    ):
        tracker = Tracker(TrackerConfig(frame_rate=source.info.frame_rate))
        found = [tracks.track_id.tolist() for _, tracks in Pipeline(source, runtime, tracker)]
    assert found == expected


def test_runtimes_lists_the_cpu():
    assert "onnxruntime" in run("runtimes").stdout


def test_version_and_help():
    assert run("--version").stdout.startswith("edge-fairmot 0.")
    assert "track" in run("--help").stdout


@pytest.fixture
def picture_folder(tmp_path):
    import cv2
    import numpy as np

    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(3):
        picture = np.random.default_rng(index).integers(0, 256, (60, 80, 3), np.uint8)
        cv2.imwrite(str(folder / f"{index}.png"), picture)
    return folder


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (lambda folder: folder / "absent.mp4", ["absent.mp4", "does not exist"]),
        (lambda folder: folder / "empty.mp4", ["empty.mp4"]),
        (lambda folder: folder / "text.mp4", ["text.mp4"]),
        (lambda folder: folder / "no-pictures", ["no-pictures"]),
    ],
)
def test_a_source_that_is_none_is_one_line(small_model, tmp_path, make, parts):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("not a video\n" * 100)
    (tmp_path / "no-pictures").mkdir()
    result = run("track", make(tmp_path), "-m", small_model, "-o", tmp_path / "out", status=None)
    assert_one_line_error(result, *parts)


def test_other_bad_input_is_one_line(small_model, picture_folder, tmp_path):
    def fails(*arguments):
        return run(*arguments, status=None)

    (tmp_path / "file").touch()
    assert_one_line_error(fails("track", picture_folder, "-m", "absent.onnx"), "no model at absent.onnx")
    unwritable = fails("track", picture_folder, "-m", small_model, "-o", tmp_path / "file" / "out")
    assert_one_line_error(unwritable, "cannot use the folder")
    threshold = fails("track", picture_folder, "-m", small_model, "--score-threshold", "2")
    assert_one_line_error(threshold, "score_threshold must be between 0 and 1")
    interval = fails("track", picture_folder, "-m", small_model, "--detect-every", "0")
    assert_one_line_error(interval, "not 0", "--detect-every 1")
    for target in ("0", "-5", "nan"):
        speed = fails("track", picture_folder, "-m", small_model, "--target-fps", target)
        assert_one_line_error(speed, f"not {float(target)}", "--target-fps 15")
    unknown = fails("track", picture_folder, "-m", small_model, "--runtime", "tpu")
    assert_one_line_error(unknown, "no runtime called 'tpu'")
    assert_one_line_error(
        fails("eval", tmp_path / "absent.txt", "--gt", tmp_path / "absent.txt"), "absent.txt"
    )


def test_a_schedule_is_followed_and_told(small_model, shared, tmp_path):
    source, output = shared / "mot15" / "TUD-Campus", tmp_path / "out"
    shown = run("track", source, "-m", small_model, "-o", output, "--no-video", "--detect-every", "3").stdout
    assert "71 of 71 (24 detected, 47 predicted, 0 dropped)" in shown
    summary = json.loads((output / "summary.json").read_text())
    assert [summary[key] for key in ("frames", "detected", "predicted", "dropped")] == [71, 24, 47, 0]
    assert summary["schedule"] == {"every": 3, "target_fps": None}
    header, frames = read_json_lines(output / "tracks.jsonl")
    assert header.settings["schedule"] == summary["schedule"]
    predicted = {number: bool(tracks.predicted.any()) for number, _, tracks in frames if len(tracks)}
    assert len(predicted) > 30
    assert predicted == {number: number % 3 != 1 for number in predicted}


def test_a_video_that_ends_early_leaves_what_it_had(small_model, shared, tmp_path):
    whole = shared / "videos" / "one-by-one-432p.mp4"
    cut = tmp_path / "cut.mp4"
    subprocess.run(
        [sys.executable, Path(__file__).with_name("cut_video.py"), whole, cut, "60", "0.6"], check=True
    )
    result = run("track", cut, "-m", small_model, "-o", tmp_path / "out", "--no-video", status=None)
    assert_one_line_error(result, "cut.mp4", "of 60 frames")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert not summary["complete"]
    assert 10 < summary["frames"] < 60
    _, frames = read_json_lines(tmp_path / "out" / "tracks.jsonl")
    assert len(list(frames)) == summary["frames"]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_whole_files(small_model, shared, tmp_path, how):
    output = tmp_path / "out"
    video = shared / "videos" / "one-by-one-432p.mp4"
    # A shell that starts the tests in the background has them ignore Ctrl-C, children included.
    heeding = ("env", "--default-signal=INT", *COMMAND)
    process = subprocess.Popen(
        [*heeding, "track", str(video), "-m", str(small_model), "-o", str(output)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    lines = output / "tracks.jsonl"
    while not (lines.exists() and lines.read_text().count("\n") > 20):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(how)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in errors
    summary = json.loads((output / "summary.json").read_text())
    assert summary["ended"] == "interrupted"
    assert len(list(read_json_lines(lines)[1])) >= summary["frames"] > 10


def test_input_is_never_written_over(small_model, picture_folder, shared, tmp_path):
    video = tmp_path / "video.mp4"
    video.write_bytes((shared / "mot15" / "TUD-Campus" / "TUD-Campus.mp4").read_bytes())
    before = video.read_bytes()
    result = run("track", video, "-m", small_model, "-o", tmp_path, status=None)
    assert_one_line_error(result, "would write over the input", "video.mp4")
    assert video.read_bytes() == before
    result = run("track", picture_folder, "-m", small_model, "-o", picture_folder, status=None)
    assert_one_line_error(result, "would write over the input")


def test_brackets_in_names_are_printed_as_they_are(small_model, picture_folder, tmp_path):
    output = tmp_path / "out[cam] [/b]"
    result = run("track", picture_folder, "-m", small_model, "-o", output)
    assert str(output) in result.stdout.replace("\n", "")


def test_a_failed_start_leaves_earlier_results_alone(small_model, picture_folder, tmp_path):
    output = tmp_path / "out"
    run("track", picture_folder, "-m", small_model, "-o", output)
    before = (output / "tracks.jsonl").read_bytes()
    # Without PyAV, as on a device that was installed without the extra.
    hide_av = "import sys; sys.modules['av'] = None; from edge_fairmot.cli.main import run; run()"
    result = subprocess.run(
        [sys.executable, "-c", hide_av, "track", picture_folder, "-m", small_model, "-o", output],
        capture_output=True,
        text=True,
        check=False,
    )
    assert_one_line_error(result, "pip install 'edge-fairmot[video]'")
    assert (output / "tracks.jsonl").read_bytes() == before
    run("track", picture_folder, "-m", small_model, "-o", output, "--no-video")
    assert not (output / "video.mp4").exists()  # it would belong to another run


def test_a_full_disk_is_named_and_the_summary_is_honest(small_model, shared, tmp_path):
    small_disk = tmp_path / "disk"
    small_disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small_disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a small tmpfs")
    try:
        video = shared / "videos" / "one-by-one-432p.mp4"
        result = run("track", video, "-m", small_model, "-o", small_disk / "out", status=None)
        errors = result.stderr.strip().splitlines()
        assert result.returncode == 1
        assert errors[-1].startswith("error: ")
        assert "No space left on device" in errors[-1]
        assert "free space" in errors[-1]
        assert "frames" in result.stdout
        assert not (small_disk / "out" / ".summary.json.partial").exists()
        _, frames = read_json_lines(small_disk / "out" / "tracks.jsonl")
        assert len(list(frames)) > 0
    finally:
        subprocess.run(["umount", small_disk], check=True)


def test_a_pair_given_twice_is_refused(tmp_path):
    results = tmp_path / "tracks.txt"
    results.write_text("1,1,0,0,10,10,1,-1,-1,-1\n")
    result = run("eval", results, results, "--gt", results, "--gt", results, status=None)
    assert_one_line_error(result, "given twice")


def test_missing_packages_are_listed_with_their_pip_line():
    hide = "import sys; sys.modules['onnxruntime'] = None; from edge_fairmot.cli.main import run; run()"
    result = subprocess.run(
        [sys.executable, "-c", hide, "runtimes"], capture_output=True, text=True, check=True
    )
    assert "edge-fairmot[cpu]" in result.stdout


def test_a_terminal_sees_frames_speed_and_live_identities(small_model, shared, tmp_path):
    import pty

    video = shared / "mot15" / "TUD-Campus" / "TUD-Campus.mp4"
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "track", str(video), "-m", str(small_model), "-o", str(tmp_path / "out"), "--no-video"],
        stdout=subprocess.DEVNULL,
        stderr=follower,
        env=os.environ | {"COLUMNS": "120", "TERM": "xterm"},
    )
    os.close(follower)
    seen = b""
    while True:
        try:
            part = os.read(leader, 4096)
        except OSError:  # the terminal is gone with the process
            break
        if not part:
            break
        seen += part
    os.close(leader)
    assert process.wait(timeout=60) == 0
    for word in (b"/71", b"fps", b"live ids"):
        assert word in seen
