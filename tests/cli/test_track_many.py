"""``track-many`` as a user runs it: the results of ``track``, whatever happens to workers and runs."""

from __future__ import annotations

import csv
import json
import os
import pty
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from edge_fairmot.cli.run_config import read_run_config
from edge_fairmot.cli.track_job import TrackingTask
from edge_fairmot.errors import InvalidInputError, WorkerError
from edge_fairmot.fleet import Job, find_videos, longest_first
from edge_fairmot.sources import SourceOptions

from .command_line import COMMAND, assert_one_line_error, error_of, run
from .many_videos import (
    SHAPES,
    assert_same,
    busy_parts,
    index_of,
    running,
    track_each,
    wait_for,
    write_video,
    writer_of,
)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Three videos, one that is cut off, and one that is none."""
    folder = tmp_path_factory.mktemp("many") / "videos"
    write_video(folder / "short.mp4", 20, 1)
    write_video(folder / "day1" / "short.mp4", 30, 2)
    write_video(folder / "day1" / "long one [1].mp4", 60, 3)
    cut = Path(__file__).with_name("cut_video.py")
    command = [sys.executable, cut, folder / "short.mp4", folder / "cut.mp4", "20", "0.6"]
    subprocess.run(command, check=True)
    (folder / "text.mp4").write_text("not a video\n" * 50)
    return folder


@pytest.fixture(scope="module")
def expected(videos, still_model, tmp_path_factory):
    """What ``track`` makes of each."""
    output = tmp_path_factory.mktemp("expected")
    track_each(videos, still_model, output, *SHAPES)
    return output


def test_every_video_gets_what_track_writes_and_a_second_run_goes_on(videos, expected, still_model, tmp_path):
    output = tmp_path / "out"
    command = ("track-many", videos, "-m", still_model, "-o", output, "--workers", "2", *SHAPES)
    shown = run(*command, "--dry-run").stdout
    assert "to track  5 videos, 130 frames" in shown
    assert not output.exists()

    result = run(*command, status=1)
    assert assert_same(output, expected) == 16
    assert "3 of 5 videos" in result.stdout
    index = index_of(output)
    assert {name: record["state"] for name, record in index.items()} == {
        "short": "done", "day1/short": "done", "day1/long one [1]": "done", "cut": "failed", "text": "failed",
    }  # fmt: skip
    assert "is cut off" in index["cut"]["error"]
    assert "is a text file" in index["text"]["error"]
    assert result.stderr.count("\n") == 2
    rows = {row["name"]: row for row in csv.DictReader((output / "summary.csv").read_text().splitlines())}
    summary = json.loads((output / "day1" / "short" / "summary.json").read_text())
    schema = json.loads((Path(__file__).parents[2] / "edge_fairmot/cli/summary.schema.json").read_text())
    jsonschema.validate(summary, schema)
    assert rows["day1/short"]["frames"] == "30"
    assert rows["day1/short"]["hall entries"] == str(summary["counts"]["zones"]["hall"]["entries"]) == "1"

    def times() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in output.rglob("tracks.txt")}

    before = times()
    assert "3 of 5 videos (3 before)" in run(*command, status=1).stdout  # what failed stays failed
    assert times() == before
    repaired = tmp_path / "repaired"
    videos.rename(repaired)
    try:
        write_video(repaired / "text.mp4", 25)
        again = ("track-many", repaired, *command[2:])
        assert "(4 before)" not in run(*again, status=1).stdout  # another size: it is another video
        assert index_of(output)["text"]["state"] == "done"
        (repaired / "text.mp4").write_text("not a video\n" * 50)
    finally:
        repaired.rename(videos)
    assert {path: at for path, at in times().items() if path.parent.name != "text"} == before

    # Other settings: all again; the file that fails fails again, because it was asked to.
    changed = run(*command, "--track-buffer", "60", "--retry-failed", "--dry-run").stdout
    assert changed.count("other model, settings or video") == 4
    assert "failed before: " in run(*command, "--retry-failed", "--dry-run").stdout


def test_a_killed_worker_loses_nothing(still_model, tmp_path):
    folder, output = tmp_path / "videos", tmp_path / "out"
    for number in range(3):
        write_video(folder / f"{number}.mp4", 150, number)
    track_each(folder, still_model, tmp_path / "expected")
    with running(folder, "-m", still_model, "-o", output, "--workers", "1") as process:
        (part,) = wait_for(lambda: busy_parts(output), process)
        os.kill(writer_of(part, process.pid), signal.SIGKILL)
        _, errors = process.communicate(timeout=300)
    assert (process.returncode, errors) == (0, "")
    assert assert_same(output, tmp_path / "expected") == 9
    assert sorted(record["tries"] for record in index_of(output).values()) == [1, 1, 2]


def test_an_interrupted_run_ends_its_workers_and_goes_on_later(still_model, tmp_path):
    folder, output = tmp_path / "videos", tmp_path / "out"
    write_video(folder / "long.mp4", 600)
    for number in range(2):
        write_video(folder / f"{number}.mp4", 20, number)
    command = (folder, "-m", still_model, "-o", output, "--workers", "2", "--no-video")
    with running(*command) as process:
        wait_for(lambda: busy_parts(output) and (output / "1").exists(), process)
        worker = writer_of(busy_parts(output)[0], process.pid)
        assert_one_line_error(run("track-many", *command, status=1), "belongs to another run")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert errors == "warning: interrupted: the same command goes on from here\n"
    until_s = time.monotonic() + 20
    while Path(f"/proc/{worker}/fd").exists() and time.monotonic() < until_s:
        time.sleep(0.05)
    assert not Path(f"/proc/{worker}").exists()
    states = [record["state"] for record in index_of(output).values()]
    assert sorted(states) == ["done", "done", "waiting"]
    assert "3 of 3 videos (2 before)" in run("track-many", *command).stdout


def test_a_terminal_sees_the_videos_at_work(still_model, tmp_path):
    for number in range(2):
        write_video(tmp_path / "videos" / f"{number}.mp4", 1500, number)  # longer than between two looks
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "track-many", "videos", "-m", str(still_model), "--workers", "1"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=follower,
        env=os.environ | {"COLUMNS": "120", "TERM": "xterm"},
    )
    os.close(follower)
    seen = b""
    with suppress(OSError):  # the terminal is gone with the process
        while part := os.read(leader, 4096):
            seen += part
    os.close(leader)
    assert process.wait(timeout=60) == 0
    for word in (b"of 2 videos", b"frames/s", b"left", b"waiting for the first worker", b"videos/0.mp4"):
        assert word in seen, seen


def test_bad_input_is_one_line(still_model, tmp_path):
    video = write_video(tmp_path / "video.mp4", 3)
    (tmp_path / "empty").mkdir()
    (tmp_path / "not.onnx").write_text("no model")
    many = ("track-many", video, "-o", tmp_path / "out")
    assert "no videos in" in error_of("track-many", tmp_path / "empty", "-o", tmp_path / "out")
    assert "is no file and no folder" in error_of("track-many", "absent.mp4", "-o", tmp_path / "out")
    assert "no model at absent.onnx" in error_of(*many, "-m", "absent.onnx")
    assert "--workers must be at least 1" in error_of(*many, "--workers", "0")
    assert "add --ray" in error_of(*many, "--upload")
    assert not (tmp_path / "out").exists()
    # What only a worker can find is told once, and no video is blamed for it.
    write_video(tmp_path / "other.mp4", 3)
    errors = run(
        "track-many", tmp_path, *many[2:], "-m", tmp_path / "not.onnx", "--workers", "2", status=1
    ).stderr
    assert "not.onnx" in errors.splitlines()[-1]
    assert {record["state"] for record in index_of(tmp_path / "out").values()} == {"waiting"}
    assert "track-many" in error_of("track", tmp_path / "empty", "-m", still_model)


def test_a_machine_with_another_version_or_without_the_folder_does_not_work(still_model, tmp_path):
    config = read_run_config(None, (), {"source": "videos", "model": still_model})
    with pytest.raises(WorkerError, match="install the same version"):
        TrackingTask(config, version="0.0").open(None)
    with pytest.raises(WorkerError, match="share the folder with it, or use --upload"):
        TrackingTask(config, parts=str(tmp_path / "absent")).open(None)
    # The model may come as bytes, where its path leads nowhere.
    moved = replace(config, model=tmp_path / "elsewhere" / "still.onnx")
    job = Job("n", "as given.mp4", str(write_video(tmp_path / "video.mp4", 4)), 1, data=b"")
    job = replace(job, data=Path(job.path).read_bytes(), path="/gone/video.mp4")
    *_, outcome = TrackingTask(moved, draws_video=False).open(still_model.read_bytes())(job)
    assert (outcome.error, outcome.summary["frames"]) == ("", 4)
    assert outcome.summary["source"]["name"] == "as given.mp4"
    assert b"as given.mp4" in outcome.files["tracks.jsonl"]
    assert outcome.summary["model"]["path"].endswith("elsewhere/still.onnx")


def test_ray_is_asked_for_where_it_is_missing(still_model, tmp_path):
    video = write_video(tmp_path / "video.mp4", 3)
    hide = "import sys; sys.modules['ray'] = None; from edge_fairmot.cli.main import run; run()"
    command = [sys.executable, "-c", hide, "track-many", video, "-m", still_model, "-o", tmp_path / "out"]
    result = subprocess.run([*command, "--ray"], capture_output=True, text=True, check=False)
    assert_one_line_error(result, "pip install 'edge-fairmot[ray]'")


def test_a_dead_address_is_told_at_once(still_model, tmp_path):
    video = write_video(tmp_path / "video.mp4", 3)
    started_s = time.monotonic()
    errors = error_of("track-many", video, "-m", still_model, "-o", tmp_path / "out", "--ray", "127.0.0.1:1")
    assert "no Ray cluster answers at 127.0.0.1:1" in errors
    assert time.monotonic() - started_s < 5
    for command in ((*COMMAND, "track-many", "--ray", video), (*COMMAND, "track-many", video, "--ray")):
        environment = os.environ | {"RAY_ADDRESS": "127.0.0.1:1"}
        result = subprocess.run(
            [*command, "-o", tmp_path / "out"], env=environment, capture_output=True, text=True, check=False
        )
        assert_one_line_error(result, "no Ray cluster answers at 127.0.0.1:1")
    assert "Ray's client" in error_of("track-many", video, "-o", tmp_path / "out", "--ray=ray://head:10001")


def test_names_are_paths_and_no_two_results_meet(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (
        "a/x.mp4", "a/x.mkv", "a/day.mp4", "a/day/y.mp4", "a/index.jsonl.mp4", "b/z.MOV", "b/.hidden.mp4",
        "b/notes.md", "b/.cache/w.mp4", "b/odd\nname; rm -rf.mp4", "a/out/x/video.mp4", "c/x.mp4",
        "a/old/x/video.mp4", "a/old/x/tracks.jsonl", "a/old/x/summary.json",
    ):  # fmt: skip
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    Path("a/loop").symlink_to("../a")
    Path("list.txt").write_text("c/x.mp4\n\nb/z.MOV\n")
    found = {
        job.name: job.video for job in find_videos([Path("a"), Path("b"), Path("list.txt")], Path("a/out"))
    }
    absolute = str(tmp_path).lstrip("/")
    assert found == {
        f"{absolute}/a/x.mp4": "a/x.mp4", "x.mkv": "a/x.mkv", "day.mp4": "a/day.mp4", "day/y": "a/day/y.mp4",
        "index.jsonl.mp4": "a/index.jsonl.mp4", "z": "b/z.MOV",
        "odd\nname; rm -rf": "b/odd\nname; rm -rf.mp4", f"{absolute}/c/x.mp4": "c/x.mp4",
    }  # fmt: skip
    Path("d/e.mp4").mkdir(parents=True)
    Path("d/e.mp4/f.mp4").touch()
    Path("e.mp4").touch()
    with pytest.raises(InvalidInputError, match="no file and no folder"):
        find_videos([Path("list.txt"), Path("absent.mp4")], Path("out"))


def test_the_longest_come_first_and_what_cannot_be_opened_before_all(tmp_path):
    for name, frames in (("a", 5), ("b", 30), ("c", 12)):
        write_video(tmp_path / f"{name}.mp4", frames)
    (tmp_path / "d.mp4").write_text("no video")
    jobs = find_videos([tmp_path], tmp_path / "out")
    ordered = longest_first(jobs, SourceOptions(max_frames=20), 2)
    assert [(job.name, job.frames) for job in ordered] == [("d", None), ("b", 20), ("c", 12), ("a", 5)]
