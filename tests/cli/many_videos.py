"""Videos for ``track-many``, what ``track`` makes of each, and runs to be disturbed."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np

from .command_line import COMMAND, run

SAME = ("tracks.txt", "tracks.jsonl", "events.jsonl", "video.mp4")
"""Files that must be those of ``track``, byte for byte; the summary also holds times."""

SHAPES = ("--line", "door:0.5,0.1,0.5,0.9", "--zone", "hall:0,0;1,0;1,1;0,1")


def write_video(path: Path, frames: int, seed: int = 0) -> Path:
    """Write dark noise, 96x64."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height = 96, 64
        for _ in range(frames):
            image = random.integers(0, 120, (64, 96, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "bgr24")))
        container.mux(stream.encode(None))
    return path


def track_each(folder: Path, model: Path, output: Path, *options: str) -> None:
    """Track every video of a folder by itself, into the names that ``track-many`` gives."""
    for video in sorted(folder.rglob("*.mp4")):
        name = video.relative_to(folder).with_suffix("")
        run("track", video, "-m", model, "-o", output / name, "--threads", "1", *options, status=None)


def assert_same(output: Path, expected: Path) -> int:
    """Hold that all results are the same, and return how many files were compared."""
    compared = 0
    for path in sorted(expected.rglob("*")):
        if path.name in SAME:
            assert (output / path.relative_to(expected)).read_bytes() == path.read_bytes(), path
            compared += 1
    assert not list(output.glob(".parts*"))
    return compared


def index_of(output: Path) -> dict[str, dict]:
    lines = (output / "index.jsonl").read_text().splitlines()
    records = {record["name"]: record for record in map(json.loads, lines)}
    assert len(records) == len(lines)
    return records


@contextmanager
def running(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Start the command in a process of its own, which heeds Ctrl-C."""
    process = subprocess.Popen(
        ["env", "--default-signal=INT", *COMMAND, "track-many", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def wait_for(
    condition: Callable[[], object], process: subprocess.Popen[str], timeout_s: float = 300
) -> object:
    """Wait until something is true; fails where the command ends before."""
    until_s = time.monotonic() + timeout_s
    while not (found := condition()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until_s, "it has not come to this in time"
        time.sleep(0.01)
    return found


def busy_parts(output: Path) -> list[Path]:
    """Folders in which a worker has tracked some frames of a video."""
    lines = [path for path in output.glob(".parts-*/*/tracks.txt") if path.stat().st_size > 500]
    return [path.parent for path in lines]


def descendants(pid: int) -> Iterator[tuple[int, str]]:
    """Yield the processes below a process, with their command lines."""
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in path.read_text().split():
            try:
                command = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            yield int(child), command
            yield from descendants(int(child))


def writer_of(part: Path, pid: int) -> int:
    """The process below ``pid`` that writes into a folder."""
    for child, _ in descendants(pid):
        try:
            files = [os.readlink(one) for one in Path(f"/proc/{child}/fd").iterdir()]
        except OSError:
            continue
        if any(file.startswith(str(part)) for file in files):
            return child
    return 0
