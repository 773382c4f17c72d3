"""Several cameras of one device at a broker: topics, events and Home Assistant's entities of each."""

import json
from contextlib import ExitStack
from dataclasses import replace

import pytest

from edge_fairmot.service import slug
from edge_fairmot.service.mqtt import MqttSink
from edge_fairmot.types import Counts, LineCounts

from .conftest import crossing, running, summary, wait_for

NAMES = ["door", "Tür 2", "a/b/../#", "+"]


def counts():
    return Counts({"gate": LineCounts("gate", (0, 0.5), (1, 0.5), 4, 5)}, {})


def test_each_camera_has_its_own_topics_events_and_entities(broker, subscriber, config):
    with ExitStack() as stack:
        for number, name in enumerate(NAMES):
            settings = replace(config(broker.port), camera=name)
            sink = stack.enter_context(MqttSink(settings, summary, running, counts()))
            sink.write(replace(crossing(number), counts=counts()))
        bases = [f"edge-fairmot/shop/{slug(name)}" for name in NAMES]
        wait_for(
            lambda: all(
                subscriber.documents(f"{base}/{what}") for base in bases for what in ("event", "health")
            )
        )
        wait_for(lambda: len(announced(subscriber)) == 7 * len(NAMES))
        for number, base in enumerate(bases):
            assert [event["track_id"] for event in subscriber.documents(f"{base}/event")] == [number]
            assert subscriber.documents(f"{base}/state")[-1]["lines"] == {"gate": {"in": 4, "out": 5}}
            assert subscriber.payloads(f"{base}/status") == ["online"]
        entities = announced(subscriber)
        assert len({entity["unique_id"] for entity in entities}) == len(entities)
        devices = {
            json.dumps(entity["device"]["identifiers"]): entity["device"]["name"] for entity in entities
        }
        assert sorted(devices.values()) == sorted(f"shop {name}" for name in NAMES)
        assert {entity["availability_topic"] for entity in entities} == {f"{base}/status" for base in bases}
    # No camera's topic is one of another, and nothing else was published for the device.
    topics = {topic for topic, _, _ in subscriber.messages if topic.startswith("edge-fairmot/")}
    assert topics == {f"{base}/{what}" for base in bases for what in ("status", "state", "health", "event")}


def announced(subscriber):
    latest = {topic: text for topic, text, _ in subscriber.messages if topic.startswith("homeassistant/")}
    assert all(len(topic.split("/")) == 5 for topic in latest)
    return [json.loads(text) for text in latest.values() if text]


@pytest.mark.parametrize("outbox", [True, False])
def test_outboxes_of_cameras_are_different_files_in_one_folder(config, outbox, monkeypatch, tmp_path):
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    settings = config(1) if outbox else replace(config(1), outbox=None)
    paths = [replace(settings, camera=name).outbox_path for name in ("", *NAMES)]
    assert len(set(paths)) == len(paths)
    assert {path.parent for path in paths} == {settings.outbox_path.parent}
    assert paths[0] == settings.outbox_path
    assert {path.suffix for path in paths} == {".db"}
