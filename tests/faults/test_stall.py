"""A run that hangs says so everywhere, and every run ends within five seconds of a signal."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_fairmot.cli.watch import stall_of
from edge_fairmot.protocols import SourceState
from edge_fairmot.service.mqtt.topics import state_document

from ..cli.command_line import COMMAND  # noqa: TID252
from ..service.mqtt.conftest import MOSQUITTO, STATE, Mosquitto, Subscriber  # noqa: TID252

_SPEC = importlib.util.spec_from_file_location("moody", Path(__file__).parents[1] / "moody_runtime.py")
assert _SPEC is not None
assert _SPEC.loader is not None
moody = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(moody)

STREET = "synthetic:frames=endless,size=64x64,people=1,fps=25"


class Run:
    """A command in a process; its stderr is read line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process, self.lines = process, []

    def wait_for(self, words: str) -> str:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            if words in line:
                return line
        raise AssertionError(f"ended without {words!r}: {self.lines}")

    def end(self, number: int) -> int:
        """Send a signal and return the exit status, which must come within five seconds."""
        started_s = time.monotonic()
        self.process.send_signal(number)
        status = self.process.wait(20)
        # A machine that is busy with other tests gets a second more.
        assert time.monotonic() - started_s < 6
        return status


@pytest.fixture
def started(tmp_path: Path) -> Callable[..., Run]:
    moody.install(tmp_path)

    @contextmanager
    def start(*command: object, program: str | None = None, **environment: str) -> Iterator[Run]:
        # A shell that starts the tests in the background has them ignore Ctrl-C, children included.
        python = ("env", "--default-signal=INT,HUP", *(COMMAND if program is None else COMMAND[:1]))
        words = (*python, *(() if program is None else ("-c", program)), *map(str, command))
        paths = {"PYTHONPATH": str(tmp_path), "COLUMNS": "200", "STATE_DIRECTORY": str(tmp_path / "state")}
        with subprocess.Popen(
            words,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | paths | environment,
        ) as process:
            limit = threading.Timer(60, process.kill)  # so that a test that waits for a line fails
            limit.start()
            try:
                yield Run(process)
            finally:
                limit.cancel()
                process.kill()

    return start


def track(model: Path, output: Path, *more: object) -> tuple[object, ...]:
    return ("track", STREET, "-m", model, "--no-video", "-o", output, "--stall-after", "0.5", *more)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_hung_detector_of_track_is_told_and_a_signal_ends_it(started, still_model, tmp_path, number):
    output = tmp_path / "out"
    with started(*track(still_model, output, "--runtime", "moody:hangs")) as run:
        run.wait_for("stalled: the detector has not returned for more than 0.5 s")
        assert run.end(number) == 130
    summary = json.loads((output / "summary.json").read_text())
    assert (summary["complete"], summary["frames"]) == (False, 11)
    assert summary["ended"] == "interrupted; the detector has not returned for more than 0.5 s"
    assert (output / "tracks.jsonl").read_text().count("\n") == 1 + 11


HANGS = {
    "an output": (
        "from edge_fairmot.sinks import MotTextSink as Hung\n"
        "def hang(self, result): result.frame.number < 12 or time.sleep(1e6)\n"
        "Hung.write = hang\n"
    ),
    # As a library that hangs: no handler of Python runs in the main thread any more.
    "an output in a library": (
        "from edge_fairmot.sinks import MotTextSink as Hung\n"
        "import ctypes\n"
        "def sleep():\n"
        "    while ctypes.CDLL(None).sleep(1000000): pass\n"
        "def hang(self, result):\n"
        "    while result.frame.number >= 12: sleep()\n"
        "Hung.write = hang\n"
    ),
    "the decoder": (
        "from edge_fairmot.benchmarks.street.source import SyntheticSource as Hung\n"
        "frames = Hung.__iter__\n"
        "def hang(self):\n"
        "    for frame in frames(self): frame.number < 12 or time.sleep(1e6); yield frame\n"
        "Hung.__iter__ = hang\n"
    ),
}


