from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_fairmot.errors import SourceError
from edge_fairmot.sinks import read_json_lines
from edge_fairmot.sources import VideoSource

pytest.importorskip("av", reason="video is written with PyAV")

WRITER = """
import sys
import numpy as np
from edge_fairmot.sinks import JsonLinesHeader, JsonLinesSink, MotTextSink, VideoSink
from edge_fairmot.types import Frame, FrameResult, Tracks

folder = sys.argv[1]
size, rate = (128, 96), 10.0
sinks = [
    MotTextSink(folder + "/tracks.txt"),
    JsonLinesSink(folder + "/tracks.jsonl", JsonLinesHeader("x", size, rate)),
    VideoSink(folder + "/tracks.mp4", size, rate),
]
for index in range(10**9):
    image = np.random.default_rng(index).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    box = np.array([[10 + index % 50, 20, 50 + index % 50, 80]], np.float32)
    tracks = Tracks(np.array([1]), box, np.array([0.9], np.float32), np.array([0]), np.array([False]))
    for sink in sinks:
        sink.write(FrameResult(Frame(image, index, index / rate), tracks))
    print(index + 1, flush=True)
"""


FORGETFUL = """
import sys
import numpy as np
from edge_fairmot.sinks.video import FragmentedMp4

file = FragmentedMp4(sys.argv[1], (64, 48), 25.0)
for index in range(40):
    file.write(np.zeros((48, 64, 3), np.uint8), index / 25)
"""


def test_a_video_that_is_not_closed_is_finished_at_exit(tmp_path: Path) -> None:
    path = tmp_path / "tracks.mp4"
    command = [sys.executable, "-c", FORGETFUL, str(path)]
    assert subprocess.run(command, check=False).returncode == 0
    with VideoSource(path) as source:
        assert len(list(source)) >= 25


@pytest.fixture
def killed_run(tmp_path: Path) -> int:
    """Frames written to all sinks when the process was killed in the middle of its work."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    said = [process.stdout.readline() for _ in range(75)]
    process.send_signal(signal.SIGKILL)
    # communicate() would pass over what readline() has read ahead.
    with process:
        rest, complaints = process.stdout.read(), process.stderr.read()
    assert process.returncode == -signal.SIGKILL
    assert complaints == ""
    return int([line for line in [*said, *rest.splitlines(keepends=True)] if line.endswith("\n")][-1])


def test_a_killed_run_leaves_all_its_files_readable(killed_run: int, tmp_path: Path) -> None:
    lines = (tmp_path / "tracks.txt").read_text().splitlines()
    assert len(lines) in (killed_run, killed_run + 1)
    assert lines[killed_run - 1].startswith(f"{killed_run},1,")

    header, frames = read_json_lines(tmp_path / "tracks.jsonl")
    numbers = [number for number, _, _ in frames]
    assert header.frame_size == (128, 96)
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) in (killed_run, killed_run + 1)

    times_s = []
    try:
        with VideoSource(tmp_path / "tracks.mp4") as source:
            for frame in source:
                times_s.append(frame.time_s)  # noqa: PERF401
    except SourceError as error:
        # The kill may fall into the writing of a fragment: that one is torn, and told to be.
        assert "is cut off" in str(error)  # noqa: PT017
    np.testing.assert_allclose(times_s, np.arange(len(times_s)) / 10, atol=1e-6)
    # One second in the open fragment, and what the encoder's threads still hold.
    assert len(times_s) >= killed_run - 10 - 8
