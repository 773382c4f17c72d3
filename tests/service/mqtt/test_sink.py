"""What a broker gets, and what it still gets when it was away."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_fairmot.counting import Counter, CountingConfig, parse_line, parse_zone
from edge_fairmot.errors import InvalidInputError, SinkError
from edge_fairmot.protocols import SourceState
from edge_fairmot.service.mqtt import Broker, Certificates, Credentials, MqttConfig, MqttSink
from edge_fairmot.types import Frame, Tracks

from .conftest import MOSQUITTO, Listener, Mosquitto, crossing, running, summary, wait_for

EVENT, STATE = "edge-fairmot/shop/event", "edge-fairmot/shop/state"
STATUS, HEALTH = "edge-fairmot/shop/status", "edge-fairmot/shop/health"
FRAME = Frame(np.zeros((48, 64, 3), np.uint8), 6, 0.24)
"""The seventh frame."""


def walker(x: float, track_id: int = 7) -> Tracks:
    xyxy = np.array([[x - 3, 20, x + 3, 40]], np.float32)
    return Tracks(
        np.array([track_id]), xyxy, np.ones(1, np.float32), np.zeros(1, np.int64), np.zeros(1, bool)
    )


@pytest.fixture
def opened(broker: Mosquitto, config: Callable[..., MqttConfig]) -> Iterator[Callable[..., MqttSink]]:
    sinks = []

    def make(
        counter: Counter | None = None, state: Callable[[], SourceState] = running, **settings: Any
    ) -> MqttSink:
        sinks.append(MqttSink(config(broker.port, **settings), summary, state, counter))
        return sinks[-1]

    yield make
    for sink in sinks:
        sink.close()


def ids(listener: Listener) -> list[object]:
    return [document["track_id"] for document in listener.documents(EVENT)]


def test_an_event_says_all_and_has_an_id(opened: Callable[..., MqttSink], listener: Listener) -> None:
    sink = opened()
    sink.take_event(FRAME, crossing(1))
    sink.take_event(FRAME, replace(crossing(2), kind="leave", name="hall", dwell_s=1.23456))
    wait_for(lambda: len(listener.payloads(EVENT)) == 2)
    first, second = listener.documents(EVENT)
    spool, number = str(first["id"]).split("-")
    assert re.fullmatch("[0-9a-f]{8}", spool)
    assert second["id"] == f"{spool}-{int(number) + 1}"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(first.pop("time")))
    assert first == {
        "id": f"{spool}-{number}",
        "frame": 7,
        "time_s": 0.1,
        "event": "in",
        "line": "door",
        "track_id": 1,
    }
    assert (second["event"], second["zone"], second["dwell_s"]) == ("leave", "hall", 1.235)


def test_events_of_while_the_broker_was_away_come_when_it_is_back(
    opened: Callable[..., MqttSink], broker: Mosquitto, listener: Listener
) -> None:
    sink = opened()
    sink.take_event(FRAME, crossing(1))
    wait_for(lambda: ids(listener) == [1])
    broker.stop()
    wait_for(lambda: sink.trouble)
    assert "is lost" in sink.trouble
    began = time.monotonic()
    for track_id in range(2, 52):
        sink.write(FRAME, walker(30))
        sink.take_event(FRAME, crossing(track_id))
    assert time.monotonic() - began < 10  # none waited for a connection
    broker.start()
    wait_for(lambda: len(set(ids(listener))) == 51, 60)
    assert sorted(set(ids(listener))) == list(range(1, 52))
    assert sink.trouble == ""


def test_what_the_broker_took_and_did_not_acknowledge_is_sent_again(
    opened: Callable[..., MqttSink], broker: Mosquitto, listener: Listener
) -> None:
    sink = opened()
    sink.take_event(FRAME, crossing(1))
    wait_for(lambda: ids(listener) == [1])
    broker.freeze()
    for track_id in range(2, 7):
        sink.take_event(FRAME, crossing(track_id))
    wait_for(lambda: sink._publisher._last_number == 6)
    time.sleep(0.1)  # they are in the frozen broker's hands
    broker.kill()
    broker.start()
    wait_for(lambda: len(set(ids(listener))) == 6)
    assert set(ids(listener)) == set(range(1, 7))


def test_a_broker_that_is_not_there_at_the_start_is_waited_for(
    opened: Callable[..., MqttSink],
    broker: Mosquitto,
    listener: Listener,
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker.stop()
    sink = opened()
    sink.take_event(FRAME, crossing(1))
    wait_for(lambda: "cannot be reached" in sink.trouble)
    assert "Connection refused" in sink.trouble
    time.sleep(0.5)  # some attempts more
    assert caplog.text.count("cannot be reached") == 1
    broker.start()
    wait_for(lambda: ids(listener) == [1])
    assert ids(listener) == [1]


KILLED = """
import sys, time
from pathlib import Path
import numpy as np
from edge_fairmot.counting import Event
from edge_fairmot.service.mqtt import Broker, MqttConfig, MqttSink
from edge_fairmot.types import Frame

