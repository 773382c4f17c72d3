"""``live`` for an hour with everything on; on demand, with the figures that it saw.

``EDGE_FAIRMOT_SOAK_MINUTES=60 python -m pytest -s tests/cli/test_live_soak.py``: a street over RTSP, the page
open in Chromium, a broker with a listener, recording; the camera's server is killed and the broker stopped on
the way. ``EDGE_FAIRMOT_SOAK_FLAGS='--model f.onnx --threads 1'`` gives ``live`` other flags.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_fairmot.sinks import read_json_lines
from edge_fairmot.sources import open_source

from ..service.mqtt.conftest import MOSQUITTO, Mosquitto, Subscriber  # noqa: TID252
from ..service.web.browser import find_chromium  # noqa: TID252
from .test_live import LIVE, RTSP_SERVER, SYSTEM_PYTHON

MINUTES = float(os.environ.get("EDGE_FAIRMOT_SOAK_MINUTES", "0"))
FLAGS = shlex.split(os.environ.get("EDGE_FAIRMOT_SOAK_FLAGS", ""))

pytestmark = pytest.mark.skipif(not MINUTES, reason="takes long: EDGE_FAIRMOT_SOAK_MINUTES=60")

SAMPLE_S = 5.0
KILL_EVERY_S, AWAY_S = min(240.0, 20 * MINUTES), 8.0
BROKER_EVERY_S, BROKER_AWAY_S = min(420.0, 35 * MINUTES), 15.0
BACK_WITHIN_S = 40.0
"""After a broker is there again, that an event is still held to have happened while it was away."""

SETTLED_SHARE = 0.25
"""Of the run: caches and pools fill before."""

ALLOWED_GROWTH_MB = 30.0
"""Over the run, of a process of several hundred."""


class Camera:
    """The street over RTSP, from a process that can be killed."""

    def __init__(self, pictures: Path, size: tuple[int, int], rate: int) -> None:
        self.port = free_port()
        self.address = f"rtsp://127.0.0.1:{self.port}/live"
        shape = f"{size[0]}x{size[1]}"
        self._command = [
            SYSTEM_PYTHON,
            str(RTSP_SERVER),
            str(self.port),
            shape,
            str(rate),
            "",
            "",
            str(pictures),
        ]
        self._process: subprocess.Popen[str] | None = None
        self.kills = 0
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline().strip() == str(self.port)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.communicate()
        self.kills += 1

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


class TimedListener(Subscriber):
    """Knows when each event came, by this machine's monotonic clock."""

    def __init__(self, port: int) -> None:
        super().__init__(port, name="soak")
        self.seen: list[tuple[float, float]] = []
        """Moment of each crossing and entry, and how old it was here."""
        self.numbers: list[int] = []
        self._client.on_message = self._take

    def _take(self, _client: Any, _: object, message: Any) -> None:
        if message.topic.endswith("/event"):
            event = json.loads(message.payload)
            if event["event"] != "leave":  # who was not seen leaving left when last seen, seconds before
                self.seen.append((event["time_s"], time.monotonic() - event["time_s"]))
            self.numbers.append(int(event["id"].rsplit("-", 1)[1]))

    def ages_s(self, outages: list[tuple[float, float]]) -> list[float]:
        """Of the events that happened outside of them."""
        return [
            age for moment, age in self.seen if not any(from_s <= moment <= to_s for from_s, to_s in outages)
        ]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def camera(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Camera]:
    folder = tmp_path_factory.mktemp("street")
    with open_source(shared / "videos" / "street-crowd-720p.mp4") as source:
        for frame in source:
            cv2.imwrite(str(folder / f"{frame.index:05d}.jpg"), frame.image, [cv2.IMWRITE_JPEG_QUALITY, 80])
        size, rate = source.info.frame_size, round(source.info.frame_rate)
    opened = Camera(folder, size, rate)
    yield opened
    opened.close()


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    line = ("--line", "street:0.02,0.6,0.98,0.6", "--zone", "square:0.3,0.5;0.7,0.5;0.7,0.8;0.3,0.8")
    outputs = ("--summary", str(folder / "summary.json"), "--set", "log.every_s=60")
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen([*LIVE, *arguments, *FLAGS, *line, *outputs], stderr=log, text=True)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