@pytest.mark.parametrize("hung", HANGS)
def test_a_hung_output_and_a_hung_decoder_are_told_and_ended(started, still_model, tmp_path, hung):
    output = tmp_path / "out"
    program = f"import time\n{HANGS[hung]}from edge_fairmot.cli.main import run; run()"
    with started(*track(still_model, output), program=program) as run:
        run.wait_for(f"stalled: {hung.removesuffix(' in a library')} has not returned")
        assert run.end(signal.SIGTERM) == 130
    summary = json.loads((output / "summary.json").read_text())
    assert (summary["complete"], summary["frames"]) == (False, 11)
    assert "interrupted" in summary["ended"]
    assert "has not returned" in summary["ended"]


def test_a_pause_is_told_and_the_run_goes_on_to_a_complete_end(started, still_model, tmp_path):
    _, _, *words = track(still_model, tmp_path / "out", "--runtime", "moody:naps")
    with started("track", STREET.replace("endless", "400"), *words) as run:
        run.wait_for("stalled: the detector")
        run.wait_for("the run goes on after a stall")
        assert run.process.wait(30) == 0
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["complete"]


def ask(address: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def wait_until(condition: Callable[[], object], within_s: float = 20) -> None:
    until_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until_s
        time.sleep(0.05)


@pytest.mark.skipif(MOSQUITTO is None, reason="needs mosquitto")
def test_a_hung_live_run_is_stalled_in_log_page_metrics_mqtt_systemd_and_container(
    started, still_model, tmp_path
):
    pytest.importorskip("paho.mqtt", reason="needs the mqtt extra")
    pytest.importorskip("uvicorn", reason="needs the web extra")
    health, summary = tmp_path / "health", tmp_path / "summary.json"
    broker = Mosquitto(tmp_path)
    subscriber = Subscriber(broker.port)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(20)
        command = ("live", STREET, "-m", still_model, "--runtime", "moody:hangs", "--stall-after", "1.5")
        outputs = ("--web", "--web-port", "0", "--web-open", "--mqtt", f"mqtt://127.0.0.1:{broker.port}")
        device = ("--set", "mqtt.device=shop", "--summary", summary)
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "EDGE_FAIRMOT_HEALTH_FILE": str(health)}
        with started(*command, *outputs, *device, **environment) as run:
            address = run.wait_for("page at ").split()[-1]
            wait_until(lambda: any(one["source"] == "running" for one in subscriber.documents(STATE)))
            assert health.exists()
            run.wait_for("stalled: the detector has not returned for more than 1.5 s")
            assert json.loads(ask(f"{address}api/status")[1])["source"]["status"] == "stalled"
            assert ask(f"{address}healthz")[0] == 503
            assert "edge_fairmot_source_up 0.0" in ask(f"{address}metrics")[1]
            wait_until(lambda: subscriber.documents(STATE)[-1]["source"] == "stalled")
            assert subscriber.documents(STATE)[-1]["people"] is None
            while b"STATUS=stalled: the detector" not in systemd.recv(4096):
                pass
            touched_s = health.stat().st_mtime
            time.sleep(1.5)
            assert health.stat().st_mtime == touched_s
            assert run.end(signal.SIGTERM) == 1
    subscriber.close()
    broker.stop()
    document = json.loads(summary.read_text())
    assert not document["complete"]
    assert "did not return" in document["ended"]


def test_a_stalled_source_shows_nobody():
    assert state_document(3, None, SourceState("stalled", 0.0))["people"] is None


def test_the_stage_that_hangs_for_the_longest_is_named():
    assert stall_of({}, 1) == stall_of({"decode": 0.9}, 1) == ""
    assert stall_of({"decode": 2, "inference": 9}, 1) == "the detector has not returned for more than 1 s"


def test_the_dockerfile_reads_the_file_that_a_run_touches(tmp_path):
    text = (Path(__file__).parents[2] / "Dockerfile").read_text()
    check = text.partition("HEALTHCHECK ")[2].partition("CMD ")[2].splitlines()[0]
    file = tmp_path / "health"

    def healthy() -> bool:
        environment = os.environ | {"EDGE_FAIRMOT_HEALTH_FILE": str(file)}
        return subprocess.run(["sh", "-c", check], env=environment, check=False).returncode == 0

    assert not healthy()
    file.touch()
    assert healthy()
    os.utime(file, (time.time() - 30,) * 2)
    assert not healthy()