config = MqttConfig(Broker("127.0.0.1", int(sys.argv[1])), Path(sys.argv[2]), "shop")
sink = MqttSink(config, None, None)
for track_id in range(1, 31):
    sink.take_event(Frame(np.zeros((2, 2, 3), np.uint8), track_id, 0.0), Event("in", "door", track_id, 0.0))
print("taken", flush=True)
time.sleep(600)
"""


def test_events_survive_a_killed_process(
    opened: Callable[..., MqttSink], broker: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    broker.stop()
    spool = tmp_path / "spool" / "events.db"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(broker.port), str(spool)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "taken\n"
    process.kill()
    process.communicate()
    broker.start()
    sink = opened()
    sink.take_event(FRAME, crossing(31))
    wait_for(lambda: len(ids(listener)) >= 31)
    assert ids(listener) == list(range(1, 32))
    assert len({document["id"] for document in listener.documents(EVENT)}) == 31


def test_what_was_acknowledged_is_not_sent_by_the_next_run(
    broker: Mosquitto, config: Callable[..., MqttConfig], listener: Listener
) -> None:
    for track_id in (1, 2):
        with MqttSink(config(broker.port), summary, running) as sink:
            sink.take_event(FRAME, crossing(track_id))
            wait_for(lambda: len(ids(listener)) >= track_id)  # noqa: B023
    numbers = [str(document["id"]).split("-")[1] for document in listener.documents(EVENT)]
    assert (ids(listener), numbers) == ([1, 2], ["1", "2"])


def test_state_is_retained_and_only_the_latest_of_it(
    opened: Callable[..., MqttSink], broker: Mosquitto, listener: Listener
) -> None:
    config = CountingConfig((parse_line("door:0.5,0,0.5,1"),), (parse_zone("hall:0,0;0.5,0;0.5,1;0,1"),))
    counter = Counter(config, (64, 48))
    sink = opened(counter)
    wait_for(lambda: listener.payloads(STATE))
    for index, x in enumerate((50, 40, 20, 10)):
        counter.update(walker(x), index / 25)
        sink.write(FRAME, walker(x))
    wait_for(lambda: listener.documents(STATE)[-1]["people"] == 1)
    told = len(listener.payloads(STATE))
    time.sleep(1.2)  # nothing changes
    sink._publisher.notice()
    time.sleep(0.1)
    assert len(listener.payloads(STATE)) == told
    late = Listener(broker.port, name="late")
    wait_for(lambda: late.payloads(HEALTH) and late.payloads(STATUS))
    late.close()
    assert (STATUS, "online", True) in late.messages
    _, text, retained = next(message for message in late.messages if message[0] == STATE)
    assert retained
    assert json.loads(text) == {
        "source": "running",
        "message": "",
        "people": 1,
        "lines": {"door": {"in": 1, "out": 0}},
        "zones": {
            "hall": {"occupancy": 1, "entries": 1, "stays": 0, "mean_dwell_s": 0.0, "longest_dwell_s": 0.0}
        },
    }
    assert len(late.payloads(STATE)) == 1
    health = late.documents(HEALTH)[0]
    assert (health["dropped"], health["reconnects"], health["events_waiting"]) == (3, 1, 0)
    assert health["outputs"] == {}


def test_health_tells_of_the_other_outputs(
    broker: Mosquitto, config: Callable[..., MqttConfig], listener: Listener
) -> None:
    full = {"recording": {"trouble": "/data is full", "missed_frames": 3, "missed_events": 1}}
    with MqttSink(config(broker.port), summary, running, outputs=lambda: full):
        wait_for(lambda: bool(listener.payloads(HEALTH)))
    assert listener.documents(HEALTH)[0]["outputs"] == full


def test_of_a_lost_source_nobody_knows_how_many_people_there_are(
    opened: Callable[..., MqttSink], listener: Listener
) -> None:
    states = [running()]
    zone = CountingConfig(zones=(parse_zone("hall:0,0;1,0;1,1;0,1"),))
    sink = opened(Counter(zone, (64, 48)), lambda: states[-1])
    sink.write(FRAME, walker(20))
    wait_for(lambda: listener.payloads(STATE) and listener.documents(STATE)[-1]["people"] == 1)
    states.append(SourceState("lost", 0.0, 1, "no frame for 5 s"))
    wait_for(lambda: listener.documents(STATE)[-1]["source"] == "lost")
    last = listener.documents(STATE)[-1]
    assert (last["people"], last["message"]) == (None, "no frame for 5 s")
    assert last["zones"]["hall"]["occupancy"] is None


def test_a_farewell_is_offline(
    broker: Mosquitto, config: Callable[..., MqttConfig], listener: Listener
) -> None:
    sink = MqttSink(config(broker.port), summary, running)
    wait_for(lambda: listener.payloads(STATUS) == ["online"])
    sink.close()
    sink.close()
    wait_for(lambda: len(listener.payloads(STATUS)) == 2)
    assert listener.payloads(STATUS) == ["online", "offline"]


def test_a_killed_process_is_offline_by_its_last_will(
    broker: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", KILLED, str(broker.port), str(tmp_path / "events.db")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    wait_for(lambda: listener.payloads(STATUS) == ["online"])
    process.kill()
    process.wait()
    wait_for(lambda: len(listener.payloads(STATUS)) == 2)
    assert listener.payloads(STATUS) == ["online", "offline"]


def test_closing_while_the_broker_is_away_is_soon_done_and_keeps_the_events(
    broker: Mosquitto, config: Callable[..., MqttConfig], listener: Listener
) -> None:
    broker.stop()
    sink = MqttSink(config(broker.port), summary, running)
    sink.take_event(FRAME, crossing(1))
    began = time.monotonic()
    sink.close()
    assert time.monotonic() - began < 2
    broker.start()
    with MqttSink(config(broker.port), summary, running):
        wait_for(lambda: ids(listener) == [1])
    assert ids(listener) == [1]


def test_two_runs_do_not_share_events(broker: Mosquitto, config: Callable[..., MqttConfig]) -> None:
    with (
        MqttSink(config(broker.port), summary, running),
        pytest.raises(SinkError, match="belongs to another run: give each a device name"),
    ):
        MqttSink(config(broker.port), summary, running)
    MqttSink(config(broker.port), summary, running).close()


def test_two_of_one_name_are_told_so_once(
    broker: Mosquitto, config: Callable[..., MqttConfig], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        MqttSink(config(broker.port), summary, running) as first,
        MqttSink(config(broker.port, spool=tmp_path / "other.db"), summary, running) as second,
    ):
        often = 12
        wait_for(lambda: min(sink._publisher.connection.times_made for sink in (first, second)) > often)
        assert min(sink._publisher.connection.times_made for sink in (first, second)) > often
    assert caplog.text.count("called 'shop', too? Give each a device name of its own") == 2  # once each
    assert caplog.text.count("is lost") <= 4


def test_a_password_is_asked_for_and_never_told(
    config: Callable[..., MqttConfig], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if MOSQUITTO is None:
        pytest.skip("needs mosquitto (apt-get install mosquitto)")
    passwords = tmp_path / "passwords"
    passwords.write_text("camera:s3cret-word\n")
    subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True)
    passwords.chmod(0o644)
    broker = Mosquitto(tmp_path, "allow_anonymous false", f"password_file {passwords}")
    wrong = config(broker.port, credentials=Credentials("camera", "s3cret-wrong"))
    with MqttSink(wrong, summary, running) as sink:
        wait_for(lambda: "refuses us" in sink.trouble)
        assert "Not authorized" in sink.trouble
    right = config(broker.port, credentials=Credentials("camera", "s3cret-word"))
    listener = Listener(broker.port, "camera", "s3cret-word")
    with MqttSink(right, summary, running) as sink:
        wait_for(lambda: listener.payloads(STATUS)[-1:] == ["online"])
        assert sink.trouble == ""
    listener.close()
    broker.stop()
    assert listener.payloads(STATUS)[0] == "online"
    assert "refuses us: Not authorized" in caplog.text
    assert "s3cret" not in caplog.text + repr(wrong) + str(right)


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """A broker's key and certificate, which is its own authority."""
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost "
        "-addext subjectAltName=DNS:localhost -keyout key.pem -out broker.pem"
    )
    try:
        subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs openssl")
    (tmp_path / "key.pem").chmod(0o644)
    return tmp_path