@contextmanager
def looking_at(port: int, folder: Path) -> Iterator[None]:
    """Open the page in a browser that nothing drives: a driver would take all images of an hour, too."""
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0")
    profile = f"--user-data-dir={folder / 'browser'}"
    page = f"http://127.0.0.1:{port}"
    browser = subprocess.Popen([find_chromium(), *options, profile, page], stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        browser.terminate()
        browser.wait(10)


def read_metrics(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}


def wait_for_frames(port: int, count: int) -> None:
    until_s = time.monotonic() + 60
    while time.monotonic() < until_s:
        try:
            if read_metrics(port).get("edge_fairmot_frames_total", 0) >= count:
                return
        except OSError:
            pass
        time.sleep(0.5)
    raise AssertionError("no frames came")


def disturb(
    camera: Camera, broker: Mosquitto, over: threading.Event, outages: list[tuple[float, float]]
) -> None:
    """Kill the camera's server and stop the broker, again and again, and bring them back."""
    began_s = time.monotonic()
    kill_s, stop_s = KILL_EVERY_S, BROKER_EVERY_S
    while not over.wait(1):
        at_s = time.monotonic() - began_s
        if at_s > kill_s:
            kill_s += KILL_EVERY_S
            camera.kill()
            over.wait(AWAY_S)
            camera.start()
        if at_s > stop_s:
            stop_s += BROKER_EVERY_S
            stopped_s = time.monotonic()
            broker.stop()
            over.wait(BROKER_AWAY_S)
            broker.start()
            outages.append((stopped_s - 1, time.monotonic() + BACK_WITHIN_S))


def test_an_hour_with_everything_on(camera: Camera, tmp_path: Path) -> None:
    psutil = pytest.importorskip("psutil")
    if MOSQUITTO is None:
        pytest.skip("needs mosquitto (apt-get install mosquitto)")
    port, over, samples = free_port(), threading.Event(), []
    outages: list[tuple[float, float]] = []
    with ExitStack() as stack:
        broker = Mosquitto(tmp_path)
        stack.callback(broker.stop)
        listener = TimedListener(broker.port)
        stack.callback(listener.close)
        outputs = (
            "--web",
            "--web-open",
            "--web-port",
            str(port),
            "--mqtt",
            f"mqtt://127.0.0.1:{broker.port}",
        )
        kept = (
            "--record",
            str(tmp_path / "shop.jsonl"),
            "--set",
            f"mqtt.outbox={tmp_path / 'outbox' / 'events.db'}",
        )
        run = stack.enter_context(running(tmp_path, camera.address, *outputs, *kept))
        wait_for_frames(port, 20)
        stack.enter_context(looking_at(port, tmp_path))
        trouble = threading.Thread(target=disturb, args=(camera, broker, over, outages))
        trouble.start()
        stack.callback(trouble.join)
        stack.callback(over.set)
        process, began_s = psutil.Process(run.pid), time.monotonic()
        while (at_s := time.monotonic() - began_s) < 60 * MINUTES:
            memory_mb = process.memory_info().rss / 2**20
            samples.append((at_s, memory_mb, process.num_threads(), process.num_fds()))
            time.sleep(SAMPLE_S)
        over.set()
        trouble.join()
        wait_for_frames(port, 1)
        time.sleep(2 * AWAY_S)  # for the last reconnection, and what waited for the broker
        told = read_metrics(port)
        run.send_signal(signal.SIGTERM)
        assert run.wait(10) == 0
        time.sleep(2)
    summary = json.loads((tmp_path / "summary.json").read_text())
    tracks = (path for path in tmp_path.glob("shop*.jsonl") if ".events." not in path.name)
    recorded = sum(1 for path in tracks for _ in read_json_lines(path)[1])
    table = np.array(samples[int(SETTLED_SHARE * len(samples)) :])
    slope, _ = np.polyfit(table[:, 0] / 3600, table[:, 1], 1)
    with_broker_s, all_s = listener.ages_s(outages), listener.ages_s([])
    p50_s, p99_s = np.percentile(with_broker_s, (50, 99))
    print(
        f"\n{MINUTES:g} minutes: {summary['frames']} frames, {summary['dropped']} dropped, {recorded} kept; "
        f"{camera.kills} kills, {summary['reconnects']} reconnects; "
        f"memory {table[:, 1].min():.1f} to {table[:, 1].max():.1f} MB, {slope:+.2f} MB an hour; "
        f"threads {table[:, 2].min():.0f} to {table[:, 2].max():.0f}, "
        f"files {table[:, 3].min():.0f} to {table[:, 3].max():.0f}; {len(listener.numbers)} events; "
        f"crossings and entries: {len(all_s)}, the oldest {max(all_s):.1f} s; {len(with_broker_s)} while the "
        f"broker was there, age p50 {p50_s:.3f} s, p99 {p99_s:.3f} s; "
        f"page delay { {name: value for name, value in told.items() if 'page_delay' in name} }"
    )
    assert recorded == summary["frames"] > 60 * MINUTES
    assert summary["reconnects"] == camera.kills
    assert set(listener.numbers) == set(range(min(listener.numbers), max(listener.numbers) + 1))
    assert slope * MINUTES / 60 < ALLOWED_GROWTH_MB
    assert table[:, 3].max() - table[:, 3].min() < 10


def test_what_page_broker_and_recording_cost(camera: Camera, tmp_path: Path) -> None:
    """Core-milliseconds a frame of the whole process, in turn, twice each."""
    psutil = pytest.importorskip("psutil")
    if MOSQUITTO is None:
        pytest.skip("needs mosquitto (apt-get install mosquitto)")
    seconds = min(60.0, 6 * MINUTES)
    broker = Mosquitto(tmp_path)
    costs: dict[str, list[float]] = {}
    with ExitStack() as stack:
        stack.callback(broker.stop)
        for turn in range(2):
            for name in ("page closed", "page open", "page closed, MQTT", "page closed, recording"):
                folder = tmp_path / f"{turn}-{name}"
                folder.mkdir()
                port = free_port()
                extra = {
                    "page closed, MQTT": ("--mqtt", f"mqtt://127.0.0.1:{broker.port}"),
                    "page closed, recording": ("--record", str(folder / "shop.jsonl")),
                }.get(name, ())
                with running(
                    folder, camera.address, "--web", "--web-open", "--web-port", str(port), *extra
                ) as run:
                    wait_for_frames(port, 20)
                    process = psutil.Process(run.pid)
                    with ExitStack() as looking:
                        if name == "page open":
                            looking.enter_context(looking_at(port, folder))
                        costs.setdefault(name, []).append(cost_of(process, port, seconds))
    print({name: [f"{ms:.1f}" for ms in values] for name, values in costs.items()})
    assert all(ms > 0 for values in costs.values() for ms in values)


def cost_of(process: Any, port: int, seconds: float) -> float:
    """Measure core-milliseconds a frame."""
    time.sleep(3)
    used, frames = sum(process.cpu_times()[:2]), read_metrics(port)["edge_fairmot_frames_total"]
    time.sleep(seconds)
    used = sum(process.cpu_times()[:2]) - used
    return 1e3 * used / (read_metrics(port)["edge_fairmot_frames_total"] - frames)
