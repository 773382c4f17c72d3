"""A real broker, which can be stopped and started, and somebody who listens to it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_fairmot.counting import Event
from edge_fairmot.pipeline import RunSummary
from edge_fairmot.protocols import SourceState
from edge_fairmot.service.mqtt import Broker, MqttConfig

MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def wait_for(condition: Callable[[], object], within_s: float = 30.0) -> None:
    """Until it is true; what follows says what is missing."""
    until = time.monotonic() + within_s
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)


class Mosquitto:
    """A broker on a port of its own."""

    def __init__(self, folder: Path, *settings: str, host: str = "127.0.0.1") -> None:
        with socket.create_server((host, 0)) as place:
            self.port = place.getsockname()[1]
        self._configuration = folder / "mosquitto.conf"
        lines = [f"listener {self.port} {host}", "user root"]
        # Who listens is remembered, and what comes before they are back is kept for them.
        lines += ["persistence true", f"persistence_location {folder}/"]
        lines += ["autosave_on_changes true", "autosave_interval 1"]
        lines += settings or ["allow_anonymous true"]
        self._configuration.write_text("\n".join(lines) + "\n")
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        assert MOSQUITTO is not None
        command = [MOSQUITTO, "-c", str(self._configuration)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self._answers)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Let it take what is sent, and do nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def _answers(self) -> bool:
        with socket.socket() as place:
            return place.connect_ex(("127.0.0.1", self.port)) == 0


class Listener:
    """Keeps every message on every topic, in order."""

    def __init__(self, port: int, user: str = "", password: str = "", name: str = "listener") -> None:
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

    def payloads(self, topic: str) -> list[str]:
        return [payload for name, payload, _ in self.messages if name == topic]

    def documents(self, topic: str) -> list[dict[str, object]]:
        return [json.loads(payload) for payload in self.payloads(topic)]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture(scope="session", autouse=True)
def _needs_paho() -> None:
    pytest.importorskip("paho.mqtt", reason="needs the mqtt extra")


@pytest.fixture(autouse=True)
def _soon_connected_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_fairmot.service.mqtt.connection.RECONNECT_S", (0.05, 0.1))


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    if MOSQUITTO is None:
        pytest.skip("needs mosquitto (apt-get install mosquitto)")
    running = Mosquitto(tmp_path)
    yield running
    running.stop()


@pytest.fixture
def listener(broker: Mosquitto) -> Iterator[Listener]:
    opened = Listener(broker.port)
    yield opened
    opened.close()


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., MqttConfig]:
    def make(port: int, **settings: Any) -> MqttConfig:
        spool = tmp_path / "spool" / "events.db"
        return MqttConfig(
            **{"broker": Broker("127.0.0.1", port), "spool": spool, "device": "shop"} | settings
        )

    return make


def summary(frames: int = 0) -> RunSummary:
    return RunSummary(frames, frames, 0, 3, 2, 5, 1.0, {})


def running() -> SourceState:
    return SourceState("running", 0.0, 1, "")


def crossing(track_id: int) -> Event:
    return Event("in", "door", track_id, track_id / 10)
