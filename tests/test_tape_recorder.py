"""What was recorded can be read after every kind of ending."""

import re
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_fairmot.errors import SinkError, TapeError
from edge_fairmot.manifest import ModelManifest
from edge_fairmot.sinks.files import UnbufferedFile
from edge_fairmot.tape import COLUMNS, TapeHeader, read_tape, spool_folder
from edge_fairmot.tape_recorder import TapeRecorder, finish_tape
from edge_fairmot.types import Frame, RawDetections

MANIFEST = ModelManifest((64, 32), 4, 2, ("person",), 18, "ab" * 32, "0.1.0")
HEADER = TapeHeader("street.mp4", (64, 32), 25.0, 0.3, MANIFEST)
PICTURE = np.zeros((32, 64, 3), np.uint8)


def frame(n):
    return Frame(PICTURE, n, n / 25)


def detections(n):
    """As many detections above the threshold as ``n`` modulo 4, their boxes made of ``n``."""
    scores = np.where(np.arange(4) < n % 4, np.float32(0.9), np.float32(0.1))
    boxes = np.float32([n, n, n + 1, n + 2]) + np.arange(4, dtype=np.float32)[:, None]
    embeddings = np.float32([[1, n]] * 4)
    return RawDetections(boxes[None], scores[None], np.zeros((1, 4), np.int64), embeddings[None])


def assert_holds(tape, frames):
    assert tape.frame_index.tolist() == list(range(frames))
    for n in range(frames):
        raw, found = detections(n), tape.detections(n)
        np.testing.assert_array_equal(found.xyxy, raw.boxes[0, : n % 4])
        np.testing.assert_array_equal(found.embedding, raw.embeddings[0, : n % 4])


def record(path, frames):
    with TapeRecorder(path, HEADER) as recorder:
        for n in range(frames):
            recorder.record(frame(n), detections(n))


def abandon(path, frames):
    """Leave what a killed process leaves."""
    recorder = TapeRecorder(path, HEADER)
    for n in range(frames):
        recorder.record(frame(n), detections(n))
    recorder._close_files()


def test_an_error_in_the_run_leaves_what_came_before_it(tmp_path):
    def fail_after_six(recorder):
        for n in range(6):
            recorder.record(frame(n), detections(n))
        raise RuntimeError("elsewhere")

    with pytest.raises(RuntimeError, match="elsewhere"), TapeRecorder(tmp_path / "t.npz", HEADER) as recorder:
        fail_after_six(recorder)
    assert_holds(read_tape(tmp_path / "t.npz"), 6)


def test_one_run_makes_the_same_bytes_at_any_time(tmp_path, monkeypatch):
    record(tmp_path / "a.npz", 9)
    monkeypatch.setattr(time, "time", lambda: 2e9)
    record(tmp_path / "b.npz", 9)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_nothing_waits_in_memory(tmp_path):
    recorder = TapeRecorder(tmp_path / "t.npz", HEADER)
    for n in range(8):
        recorder.record(frame(n), detections(n))
    assert (spool_folder(tmp_path / "t.npz") / "embedding").stat().st_size == 12 * 2 * 4
    recorder.close()
    recorder.close()
    with pytest.raises(SinkError, match="closed"):
        recorder.record(frame(8), detections(8))
    assert_holds(read_tape(tmp_path / "t.npz"), 8)


def test_a_run_without_a_frame_leaves_nothing(tmp_path):
    (tmp_path / "t.npz").write_bytes(b"of another run")
    record(tmp_path / "t.npz", 0)
    assert list(tmp_path.iterdir()) == []


def test_a_new_recording_takes_the_place_of_old_ones(tmp_path):
    record(tmp_path / "t.npz", 5)
    abandon(tmp_path / "t.npz", 4)
    with pytest.raises(TapeError, match="is not finished"):
        read_tape(tmp_path / "t.npz")  # and not the one before
    record(tmp_path / "t.npz", 3)
    assert_holds(read_tape(tmp_path / "t.npz"), 3)


KILLED = """
import sys
from test_tape_recorder import HEADER, detections, frame
from edge_fairmot.tape_recorder import TapeRecorder

recorder = TapeRecorder(sys.argv[1], HEADER)
for n in range(10**9):
    recorder.record(frame(n), detections(n))
    print(n + 1, flush=True)
"""


def test_a_killed_run_is_finished_by_the_command_in_the_message(tmp_path):
    path = tmp_path / "it's a tape.npz"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent,
    )
    said = [process.stdout.readline() for _ in range(50)]
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate()
    recorded = int([line for line in [*said, *rest.splitlines(keepends=True)] if line.endswith("\n")][-1])

    with pytest.raises(TapeError, match="is not finished") as caught:
        read_tape(path)
    _, *command = shlex.split(re.search(r"python3 -c .*", str(caught.value))[0])
    subprocess.run([sys.executable, *command], check=True)

    tape = read_tape(path)
    assert len(tape) in (recorded, recorded + 1)
    assert_holds(tape, len(tape))
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_of_a_recording_cut_anywhere_every_whole_frame_is_kept(data, tmp_path):
    """A power failure may cut any of the files, at any byte."""
    path = tmp_path / "t.npz"
    abandon(path, 10)
    sizes = {"frame_offset": 8, "frame_index": 8, "time_s": 8, "score": 4, "class_id": 8, "embedding": 8}
    whole = 10
    for name in data.draw(st.sets(st.sampled_from(sorted(COLUMNS)), max_size=3)):
        file = spool_folder(path) / name
        length = data.draw(st.integers(0, file.stat().st_size), name)
        with file.open("r+b") as opened:
            opened.truncate(length)
        rows = length // sizes.get(name, 16)
        ends = np.cumsum([0, *(n % 4 for n in range(10))])
        of_a_frame = {"frame_offset": rows - 1, "frame_index": rows, "time_s": rows}
        whole = min(whole, of_a_frame.get(name, int((ends <= rows).sum()) - 1))
    if whole < 1:
        with pytest.raises(TapeError, match="no whole frame"):
            finish_tape(path)
    else:
        finish_tape(path)
        assert_holds(read_tape(path), whole)