# paho leaves the socket of a failed handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_tls_needs_a_certificate_that_is_believed(
    config: Callable[..., MqttConfig], certificates: Path
) -> None:
    if MOSQUITTO is None:
        pytest.skip("needs mosquitto (apt-get install mosquitto)")
    broker = Mosquitto(
        certificates,
        "allow_anonymous true",
        f"certfile {certificates / 'broker.pem'}",
        f"keyfile {certificates / 'key.pem'}",
    )
    localhost = Broker("localhost", broker.port, tls=True)
    trusting = config(0, broker=localhost, certificates=Certificates(certificates / "broker.pem"))
    with MqttSink(config(0, broker=localhost), summary, running) as sink:
        wait_for(lambda: "certificate verify failed" in sink.trouble)
        assert "certificate verify failed" in sink.trouble
    with MqttSink(trusting, summary, running) as sink:
        wait_for(lambda: not sink.trouble)
        assert sink.trouble == ""
    broker.stop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_broker_may_ask_for_a_certificate(config: Callable[..., MqttConfig], certificates: Path) -> None:
    if MOSQUITTO is None:
        pytest.skip("needs mosquitto (apt-get install mosquitto)")
    own, key = certificates / "broker.pem", certificates / "key.pem"
    broker = Mosquitto(
        certificates,
        "allow_anonymous true",
        f"certfile {own}",
        f"keyfile {key}",
        f"cafile {own}",
        "require_certificate true",
    )
    localhost = Broker("localhost", broker.port, tls=True)
    with MqttSink(config(0, broker=localhost, certificates=Certificates(own)), summary, running) as sink:
        wait_for(lambda: "hangs up" in sink.trouble)
        assert "hangs up before it answers" in sink.trouble
    with MqttSink(
        config(0, broker=localhost, certificates=Certificates(own, own, key)), summary, running
    ) as sink:
        wait_for(lambda: not sink.trouble)
        assert sink.trouble == ""
    broker.stop()


def test_a_certificate_that_is_none_is_told_at_once(
    config: Callable[..., MqttConfig], tmp_path: Path
) -> None:
    broker = Broker("localhost", 8883, tls=True)
    wrong = config(0, broker=broker, certificates=Certificates(tmp_path / "missing.pem"))
    with pytest.raises(InvalidInputError, match=r"missing\.pem\) cannot be used"):
        MqttSink(wrong, summary, running)
    MqttSink(config(1), summary, running).close()  # the spool was let go
