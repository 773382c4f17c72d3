"""``track`` as a user runs it, on real input: files, figures, and every way in which it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import jsonschema
import numpy as np
import pytest

from edge_fairmot.benchmarks.mot_text import read_mot_text
from edge_fairmot.sinks import read_json_lines

from .command_line import COMMAND, assert_one_line_error, error_of, run

STREET = "synthetic:frames=12,size=160x96,people=6"
SCHEMA = json.loads((Path(__file__).parents[2] / "edge_fairmot/cli/summary.schema.json").read_text())


def summary_of(output: Path) -> dict:
    """The summary of a run; it must be what the schema says."""
    summary = json.loads((output / "summary.json").read_text())
    jsonschema.validate(summary, SCHEMA)
    return summary


@pytest.fixture(scope="module")
def tracked(trained_model, shared, tmp_path_factory):
    output = tmp_path_factory.mktemp("tracked")
    source = shared / "mot15" / "TUD-Campus"
    result = run(
        "track", source, "--model", trained_model, "-o", output / "out", "--save-detections", output / "cache"
    )
    return output, result


def test_every_file_of_a_real_sequence_is_there_and_right(tracked, shared):
    output, result = tracked[0] / "out", tracked[1]
    rows = read_mot_text(output / "tracks.txt")
    header, frames = read_json_lines(output / "tracks.jsonl")
    frames = list(frames)
    assert (len(frames), header.frame_size) == (71, (640, 480))
    summary = summary_of(output)
    assert (summary["complete"], summary["ended"], summary["frames"]) == (True, "", 71)
    # The counts of this checkpoint; a wider peak suppression finds three fewer.
    assert (summary["detections"], summary["identities"]) == (230, 12)
    assert sum(len(tracks) for _, _, tracks in frames) == len(rows) == 215
    assert len(set(rows.track_id.tolist())) == 12
    assert (output / "video.mp4").stat().st_size > 100_000
    assert "71 of 71" in result.stdout
    assert result.stderr == ""  # no progress where there is no terminal

    truth = shared / "mot15" / "TUD-Campus" / "gt" / "gt.txt"
    (accuracy,) = json.loads(run("eval", output / "tracks.txt", "--gt", truth, "--json").stdout).values()
    # Rounding may move one box of 359 over the threshold on another processor.
    assert accuracy["mota"] == pytest.approx(0.429, abs=0.003)
    assert accuracy["idf1"] == pytest.approx(0.498, abs=0.003)


def test_cached_detections_give_the_same_tracks_byte_for_byte(tracked, shared, tmp_path):
    source = shared / "mot15" / "TUD-Campus"
    run("track", source, "--detections", tracked[0] / "cache", "-o", tmp_path / "out", "--no-video")
    for name in ("tracks.txt", "tracks.jsonl"):
        expected = (tracked[0] / "out" / name).read_bytes()
        assert (tmp_path / "out" / name).read_bytes() == expected
    other = run(
        "track", source, "--detections", tracked[0] / "cache", "-o", tmp_path / "long", "--track-buffer", "90"
    )
    assert "speed" in other.stdout
    complaint = error_of("track", STREET, "--detections", tracked[0] / "cache", "-o", tmp_path / "x")
    assert "give the source that the cache was saved from" in complaint


def test_python_gives_the_same_tracks(tracked, trained_model, shared):
    import edge_fairmot

    expected = [
        tracks.track_id.tolist() for _, _, tracks in read_json_lines(tracked[0] / "out" / "tracks.jsonl")[1]
    ]
    results = edge_fairmot.track(shared / "mot15" / "TUD-Campus", trained_model)
    found = [next(results).tracks.track_id.tolist() for _ in range(20)]
    results.close()
    assert found == expected[:20]


def test_a_schedule_is_followed_and_its_cache_predicts_the_same_frames(small_model, tmp_path):
    arguments = ("track", STREET, "-m", small_model, "--no-video")
    output, again = tmp_path / "out", tmp_path / "again"
    shown = run(
        *arguments, "-o", output, "--detect-every", "3", "--save-detections", tmp_path / "cache"
    ).stdout
    assert "12 of 12 (4 detected, 8 predicted, 0 dropped)" in shown
    summary = summary_of(output)
    assert [summary[key] for key in ("frames", "detected", "predicted", "dropped")] == [12, 4, 8, 0]
    header, frames = read_json_lines(output / "tracks.jsonl")
    assert header.settings["schedule"] == summary["schedule"] == {"every": 3, "target_fps": None}
    predicted = {number: bool(tracks.predicted.any()) for number, _, tracks in frames if len(tracks)}
    assert predicted == {number: number % 3 != 1 for number in predicted}
    # Whether the network ran is in the cache: no flag has to be repeated.
    run(*arguments[:2], "--no-video", "-o", again, "--detections", tmp_path / "cache")
    assert (again / "tracks.txt").read_bytes() == (output / "tracks.txt").read_bytes()


def test_a_file_for_live_works_here_too(small_model, tmp_path):
    config = tmp_path / "shop.toml"
    config.write_text(
        f'source = "{STREET}"\nmodel = "{small_model}"\n[tracker]\npreset = "bytetrack"\n'
        '[web]\nserve = true\n[record]\npath = "kept/"\n[log]\nlevel = "debug"\n'
        '[[zone]]\nname = "hall"\npolygon = [[0, 0], [1, 0], [1, 1], [0, 1]]\n'
    )
    output = tmp_path / "out"
    run(
        "track",
        "--config",
        config,
        "-o",
        output,
        "--set",
        "tracker.track_buffer=7",
        "--score-threshold",
        "0.5",
    )
    summary = summary_of(output)
    assert (summary["tracker"]["track_buffer"], summary["tracker"]["score_threshold"]) == (7, 0.5)
    assert summary["tracker"]["keep_occluded"] is True
    assert set(summary["counts"]["zones"]) == {"hall"}
    assert (output / "events.jsonl").exists()
    assert (output / "gt.txt").read_text().count("\n") > 12
    assert not (tmp_path / "kept").exists()
    crowded = tmp_path / "crowded"
    run("track", STREET, "-m", small_model, "-o", crowded, "--crowded", "--no-video")
    assert summary_of(crowded)["tracker"]["track_low_thresh"] == 0.3


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for index in range(3):
        image = np.random.default_rng(index).integers(0, 256, (60, 80, 3), np.uint8)
        cv2.imwrite(str(folder / f"{index}.png"), image)
    return folder


def test_bad_input_is_one_line(small_model, images, tmp_path):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("not a video\n" * 100)
    (tmp_path / "no-images").mkdir()
    (tmp_path / "file").touch()
    track = ("track", images, "-m", small_model, "-o", tmp_path / "out")
    for source in ("absent.mp4", "empty.mp4", "text.mp4", "no-images"):
        assert source in error_of("track", tmp_path / source, "-m", small_model, "-o", tmp_path / "out")
    assert "source is missing" in error_of("track")
    assert "no model at absent.onnx" in error_of("track", images, "-m", "absent.onnx", "-o", tmp_path / "out")
    assert "cannot use the folder" in error_of(*track[:-1], tmp_path / "file" / "out")
    assert "score_threshold must be between 0 and 1" in error_of(*track, "--score-threshold", "2")
    assert "not 0: use --detect-every 1" in error_of(*track, "--detect-every", "0")
    for target in ("0", "nan"):
        assert "use --target-fps 15" in error_of(*track, "--target-fps", target)
    assert "no runtime called 'tpu'" in error_of(*track, "--runtime", "tpu")
    assert "cpu has no precision to set (bf16)" in error_of(*track, "--inference-precision", "bf16")
    assert "hint 'fast': choose from latency" in error_of(*track, "--hint", "fast")
    assert "preset" in error_of(*track, "--preset", "sort")
    caches = ("--detections", tmp_path / "c", "--save-detections", tmp_path / "d")
    assert "exclude each other" in error_of(*track, *caches)
    assert "not a readable detection cache" in error_of(*track, *caches[:2])


def test_options_reach_the_runtime_and_the_summary(small_model, images, tmp_path):
    pytest.importorskip("openvino", reason="needs openvino")
    output, kept = tmp_path / "out", tmp_path / "kept"
    run(
        *("track", images, "-m", small_model, "-o", output, "--no-video", "--runtime", "openvino"),
        *("--hint", "throughput", "--threads", "1", "--cache-folder", kept),
    )
    assert any(kept.iterdir())
    summary = summary_of(output)
    assert summary["runtime"].startswith("openvino")
    assert summary["runtime_options"] == {
        "device": "",
        "threads": 1,
        "precision": "",
        "hint": "throughput",
        "cache_folder": str(kept),
    }


def test_input_is_never_written_over(small_model, images, tmp_path):
    video = tmp_path / "video.mp4"
    video.write_bytes(b"mine")
    complaint = error_of("track", images, "-m", small_model, "-o", images)
    assert "would write over the input" in complaint
    linked = tmp_path / "out"
    linked.mkdir()
    (linked / "tracks.txt").symlink_to(small_model)
    assert "would write over the input" in error_of("track", images, "-m", small_model, "-o", linked)


def test_brackets_in_names_are_printed_as_they_are(small_model, images, tmp_path):
    output = tmp_path / "out[cam] [/b]"
    result = run("track", images, "-m", small_model, "-o", output, "--no-video")
    assert str(output) in result.stdout.replace("\n", "")


def test_a_failed_start_leaves_earlier_results_alone_and_files_of_another_run_go(
    small_model, images, tmp_path
):
    output = tmp_path / "out"
    run("track", images, "-m", small_model, "-o", output)
    before = (output / "tracks.jsonl").read_bytes()
    # Without PyAV, as where it cannot be installed.
    hide_av = "import sys; sys.modules['av'] = None; from edge_fairmot.cli.main import run; run()"
    command = [sys.executable, "-c", hide_av, "track", images, "-m", small_model, "-o", output, "--overwrite"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert_one_line_error(result, "av is needed to write video")
    assert (output / "tracks.jsonl").read_bytes() == before
    run("track", images, "-m", small_model, "-o", output, "--overwrite", "--no-video")
    assert not (output / "video.mp4").exists()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_leaves_whole_files(still_model, tmp_path, how):
    output = tmp_path / "out"
    # A shell that starts the tests in the background has them ignore Ctrl-C, children included.
    heeding = ("env", "--default-signal=INT,HUP", *COMMAND)
    process = subprocess.Popen(
        [*heeding, "track", "synthetic:frames=endless,size=64x64,people=1", "-m", still_model, "-o", output],
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
    summary = summary_of(output)
    assert (summary["complete"], summary["ended"]) == (False, "interrupted")
    assert len(list(read_json_lines(lines)[1])) >= summary["frames"] > 10


def test_an_exception_without_text_is_no_complete_run(small_model, tmp_path, monkeypatch):
    from edge_fairmot.sinks import MotTextSink

    def fail(self, result):
        if result.frame.number == 5:
            raise AssertionError
        return ""

    monkeypatch.setattr(MotTextSink, "_text", fail)
    with pytest.raises(AssertionError):
        run("track", STREET, "-m", small_model, "-o", tmp_path / "out", "--no-video")
    summary = summary_of(tmp_path / "out")
    assert (summary["complete"], summary["ended"], summary["frames"]) == (False, "AssertionError", 4)


def test_a_full_disk_is_named_and_the_summary_is_honest(small_model, disk_of):
    folder = disk_of("64k")
    result = run(
        "track", "synthetic:frames=80,size=320x240", "-m", small_model, "-o", folder / "out", status=1
    )
    errors = result.stderr.strip().splitlines()
    assert errors[-1].startswith("error: ")
    assert "No space left on device" in errors[-1]
    assert "free space" in errors[-1]
    assert "frames" in result.stdout
    assert not list((folder / "out").glob(".*.partial"))
    assert len(list(read_json_lines(folder / "out" / "tracks.jsonl")[1])) > 0


def test_a_terminal_sees_frames_and_speed(small_model, tmp_path):
    import pty

    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "track", STREET, "-m", str(small_model), "-o", str(tmp_path / "out"), "--no-video"],
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
    for word in (b"/12", b"fps", b"tracks"):
        assert word in seen


def test_options_of_the_tracker_reach_it(tracked, shared, tmp_path):
    source, cache = shared / "mot15" / "TUD-Campus", tracked[0] / "cache"

    def track(name: str, *flags: object) -> Path:
        run("track", source, "--detections", cache, "--no-video", "-o", tmp_path / name, *flags)
        return tmp_path / name

    plain, followed = track("plain"), track("followed", "--moving-camera", "--crops", tmp_path / "crops")
    text = (plain / "tracks.txt").read_bytes()
    assert (followed / "tracks.txt").read_bytes() == text  # the camera does not move
    assert summary_of(followed)["tracker"]["camera_motion"] == "sparse"
    assert (summary_of(followed)["unknown_motion"], "camera_motion" in summary_of(plain)["tracker"]) == (
        0,
        False,
    )
    ids = np.unique(read_mot_text(plain / "tracks.txt").track_id)
    assert sorted(int(path.stem) for path in (tmp_path / "crops").iterdir()) == ids.tolist()
    ignored = track("ignored", "--ignore", "all:0,0;1,0;1,1;0,1")
    assert ((ignored / "tracks.txt").read_bytes(), summary_of(ignored)["detections"]) == (b"", 0)
    low = summary_of(track("low", "--preset", "low-fps", "--set", "tracker.motion_rate=20"))["tracker"]
    assert (low["confirm_by_embedding"], low["motion_rate"], low["track_buffer"]) == (True, 20.0, 30)
    assert "low-fps, crowded, not 'sort'" in error_of("track", source, "--preset", "sort")
    assert "off, sparse, not 'dense'" in error_of("track", source, "--set", "tracker.camera_motion=dense")
