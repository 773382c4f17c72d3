"""What a broker gets, and what it still gets after it was away."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_fairmot.counting import Counter, CountingConfig, parse_line, parse_zone
from edge_fairmot.errors import InvalidInputError, SinkError
from edge_fairmot.protocols import SourceState
from edge_fairmot.service.mqtt import MqttConfig, MqttSink
from edge_fairmot.types import CountingEvent, FrameResult

from .conftest import (
    EVENT,
    FRAME,
    HEALTH,
    STATE,
    STATUS,
    Subscriber,
    crossing,
    running,
    summary,
    trouble,
    wait_for,
    walker,
)

OpenSink = Callable[..., MqttSink]
Config = Callable[..., MqttConfig]


def test_an_event_is_complete_and_has_an_id(open_sink, subscriber):
    leave = CountingEvent("leave", "hall", 2, 0.2, 1.23456)
    open_sink().write(replace(crossing(1), events=(*crossing(1).events, leave)))
    wait_for(lambda: len(subscriber.payloads(EVENT)) == 2)
    first, second = subscriber.documents(EVENT)
    outbox, number = str(first["id"]).split("-")
    assert re.fullmatch("[0-9a-f]{8}", outbox)
    assert second["id"] == f"{outbox}-{int(number) + 1}"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(first.pop("time")))
    assert list(first.items()) == [
        ("id", f"{outbox}-{number}"),
        ("frame", 7),
        ("time_s", 0.1),
        ("event", "in"),
        ("line", "door"),
        ("track_id", 1),
    ]
    assert (second["event"], second["zone"], second["dwell_s"]) == ("leave", "hall", 1.235)


def test_the_time_of_an_event_is_when_it_happened_and_not_when_it_is_sent(broker, config, subscriber):
    happened = datetime(2026, 11, 30, 9, 15, 0, 250_000, timezone.utc)
    time_of = {0.1: happened}.__getitem__
    with MqttSink(config(broker.port), summary, running, time_of=time_of) as sink:
        sink.write(crossing(1))
        wait_for(lambda: subscriber.payloads(EVENT))
    (event,) = subscriber.documents(EVENT)
    assert event["time"] == "2026-11-30T09:15:00.250Z"


def test_of_several_classes_the_state_and_events_say_the_class(open_sink, subscriber):
    names = ("car", "bus")
    counter = Counter(CountingConfig((parse_line("door:0.5,0,0.5,1"),)), (64, 48), names)
    sink = open_sink(counts=counter.counts)
    for index, x in enumerate((50, 40, 20, 10)):
        tracks = replace(walker(x), class_id=np.array([1]))
        events = counter.update(tracks, index / 10)
        sink.write(FrameResult(FRAME, tracks, events, counter.counts, names))
    wait_for(lambda: subscriber.documents(EVENT))
    (event,) = subscriber.documents(EVENT)
    assert (event["event"], event["class"]) == ("in", "bus")
    wait_for(lambda: any("in_view" in state for state in subscriber.documents(STATE)))
    state = subscriber.documents(STATE)[-1]
    assert state["in_view"] == {"car": 0, "bus": 1}
    one, none = {"in": 1, "out": 0}, {"in": 0, "out": 0}
    assert state["lines"] == {"door": {**one, "classes": {"car": none, "bus": one}}}


def test_events_arrive_after_the_broker_was_away(open_sink, broker, subscriber):
    sink = open_sink()
    sink.write(crossing(1))
    wait_for(lambda: subscriber.track_ids() == [1])
    broker.stop()
    wait_for(lambda: trouble(sink))
    assert "is lost" in trouble(sink)
    began = time.monotonic()
    for track_id in range(2, 52):
        sink.write(crossing(track_id))
    assert time.monotonic() - began < 10  # none waited for a connection
    broker.start()
    wait_for(lambda: len(set(subscriber.track_ids())) == 51, 60)
    assert sorted(set(subscriber.track_ids())) == list(range(1, 52))
    assert trouble(sink) == ""


def test_events_that_were_not_acknowledged_are_sent_again(open_sink, broker, subscriber):
    sink = open_sink()
    sink.write(crossing(1))
    wait_for(lambda: subscriber.track_ids() == [1])
    broker.freeze()
    for track_id in range(2, 7):
        sink.write(crossing(track_id))
    wait_for(lambda: sink._publisher._last_number == 6)
    time.sleep(0.1)  # the frozen broker has them
    broker.stop(signal.SIGKILL)
    broker.start()
    wait_for(lambda: len(set(subscriber.track_ids())) == 6)
    assert set(subscriber.track_ids()) == set(range(1, 7))


def test_a_broker_that_is_away_at_the_start_is_waited_for(open_sink, broker, subscriber, caplog):
    broker.stop()
    sink = open_sink()
    sink.write(crossing(1))
    wait_for(lambda: "cannot be reached" in trouble(sink))
    assert "Connection refused" in trouble(sink)
    time.sleep(0.5)  # some more attempts
    assert caplog.text.count("cannot be reached") == 1
    broker.start()
    wait_for(lambda: subscriber.track_ids() == [1])
    assert subscriber.track_ids() == [1]


KILLED = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from conftest import crossing, running, summary
from edge_fairmot.service.mqtt import MqttConfig, MqttSink

config = MqttConfig(f"mqtt://127.0.0.1:{sys.argv[1]}", "shop", outbox=Path(sys.argv[2]))
sink = MqttSink(config, summary, running)
for track_id in range(1, 31):
    sink.write(crossing(track_id))
print("written", flush=True)
time.sleep(600)
"""