@pytest.mark.parametrize("damage", ["no folder", "no header", "no column", "cut header", "other schema"])
def test_what_is_no_recording_cannot_be_finished(tmp_path, damage):
    path = tmp_path / "t.npz"
    header = spool_folder(path) / "header.json"
    if damage != "no folder":
        abandon(path, 1)
    if damage == "no header":
        header.unlink()
    if damage == "no column":
        (header.parent / "score").unlink()
    if damage == "cut header":
        header.write_text(header.read_text()[:50])
    if damage == "other schema":
        header.write_text(header.read_text().replace('"schema_version": 1', '"schema_version": 2'))
    with pytest.raises(TapeError, match="does not hold a recording that can be finished") as caught:
        finish_tape(path)
    assert "\n" not in str(caught.value)


def test_a_full_disk_at_the_end_keeps_the_rows_and_says_how_to_go_on(tmp_path, monkeypatch):
    path = tmp_path / "t.npz"
    recorder = TapeRecorder(path, HEADER)
    for n in range(5):
        recorder.record(frame(n), detections(n))

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("edge_fairmot.tape_recorder._copy_column", full)
        with pytest.raises(SinkError, match=r"No space left on device.*free space there.*finish_tape"):
            recorder.close()
    assert [file.name for file in tmp_path.iterdir()] == ["t.npz.recording"]
    finish_tape(path)
    assert_holds(read_tape(path), 5)


def test_a_full_disk_in_the_middle_keeps_the_frames_before(tmp_path, monkeypatch):
    path = tmp_path / "t.npz"
    write = UnbufferedFile.write

    def full_at_the_embedding(file, data):
        if data and file.path.name == "embedding" and file.path.stat().st_size >= 12 * 8:
            write(file, data[:3])
            raise SinkError("No space left on device")
        write(file, data)

    monkeypatch.setattr(UnbufferedFile, "write", full_at_the_embedding)
    with TapeRecorder(path, HEADER) as recorder:
        for n in range(9):
            recorder.record(frame(n), detections(n))
        with pytest.raises(SinkError, match="No space left"):
            recorder.record(frame(9), detections(9))
        with pytest.raises(SinkError, match="closed"):  # half a row is there already
            recorder.record(frame(10), detections(10))
    assert_holds(read_tape(path), 9)  # the ninth has none


@pytest.mark.parametrize(
    ("taken", "change", "complaint"),
    [
        (Frame(PICTURE[:30], 6, 9.0), {}, r"frame 7 is 64x30 pixels, the tape of frames of 64x32"),
        (Frame(PICTURE, 5, 9.0), {}, "does not come after frame 6"),
        (Frame(PICTURE, 6, 5 / 25), {}, "does not come after frame 6"),
        (Frame(PICTURE, 6, float("nan")), {}, "does not come after frame 6"),
        (Frame(PICTURE, 6, float("inf")), {}, "does not come after frame 6"),
        (frame(6), {"boxes": np.full((1, 4, 4), np.nan, np.float32)}, "not finite"),
        (frame(6), {"embeddings": np.full((1, 4, 2), np.inf, np.float32)}, "not finite"),
        (
            frame(6),
            {"embeddings": np.ones((1, 4, 3), np.float32)},
            "embeddings of 3, its manifest allows 4 of 2",
        ),
        (frame(6), {"scores": np.float32([[0.8, 0.9, 0.1, 0.1]])}, "do not descend"),
        (
            frame(6),
            {
                "boxes": np.ones((1, 5, 4), np.float32),
                "scores": np.ones((1, 5), np.float32),
                "class_ids": np.zeros((1, 5), np.int64),
                "embeddings": np.ones((1, 5, 2), np.float32),
            },
            "has 5 detections",
        ),
    ],
)
def test_what_could_not_be_read_again_is_not_recorded(tmp_path, taken, change, complaint):
    path = tmp_path / "t.npz"
    with TapeRecorder(path, HEADER) as recorder:
        for n in range(6):
            recorder.record(frame(n), detections(n))
        with pytest.raises(TapeError, match=complaint) as caught:
            recorder.record(taken, replace(detections(6), **change))
        assert "\n" not in str(caught.value)
    assert_holds(read_tape(path), 6)


def test_a_place_that_cannot_be_written_is_refused_at_the_start(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match="cannot be written"):
        TapeRecorder(tmp_path / "file" / "t.npz", HEADER)
    for wrong in ("tape", "tape.zip", "tape.npz.txt"):
        with pytest.raises(TapeError, match=r"ends in \.npz"):
            TapeRecorder(tmp_path / wrong, HEADER)
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(TapeError, match=r"a tape is a file"):
        TapeRecorder(tmp_path / "folder.npz", HEADER)
