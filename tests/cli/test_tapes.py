"""Recording a run and playing it again, by the commands of the README."""

import json
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from edge_fairmot.sinks import read_json_lines
from edge_fairmot.tape import read_tape, spool_folder

from .command_line import COMMAND, assert_one_line_error, run

FRAMES = 12


def track(*arguments, status: int | None = 0):
    return run("track", *arguments, "--no-video", status=status)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Noise that drifts: what a network of random weights takes for people moves with it."""
    folder = tmp_path_factory.mktemp("pictures")
    noise = np.random.default_rng(1).integers(0, 256, (30, 60, 3), np.uint8)
    noise = cv2.resize(noise, (240, 120), interpolation=cv2.INTER_LINEAR)
    for n in range(FRAMES):
        cv2.imwrite(str(folder / f"{n}.png"), noise[4:104, n : n + 200])
    return folder


@pytest.fixture(scope="module")
def recorded(small_model, pictures, tmp_path_factory):
    """Tape and results of a run with the network."""
    folder = tmp_path_factory.mktemp("recorded")
    tape = folder / "tapes" / "tape.npz"
    track(pictures, "-m", small_model, "-o", folder, "--record", tape, "--score-threshold", "0.3")
    return tape, folder


def replay(source, tape, output, *arguments, status: int | None = 0):
    return track(
        *(source, "-m", tape, "--runtime", "replay", "-o", output, "--score-threshold", "0.3"),
        *arguments,
        status=status,
    )


def test_a_replay_writes_the_same_tracks_byte_for_byte(recorded, pictures, tmp_path):
    tape, folder = recorded
    expected = (folder / "tracks.txt").read_bytes()
    assert expected.count(b"\n") > FRAMES
    for name, source in (("pictures", pictures), ("tape", tape)):
        replay(source, tape, tmp_path / name)
        assert (tmp_path / name / "tracks.txt").read_bytes() == expected
    summary = json.loads((tmp_path / "tape" / "summary.json").read_text())
    assert (summary["runtime"], summary["complete"], summary["frames"]) == ("replay", True, FRAMES)


def test_the_tracker_is_tuned_without_the_network(recorded, small_model, pictures, tmp_path):
    tape, folder = recorded
    settings = ("--score-threshold", "0.5", "--track-buffer", "2")
    track(pictures, "-m", small_model, "-o", tmp_path / "network", *settings)
    track(tape, "-m", tape, "--runtime", "replay", "-o", tmp_path / "tape", *settings)
    tracks = (tmp_path / "tape" / "tracks.txt").read_bytes()
    assert tracks == (tmp_path / "network" / "tracks.txt").read_bytes()
    assert tracks != (folder / "tracks.txt").read_bytes()


def test_in_crowds_low_scores_are_recorded_and_hold_tracks(small_model, pictures, tmp_path):
    thresholds = ("--score-threshold", "0.99", "--crowded")
    written_to = ("-o", tmp_path / "network", "--record", tmp_path / "tape.npz")
    track(pictures, "-m", small_model, *written_to, *thresholds)
    tape = read_tape(tmp_path / "tape.npz")
    assert tape.header.score_threshold == 0.3
    assert (tape.score <= 0.99).any()
    written = []
    for name, more in (("crowded", thresholds), ("not", thresholds[:2])):
        track(tmp_path / "tape.npz", "-o", tmp_path / name, *more)
        written.append((tmp_path / name / "tracks.txt").read_bytes())
    assert written[0] == (tmp_path / "network" / "tracks.txt").read_bytes()
    assert written[0] != written[1]


def test_a_replay_can_be_recorded(recorded, tmp_path):
    tape, _ = recorded
    replay(tape, tape, tmp_path / "out", "--record", tmp_path / "again.npz")
    again, first = read_tape(tmp_path / "again.npz"), read_tape(tape)
    assert again.embedding.tobytes() == first.embedding.tobytes()
    assert again.header.source == str(tape)


def test_a_tape_that_ends_first_leaves_what_it_had(recorded, pictures, tmp_path):
    tape, folder = recorded
    longer = tmp_path / "longer"
    longer.mkdir()
    for n in range(FRAMES + 2):
        (longer / f"{n}.png").write_bytes((pictures / f"{min(n, FRAMES - 1)}.png").read_bytes())
    result = replay(longer, tape, tmp_path / "out", status=None)
    assert_one_line_error(result, f"ends after {FRAMES} frames and one more was asked for", str(pictures))
    assert (tmp_path / "out" / "tracks.txt").read_bytes() == (folder / "tracks.txt").read_bytes()


def test_a_run_that_the_tape_is_not_of_is_one_line(recorded, pictures, tmp_path):
    tape, _ = recorded
    lower = replay(tape, tape, tmp_path / "out", "--score-threshold", "0.2", status=None)
    assert_one_line_error(lower, "above 0.3 only, not above 0.2", "and no --crowded")
    other = tmp_path / "other"
    other.mkdir()
    cv2.imwrite(str(other / "1.png"), np.zeros((90, 200, 3), np.uint8))
    assert_one_line_error(replay(other, tape, tmp_path / "out", status=None), "is 200x90 pixels")
    assert not (tmp_path / "out").exists()


def test_a_tape_plays_itself(recorded, pictures, tmp_path):
    tape, folder = recorded
    for name, arguments in (
        ("tape", (tape,)),
        ("both", (tape, "-m", tape)),
        ("model", (pictures, "-m", tape)),
    ):
        track(*arguments, "-o", tmp_path / name, "--score-threshold", "0.3")
        assert (tmp_path / name / "tracks.txt").read_bytes() == (folder / "tracks.txt").read_bytes()


def test_no_network_looks_at_the_grey_pictures_of_a_tape(recorded, small_model, tmp_path):
    tape, _ = recorded
    result = track(tape, "-m", small_model, "-o", tmp_path / "out", status=None)
    assert_one_line_error(result, f"{tape} is a tape and has no pictures", "leave --model out")
    assert not (tmp_path / "out").exists()


def test_frames_that_are_not_those_of_the_tape_end_the_run(recorded, pictures, tmp_path):
    tape, _ = recorded
    with np.load(tape) as archive:
        changed = dict(archive)
    changed["frame_index"] *= 2  # as of a run that looked at every other frame
    np.savez(tmp_path / "other.npz", **changed)
    result = replay(pictures, tmp_path / "other.npz", tmp_path / "out", status=None)
    assert_one_line_error(result, "in frame 2, where the tape has those of frame 3", "--detect-every")
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["frames"] == 1


def test_tapes_are_kept_from_harm(recorded, small_model, pictures, tmp_path):
    tape, _ = recorded
    before = tape.read_bytes()
    over = replay(tape, tape, tmp_path / "out", "--record", tape, status=None)
    assert_one_line_error(over, "would write over the input", "tape.npz")
    named = track(pictures, "-m", small_model, "-o", tmp_path / "out", "--record", "tape.zip", status=None)
    assert_one_line_error(named, "ends in .npz")
    (tmp_path / "file").touch()
    unwritable = tmp_path / "file" / "tape.npz"
    failed = track(pictures, "-m", small_model, "-o", tmp_path / "out", "--record", unwritable, status=None)
    assert_one_line_error(failed, "cannot be written")
    assert tape.read_bytes() == before


def start(*arguments):
    # A shell that starts the tests in the background has them ignore Ctrl-C, children included.
    return subprocess.Popen(
        ["env", "--default-signal=INT", *COMMAND, "track", *map(str, arguments), "--no-video"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_frames(process, output, count):
    deadline = time.monotonic() + 60
    lines = output / "tracks.jsonl"
    while not (lines.exists() and lines.read_text().count("\n") > count):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_a_whole_tape(small_model, shared, tmp_path, how):
    video, output, tape = shared / "videos" / "one-by-one-432p.mp4", tmp_path / "out", tmp_path / "tape.npz"
    process = start(video, "-m", small_model, "-o", output, "--record", tape)
    wait_for_frames(process, output, 10)
    process.send_signal(how)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    summary = json.loads((output / "summary.json").read_text())
    assert len(read_tape(tape)) >= summary["frames"] > 5
    assert not spool_folder(tape).exists()
    # What was tracked before comes out again.
    replayed = track(tape, "-m", tape, "--runtime", "replay", "-o", tmp_path / "again")
    assert replayed.stderr == ""
    whole = (output / "tracks.txt").read_bytes()
    assert (tmp_path / "again" / "tracks.txt").read_bytes()[: len(whole)] == whole


def test_a_killed_run_can_be_finished(small_model, shared, tmp_path):
    video, output, tape = shared / "videos" / "one-by-one-432p.mp4", tmp_path / "out", tmp_path / "tape.npz"
    process = start(video, "-m", small_model, "-o", output, "--record", tape)
    wait_for_frames(process, output, 10)
    process.kill()
    process.communicate()
    result = track(tape, "-m", tape, "--runtime", "replay", "-o", tmp_path / "again", status=None)
    assert_one_line_error(result, "does not exist")  # as a source
    result = track(video, "-m", tape, "--runtime", "replay", "-o", tmp_path / "again", status=None)
    assert_one_line_error(result, "is not finished", "finish_tape")
    command = result.stderr.split(": in the second case ")[1].replace("python3", sys.executable)
    subprocess.run(command, shell=True, check=True)
    _, frames = read_json_lines(output / "tracks.jsonl")
    assert len(read_tape(tape)) >= len(list(frames)) >= 10
