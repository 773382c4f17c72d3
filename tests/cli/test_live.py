"""``edge-fairmot live`` as a service runs it: a process that is watched, stopped, and fed with faults."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_fairmot.sinks import read_json_lines

from .command_line import COMMAND

LIVE = (*COMMAND, "live")
PATIENCE_S = 60
STREET = "synthetic:size=64x64,people=1,fps=20"


class Live:
    """A running command; its log is read line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []

    def wait_for(self, words: str) -> str:
        """Wait until a line of the log has these words."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            if words in line:
                return line
        raise AssertionError(f"ended without {words!r}: {self.lines}")

    def end(self, number: int | None = signal.SIGTERM) -> int:
        """Send a signal, wait for the end and give the exit status."""
        if number is not None:
            self.process.send_signal(number)
        assert self.process.stderr is not None
        self.lines += self.process.stderr  # communicate() would pass over what was read ahead
        return self.process.wait(PATIENCE_S)

    @property
    def log(self) -> str:
        return "".join(self.lines)


@contextmanager
def live(*arguments: Any, **environment: str) -> Iterator[Live]:
    with subprocess.Popen(
        [*LIVE, *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"COLUMNS": "200", "NO_COLOR": "1"} | environment,
    ) as process:
        try:
            yield Live(process)
        finally:
            process.kill()


@pytest.fixture
def pictures(tmp_path: Path) -> Callable[..., Path]:
    """Make a sequence of grey images, 100 per second."""

    def make(greys: list[int]) -> Path:
        folder = tmp_path / "greys"
        (folder / "img1").mkdir(parents=True)
        for index, grey in enumerate(greys):
            cv2.imwrite(str(folder / "img1" / f"{index:04d}.png"), np.full((32, 64, 3), grey, np.uint8))
        (folder / "seqinfo.ini").write_text("[Sequence]\nframeRate=100\nimWidth=64\nimHeight=32\n")
        return folder

    return make


def files(folder: Path) -> tuple[str, ...]:
    return ("--record", str(folder / "kept" / "shop.jsonl"), "--summary", str(folder / "summary.json"))


def recorded(folder: Path, suffix: str = "Z.jsonl") -> Path:
    """Find what :func:`files` asked for."""
    (path,) = (folder / "kept").glob(f"shop-*{suffix}")
    return path


def test_a_file_is_played_to_its_end_and_every_output_is_there(
    still_model: Path, pictures: Callable[..., Path], tmp_path: Path
) -> None:
    config = tmp_path / "shop.toml"
    config.write_text(
        f'source = "{pictures([20] * 60)}"\nmodel = "{still_model}"\n'
        '[log]\nformat = "json"\n'
        f'[record]\npath = "{tmp_path}/kept/shop.jsonl"\n'
        f'[output]\nsummary = "{tmp_path}/summary.json"\n'
        '[[zone]]\nname = "hall"\npolygon = [[0, 0], [1, 0], [1, 1], [0, 1]]\n'
    )
    with live("--config", config) as run:
        assert run.end(None) == 0
    header, frames = read_json_lines(recorded(tmp_path))
    rows = list(frames)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert header.settings["clock"]["time_s"] <= rows[0][1] <= time.monotonic()
    assert (summary["complete"], summary["frames"]) == (True, len(rows))
    assert summary["frames"] + summary["dropped"] == 60
    assert summary["identities"] == 1
    assert summary["counts"]["zones"]["hall"]["occupancy"] == 1
    told, event = map(json.loads, recorded(tmp_path, ".events.jsonl").read_text().splitlines())
    assert (told["schema_version"], told["camera"], told["model"]) == (1, header.source, header.model)
    assert (event["event"], event["time"] >= told["begun"][:10]) == ("enter", True)
    last = json.loads(run.lines[-1])
    assert (last["frames"], last["counts"]["zones"]["hall"]["entries"]) == (len(rows), 1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_being_told_to_stop_is_a_good_end(still_model: Path, tmp_path: Path, number: int) -> None:
    with live(STREET, "-m", still_model, "--set", "log.every_s=0.2", *files(tmp_path)) as run:
        run.wait_for("frames")
        assert run.end(number) == 0
    summary = json.loads((tmp_path / "summary.json").read_text())
    rows = list(read_json_lines(recorded(tmp_path))[1])
    assert (summary["complete"], summary["ended"]) == (True, "")
    assert summary["frames"] == len(rows) > 0
    assert recorded(tmp_path).read_bytes().endswith(b"}\n")


def test_a_killed_run_leaves_what_it_tracked(still_model: Path, tmp_path: Path) -> None:
    with live(STREET, "-m", still_model, "--set", "log.every_s=0.5", *files(tmp_path)) as run:
        told = run.wait_for("frames")
        run.end(signal.SIGKILL)
    frames = int(told.split("frames ")[1].split(",")[0])
    assert len(list(read_json_lines(recorded(tmp_path))[1])) >= frames > 0


def test_nan_from_the_model_ends_the_run_with_one_line_and_keeps_the_tracks(
    still_model: Path, pictures: Callable[..., Path], tmp_path: Path
) -> None:
    with live(pictures([20] * 60 + [250] * 60), "-m", still_model, *files(tmp_path)) as run:
        assert run.end(None) == 1
    (error,) = (line for line in run.lines if "ERROR" in line)
    assert "gave boxes that are not finite" in error
    summary = json.loads((tmp_path / "summary.json").read_text())
    rows = list(read_json_lines(recorded(tmp_path))[1])
    assert summary["complete"] is False
    assert "not finite" in summary["ended"]
    assert 0 < len(rows) == summary["frames"] <= 60


def test_a_camera_that_is_not_there_is_waited_for(still_model: Path, tmp_path: Path) -> None:
    waits = ("--set", "camera.first_wait_s=0.1", "--set", "camera.longest_wait_s=0.2")
    with live("/dev/video99", "-m", still_model, *waits, *files(tmp_path)) as run:
        run.wait_for("/dev/video99 is not there: plug the camera in")
        run.wait_for("next try in")
        assert run.end() == 0, run.log
    assert json.loads((tmp_path / "summary.json").read_text())["frames"] == 0


def test_it_gives_up_where_told_to(still_model: Path) -> None:
    waits = (
        "--set",
        "camera.first_wait_s=0.1",
        "--set",
        "camera.longest_wait_s=0.2",
        "--set",
        "camera.give_up_s=0.5",
    )
    with live("/dev/video99", "-m", still_model, *waits) as run:
        assert run.end(None) == 1
    assert "given up after" in run.log


def test_what_is_wrong_in_the_file_is_one_line(tmp_path: Path) -> None:
    config = tmp_path / "shop.toml"
    config.write_text("[tracker]\nscore_threshold = 7\n")
    with live("synthetic:", "-m", "m.onnx", "--config", config) as run:
        assert run.end(None) == 1
    assert f"{config}: tracker.score_threshold must be between 0 and 1, not 7" in run.log


def test_what_cannot_be_mended_is_one_line(still_model: Path, tmp_path: Path) -> None:
    for arguments, complaint in (
        (("picamera2:speed=3", "-m", still_model), "'speed=3' is no option"),
        (("street.mp4", "-m", still_model), "street.mp4 does not exist"),
        (("synthetic:", "-m", tmp_path / "absent.onnx"), "absent.onnx"),
        (
            ("synthetic:", "-m", still_model, "--record", "/proc/no/tracks.jsonl"),
            "/proc/no/tracks cannot be used",
        ),
        (("synthetic:", "-m", still_model, "--summary", still_model), "is read by this run: choose another"),
    ):
        with live(*arguments) as run:
            assert run.end(None) == 1
        (error,) = (line for line in run.lines if "ERROR" in line)
        assert complaint in error


def test_systemd_is_told_and_given_signs_of_life(still_model: Path, tmp_path: Path) -> None:
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(address))
        receiver.settimeout(PATIENCE_S)
        told = {"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "300000"}
        with live(STREET, "-m", still_model, **told) as run:
            seen = []
            while sum(one.startswith("WATCHDOG=1\nSTATUS=running: ") for one in seen) < 2:
                seen.append(receiver.recv(4096).decode())
            assert "STATUS=opening still.onnx" in seen
            assert "READY=1\nSTATUS=running" in seen
            assert run.end() == 0, run.log
            while seen[-1] != "STOPPING=1":
                seen.append(receiver.recv(4096).decode())


SYSTEM_PYTHON = "/usr/bin/python3"
RTSP_SERVER = Path(__file__).parents[1] / "sources" / "rtsp_server.py"


@pytest.fixture
def rtsp_camera() -> Iterator[Callable[[int], subprocess.Popen[str]]]:
    """Start an RTSP camera on a port, or again; user ``admin``, password ``hunter2``."""
    probe = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    if (
        not Path(SYSTEM_PYTHON).exists()
        or subprocess.run([SYSTEM_PYTHON, "-c", probe], capture_output=True, check=False).returncode
    ):
        pytest.skip(
            "needs GStreamer's RTSP server: apt-get install python3-gi gir1.2-gst-rtsp-server-1.0 ..."
        )
    started: list[subprocess.Popen[str]] = []

    def start(port: int) -> subprocess.Popen[str]:
        command = [SYSTEM_PYTHON, str(RTSP_SERVER), str(port), "64x48", "10", "admin", "hunter2"]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert started[-1].stdout is not None
        assert started[-1].stdout.readline().strip() == str(port)
        return started[-1]

    yield start
    for server in started:
        server.kill()
        server.communicate()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_an_rtsp_server_that_is_killed_and_started_again_costs_no_recorded_track_and_no_password(
    still_model: Path, rtsp_camera: Callable[[int], subprocess.Popen[str]], tmp_path: Path
) -> None:
    port = free_port()
    server = rtsp_camera(port)
    address = f"rtsp://admin:hunter2@127.0.0.1:{port}/live?token=hunter2"
    waits = (
        "--set",
        "camera.first_wait_s=0.1",
        "--set",
        "camera.longest_wait_s=0.3",
        "--set",
        "camera.stall_s=3",
    )
    logged = ("--set", "log.every_s=0.5", "--log-format", "json", "--log-level", "debug")
    with live(address, "-m", still_model, *waits, *logged, *files(tmp_path)) as run:
        before = json.loads(run.wait_for('"source": "running"'))["frames"]
        server.kill()
        run.wait_for("next try in")
        rtsp_camera(port)
        run.wait_for('"reconnects": 1, "source": "running"')
        assert run.end() == 0, run.log
    header, frames = read_json_lines(recorded(tmp_path))
    rows = list(frames)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["complete"] is True
    assert (summary["reconnects"], summary["frames"]) == (1, len(rows))
    assert len(rows) > before > 0
    assert [number for number, _, _ in rows] == sorted({number for number, _, _ in rows})
    assert [time_s for _, time_s, _ in rows] == sorted({time_s for _, time_s, _ in rows})
    assert header.source == summary["source"]["name"] == f"rtsp://***@127.0.0.1:{port}/live?***"
    written = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert "hunter2" not in written + run.log