@contextmanager
def killed(broker, outbox):
    """Run another process that writes 30 events, and kill it at the end."""
    command = [sys.executable, "-c", KILLED, str(broker.port), str(outbox), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "written\n"
        yield
        process.kill()


def test_events_survive_a_killed_process(open_sink, broker, subscriber, tmp_path):
    broker.stop()
    with killed(broker, tmp_path / "outbox" / "events.db"):
        pass
    broker.start()
    open_sink().write(crossing(31))
    wait_for(lambda: len(subscriber.track_ids()) >= 31)
    assert subscriber.track_ids() == list(range(1, 32))
    assert len({document["id"] for document in subscriber.documents(EVENT)}) == 31


def test_a_killed_process_is_offline_by_its_last_will(broker, subscriber, tmp_path):
    with killed(broker, tmp_path / "events.db"):
        wait_for(lambda: subscriber.payloads(STATUS) == ["online"])
    wait_for(lambda: len(subscriber.payloads(STATUS)) == 2)
    assert subscriber.payloads(STATUS) == ["online", "offline"]


def test_acknowledged_events_are_not_sent_by_the_next_run(open_sink, subscriber):
    for track_id in (1, 2):
        with open_sink() as sink:
            sink.write(crossing(track_id))
            wait_for(lambda: len(subscriber.track_ids()) >= track_id)  # noqa: B023
    numbers = [str(document["id"]).split("-")[1] for document in subscriber.documents(EVENT)]
    assert (subscriber.track_ids(), numbers) == ([1, 2], ["1", "2"])
    wait_for(lambda: len(subscriber.payloads(STATUS)) == 4)
    assert subscriber.payloads(STATUS) == 2 * ["online", "offline"]


def test_only_the_newest_state_is_retained(open_sink, broker, subscriber):
    config = CountingConfig((parse_line("door:0.5,0,0.5,1"),), (parse_zone("hall:0,0;0.5,0;0.5,1;0,1"),))
    counter = Counter(config, (64, 48))
    sink = open_sink(counts=counter.counts)
    wait_for(lambda: subscriber.payloads(STATE))
    assert subscriber.documents(STATE)[0]["lines"] == {"door": {"in": 0, "out": 0}}  # before the first frame
    for index, x in enumerate((50, 40, 20, 10)):
        counter.update(walker(x), index / 25)
        sink.write(FrameResult(FRAME, walker(x), (), counter.counts))
    wait_for(lambda: subscriber.documents(STATE)[-1]["people"] == 1)
    told = len(subscriber.payloads(STATE))
    time.sleep(1.2)  # nothing changes
    sink._publisher.wake()
    time.sleep(0.1)
    assert len(subscriber.payloads(STATE)) == told
    late = Subscriber(broker.port, name="late")
    wait_for(lambda: late.payloads(HEALTH) and late.payloads(STATUS))
    late.close()
    assert (STATUS, "online", True) in late.messages
    (text,) = late.payloads(STATE)
    assert (STATE, text, True) in late.messages
    assert json.loads(text) == {
        "source": "running",
        "message": "",
        "people": 1,
        "lines": {"door": {"in": 1, "out": 0}},
        "zones": {
            "hall": {
                "occupancy": 1,
                "unseen": 0,
                "entries": 1,
                "stays": 0,
                "mean_dwell_s": 0.0,
                "longest_dwell_s": 0.0,
            }
        },
    }
    health = late.documents(HEALTH)[0]
    assert (health["dropped"], health["reconnects"], health["events_waiting"]) == (3, 1, 0)
    assert health["outputs"] == {}


def test_people_and_occupancy_are_null_while_the_source_is_lost(open_sink, subscriber):
    states = [running()]
    counter = Counter(CountingConfig(zones=(parse_zone("hall:0,0;1,0;1,1;0,1"),)), (64, 48))
    open_sink(lambda: states[-1]).write(FrameResult(FRAME, walker(20), (), counter.counts))
    wait_for(lambda: subscriber.payloads(STATE) and subscriber.documents(STATE)[-1]["people"] == 1)
    states.append(SourceState("lost", 0.0, 1, "no frame for 5 s"))
    wait_for(lambda: subscriber.documents(STATE)[-1]["source"] == "lost")
    last = subscriber.documents(STATE)[-1]
    assert (last["people"], last["message"]) == (None, "no frame for 5 s")
    assert last["zones"]["hall"]["occupancy"] is last["zones"]["hall"]["unseen"] is None


def test_closing_while_the_broker_is_away_is_quick_and_keeps_the_events(open_sink, broker, subscriber):
    broker.stop()
    sink = open_sink()
    sink.write(crossing(1))
    began = time.monotonic()
    sink.close()
    sink.close()
    assert time.monotonic() - began < 2
    broker.start()
    with open_sink():
        wait_for(lambda: subscriber.track_ids() == [1])
    assert subscriber.track_ids() == [1]


def test_two_runs_do_not_share_an_outbox(open_sink):
    with (
        open_sink(),
        pytest.raises(SinkError, match=r"another run, process \d+: give each run its own device name"),
    ):
        open_sink()
    open_sink()


def test_two_runs_with_one_name_are_told_once(open_sink, tmp_path, caplog):
    sinks = [open_sink(), open_sink(outbox=tmp_path / "other.db")]
    often = 12
    wait_for(lambda: min(sink._publisher.connection.times_connected for sink in sinks) > often)
    assert min(sink._publisher.connection.times_connected for sink in sinks) > often
    assert caplog.text.count("called 'shop', too (give each its own device name)") == 2  # once each
    assert caplog.text.count("is lost") <= 4


def test_a_password_is_used_and_never_logged(mosquitto, config, tmp_path, caplog):
    passwords, wrong, right = (tmp_path / name for name in ("passwords", "wrong", "right"))
    passwords.write_text("camera:s3cret-word\n")
    wrong.write_text("camera\ns3cret-wrong\n")
    right.write_text("camera\ns3cret-word\n")
    subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True)
    passwords.chmod(0o644)
    broker = mosquitto("allow_anonymous false", f"password_file {passwords}")
    with MqttSink(config(broker.port, credentials=wrong), summary, running) as sink:
        wait_for(lambda: "refuses" in trouble(sink))
        assert "refuses the connection: Not authorized" in trouble(sink)
    subscriber = Subscriber(broker.port, "camera", "s3cret-word")
    with MqttSink(config(broker.port, credentials=right), summary, running) as sink:
        wait_for(lambda: subscriber.payloads(STATUS)[-1:] == ["online"])
        assert trouble(sink) == ""
    subscriber.close()
    assert subscriber.payloads(STATUS)[0] == "online"
    assert "refuses the connection: Not authorized" in caplog.text
    assert "s3cret" not in caplog.text


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Key and certificate of a broker, which is its own CA."""
    folder = tmp_path_factory.mktemp("certificates")
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost "
        "-addext subjectAltName=DNS:localhost -keyout key.pem -out broker.pem"
    )
    try:
        subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs openssl")
    (folder / "key.pem").chmod(0o644)
    return folder


# paho leaves the socket of a failed handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("asks_for_certificate", [False, True])
def test_tls_checks_certificates(mosquitto, config, certificates, asks_for_certificate):
    own, key = certificates / "broker.pem", certificates / "key.pem"
    settings = ["allow_anonymous true", f"certfile {own}", f"keyfile {key}"]
    client: dict[str, Any] = {"ca_certs": own}
    without, reason = {}, "certificate verify failed"
    if asks_for_certificate:
        settings += [f"cafile {own}", "require_certificate true"]
        without, reason = client, "closes the connection before it answers"
        client = client | {"certfile": own, "keyfile": key}
    url = f"mqtts://localhost:{mosquitto(*settings).port}"
    with MqttSink(config(0, broker=url, **without), summary, running) as sink:
        wait_for(lambda: reason in trouble(sink))
        assert reason in trouble(sink)
    with MqttSink(config(0, broker=url, **client), summary, running) as sink:
        wait_for(lambda: not trouble(sink))
        assert trouble(sink) == ""


def test_a_bad_certificate_is_an_error_at_once(config, tmp_path):
    wrong = config(0, broker="mqtts://localhost:8883", ca_certs=tmp_path / "missing.pem")
    with pytest.raises(InvalidInputError, match=r"missing\.pem\) cannot be used"):
        MqttSink(wrong, summary, running)
    MqttSink(config(1), summary, running).close()  # the outbox is free again
