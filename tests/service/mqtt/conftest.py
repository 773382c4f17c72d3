"""A real broker, which can be stopped and started, and a subscriber."""

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from edge_fairmot.pipeline import RunSummary
from edge_fairmot.protocols import SourceState
from edge_fairmot.service.mqtt import MqttConfig, MqttSink
from edge_fairmot.types import CountingEvent, Frame, FrameResult, Tracks

MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")

EVENT, STATE = "edge-fairmot/shop/event", "edge-fairmot/shop/state"
STATUS, HEALTH = "edge-fairmot/shop/status", "edge-fairmot/shop/health"


def wait_for(condition, within_s=30.0):
    """Wait until it is true; the assertion that follows says what is missing."""
    until = time.monotonic() + within_s
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)


class Mosquitto:
    """A broker on a port of its own."""

    def __init__(self, folder, *settings):
        with socket.create_server(("127.0.0.1", 0)) as place:
            self.port = place.getsockname()[1]
        self._configuration = folder / "mosquitto.conf"
        lines = [f"listener {self.port} 127.0.0.1", "user root"]
        # Subscribers are remembered, and messages are kept for them while they are away.
        lines += ["persistence true", f"persistence_location {folder}/"]
        lines += ["autosave_on_changes true", "autosave_interval 1"]
        lines += settings or ["allow_anonymous true"]
        self._configuration.write_text("\n".join(lines) + "\n")
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self):
        assert MOSQUITTO is not None
        command = [MOSQUITTO, "-c", str(self._configuration)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self._answers)

    def stop(self, sent=signal.SIGTERM):
        if self._process is not None:
            self._process.send_signal(sent)
            self._process.wait()
            self._process = None

    def freeze(self):
        """Let it accept what is sent, and do nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def _answers(self):
        with socket.socket() as place:
            return place.connect_ex(("127.0.0.1", self.port)) == 0


class Subscriber:
    """Keeps every message on every topic, in order."""

    def __init__(self, port, user="", password="", name="subscriber"):
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self.messages: list[tuple[str, str, bool]] = []
        self._ready = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, clean_session=False, client_id=name)
        if user:
            self._client.username_pw_set(user, password)
        self._client.reconnect_delay_set(0.05, 0.1)
        self._client.on_connect = lambda client, *_: client.subscribe("#", 1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = lambda _, __, message: self.messages.append(
            (message.topic, message.payload.decode(), message.retain)
        )
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._ready.wait(30)

    def payloads(self, topic):
        return [payload for name, payload, _ in self.messages if name == topic]

    def documents(self, topic):
        return [json.loads(payload) for payload in self.payloads(topic)]

    def track_ids(self):
        """Track ids of the events."""
        return [document["track_id"] for document in self.documents(EVENT)]

    def close(self):
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture(scope="session", autouse=True)
def _needs_paho():
    pytest.importorskip("paho.mqtt", reason="needs the mqtt extra")


@pytest.fixture(autouse=True)
def _quick_reconnection(monkeypatch):
    monkeypatch.setattr("edge_fairmot.service.mqtt.connection.RECONNECT_S", (0.05, 0.1))


@pytest.fixture
def mosquitto(tmp_path):
    """Start brokers with settings of their own."""
    if MOSQUITTO is None:
        pytest.skip("needs mosquitto (apt-get install mosquitto)")
    started: list[Mosquitto] = []

    def start(*settings):
        started.append(Mosquitto(tmp_path, *settings))
        return started[-1]

    yield start
    for broker in started:
        broker.stop()


@pytest.fixture
def broker(mosquitto):
    return mosquitto()


@pytest.fixture
def subscriber(broker):
    opened = Subscriber(broker.port)
    yield opened
    opened.close()


@pytest.fixture
def config(tmp_path):
    def make(port, **settings):
        outbox = tmp_path / "outbox" / "events.db"
        usual = {"broker": f"mqtt://127.0.0.1:{port}", "outbox": outbox, "device": "shop"}
        return MqttConfig(**usual | settings)

    return make


@pytest.fixture
def open_sink(broker, config):
    """Open sinks at the broker; they are closed at the end of the test."""
    sinks = []

    def make(state=None, counts=None, **settings):
        sinks.append(MqttSink(config(broker.port, **settings), summary, state or running, counts))
        return sinks[-1]

    yield make
    for sink in sinks:
        sink.close()


def summary(frames=0):
    return RunSummary(frames, frames, 0, 3, 2, 5, 1.0, {})


def running():
    return SourceState("running", 0.0, 1, "")


def walker(x, track_id=7):
    xyxy = np.array([[x - 3, 20, x + 3, 40]], np.float32)
    return Tracks(
        np.array([track_id]), xyxy, np.ones(1, np.float32), np.zeros(1, np.int64), np.zeros(1, bool)
    )


FRAME = Frame(np.zeros((48, 64, 3), np.uint8), 6, 0.24)
"""The seventh frame."""

RESULT = FrameResult(FRAME, Tracks.empty())


def crossing(track_id):
    """The seventh frame, in which a track crosses the door."""
    return replace(RESULT, events=(CountingEvent("in", "door", track_id, track_id / 10),))


def trouble(sink):
    return str(sink.health["mqtt"]["trouble"])
