"""A run says ``complete`` where it reached its end and its files are there, and two runs never mix."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from edge_fairmot.errors import SinkError
from edge_fairmot.sinks import MotTextSink, read_json_lines
from edge_fairmot.system import FileLock

from ..cli.command_line import COMMAND, error_of, run  # noqa: TID252

STREET = "synthetic:frames=6,size=64x64,people=1"
ENDLESS = "synthetic:frames=endless,size=64x64,people=1"


@pytest.fixture
def track(still_model: Path) -> tuple:
    return ("track", STREET, "-m", still_model, "--no-video", "-o")


def summary_of(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text())


def at_frame_3(monkeypatch, action) -> None:
    """Do something while a run writes its third frame."""
    write = MotTextSink.write

    def act_and_write(self, result):
        if result.frame.number == 3:
            action()
        write(self, result)

    monkeypatch.setattr(MotTextSink, "write", act_and_write)


@pytest.mark.parametrize("error", [MemoryError(), TimeoutError(), RuntimeError(), AssertionError()])
def test_an_exception_without_text_is_the_reason(track, tmp_path, monkeypatch, error):
    def fail():
        raise error

    at_frame_3(monkeypatch, fail)
    try:
        assert run(*track, tmp_path / "out", status=None).returncode == 1
    except type(error):
        pass
    summary = summary_of(tmp_path / "out")
    assert (summary["complete"], summary["ended"], summary["frames"]) == (False, type(error).__name__, 2)


@pytest.mark.parametrize(
    ("redirection", "warning"),
    [
        (">&-", ""),
        (">/dev/full", "could not be printed (No space left on device)"),
        ("| true", "could not be printed"),
        ("", ""),
    ],
    ids=["closed", "full", "closed pipe", "ASCII"],
)
def test_without_a_usable_stdout_the_run_is_complete_and_so_are_its_files(
    track, tmp_path, redirection, warning
):
    command = " ".join(f"'{word}'" for word in (*COMMAND, *track, tmp_path / "out"))
    line = "--line 'Tür 入口:0,0.5,1,0.5'"
    result = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} {line} {redirection}"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    if "true" not in redirection:  # the pipe may take the report before it is closed
        assert warning in result.stderr
    if not redirection:
        assert r"T\xfcr \u5165\u53e3" in result.stdout
    summary = summary_of(tmp_path / "out")
    assert (summary["complete"], summary["frames"], list(summary["counts"]["lines"])) == (
        True,
        6,
        ["Tür 入口"],
    )


@pytest.mark.parametrize("fault", ["delete folder", "rename folder", "delete file", "replace file"])
def test_results_that_are_gone_are_told_at_the_end(track, tmp_path, monkeypatch, fault):
    output = tmp_path / "out"
    lines = output / "tracks.jsonl"
    faults = {
        "delete folder": lambda: shutil.rmtree(output),
        "rename folder": lambda: output.rename(tmp_path / "elsewhere"),
        "delete file": lines.unlink,
        "replace file": lambda: (lines.rename(tmp_path / "moved"), lines.write_text("mine")),
    }
    at_frame_3(monkeypatch, faults[fault])
    assert "was deleted, moved or replaced during the run" in error_of(*track, output)
    summary = summary_of(output)
    assert not summary["complete"]
    assert "was deleted, moved or replaced" in summary["ended"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_frames_are_what_the_files_hold_after_a_signal(track, tmp_path, monkeypatch, number):
    """Sent between two sinks, where a frame is in one file and not yet in the other."""
    output = tmp_path / "out"
    at_frame_3(monkeypatch, lambda: os.kill(os.getpid(), number))
    run(*track, output, status=130)
    summary = summary_of(output)
    assert (summary["complete"], summary["ended"], summary["frames"]) == (False, "interrupted", 3)
    assert len(list(read_json_lines(output / "tracks.jsonl")[1])) == 3


def test_the_second_run_into_a_folder_ends_at_once_and_names_the_first(track, tmp_path):
    output = tmp_path / "out"
    first = subprocess.Popen(
        [*COMMAND, "track", ENDLESS, *map(str, track[2:]), str(output)], stdout=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while not (output / "tracks.jsonl").exists():
            assert first.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        for overwrite in ((), ("--overwrite",)):
            error = error_of(*track, output, *overwrite)
            assert f"{output} belongs to another run, process {first.pid}: choose another with -o" in error
    finally:
        first.send_signal(signal.SIGTERM)
        assert first.wait(30) == 130
    assert len(list(read_json_lines(output / "tracks.jsonl")[1])) == summary_of(output)["frames"]
    run(*track, output, "--overwrite")  # the lock is gone with its process


def test_results_of_an_earlier_run_stay_and_the_folder_used_is_told(track, tmp_path):
    output = tmp_path / "out"
    run(*track, output)
    mine = {path.name: path.read_bytes() for path in output.iterdir()}
    for number in (2, 3):
        result = run(*track, output, "--detect-every", number)
        folder = tmp_path / f"out-{number}"
        assert f"writing to {folder}" in result.stderr
        assert str(folder) in result.stdout
        assert summary_of(folder)["complete"]
    assert {path.name: path.read_bytes() for path in output.iterdir()} == mine
    result = run(*track, output, "--overwrite", "--detect-every", 4)
    assert result.stderr == ""
    assert summary_of(output)["schedule"]["every"] == 4


@pytest.mark.parametrize("name", ["gt.txt", "video.mp4", "events.jsonl", "notes.txt"])
def test_what_the_run_did_not_write_is_neither_deleted_nor_mixed_with(track, tmp_path, name):
    output = tmp_path / "out"
    output.mkdir()
    (output / name).write_text("mine")
    result = run(*track, output)
    assert (output / name).read_text() == "mine"
    assert ("out-2" in result.stdout) == (name != "notes.txt")


def test_no_stale_ground_truth_beside_new_tracks(track, still_model, tmp_path):
    output, pictures = tmp_path / "out", tmp_path / "pictures"
    run(*track, output)
    assert (output / "gt.txt").exists()
    run("synthesize", STREET, "-o", pictures)
    run("track", pictures, *track[2:], output, "--overwrite")
    assert not (output / "gt.txt").exists()


def test_a_lock_keeps_the_name_of_its_holder(tmp_path):
    lock = FileLock(tmp_path / "lock", "it", "wait")
    for _ in range(2):
        with pytest.raises(SinkError, match=f"it belongs to another run, process {os.getpid()}: wait"):
            FileLock(tmp_path / "lock", "it", "wait")
    lock.close()
    FileLock(tmp_path / "lock", "it", "wait").close()
