"""What Home Assistant is told, read as Home Assistant reads it."""

import json

import pytest

from edge_fairmot.counting import Counter, CountingConfig, Line, LineTotals, Zone, ZoneTotals
from edge_fairmot.service.mqtt import MqttSink
from edge_fairmot.service.mqtt.discovery import Announced, discovery_messages
from edge_fairmot.service.mqtt.topics import Topics, View, health_document, payload, state_document

from .conftest import running, summary, wait_for

NAMES = ["door", 'the "back" door', "Tür 2", "🚪", "a\\b", "a_b", "it's {{ 1 }}"]


def messages(lines=(), zones=()):
    return discovery_messages("homeassistant", "shop", Topics("edge-fairmot/shop"), lines, zones)


def render(template, document):
    """As Home Assistant does: the payload's JSON is ``value_json``."""
    jinja2 = pytest.importorskip("jinja2", reason="Home Assistant's template language")
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined)
    return environment.from_string(template).render(value_json=json.loads(payload(document)))


@pytest.mark.parametrize("name", NAMES)
def test_every_entity_finds_its_value_whatever_a_line_is_called(name):
    view = View(3, {name: LineTotals(4, 5)}, {name: ZoneTotals(6, 7, 1, 8.5, 9.0)})
    document = state_document(view, running())
    found = {
        config["name"]: render(config["value_template"], document)
        for config in messages([name], [name]).values()
        if config["state_topic"] == "edge-fairmot/shop/state"
    }
    assert found == {
        "People": "3",
        "Camera": "ON",
        f"{name} in": "4",
        f"{name} out": "5",
        f"{name} occupancy": "6",
        f"{name} entries": "7",
        f"{name} mean stay": "8.5",
    }


@pytest.mark.parametrize(
    ("outputs", "problem"),
    [
        ({}, "OFF"),
        ({"recording": {"trouble": "", "missed_frames": 3}, "mqtt": {"trouble": ""}}, "OFF"),
        ({"recording": {"trouble": "/data has 1 MB left", "missed_frames": 3}}, "ON"),
    ],
)
def test_an_output_in_trouble_is_a_problem_and_says_which(outputs, problem):
    config = messages()["homeassistant/binary_sensor/shop/outputs/config"]
    health = health_document(summary(), running(), outputs, fps=9.5, uptime_s=60.0, waiting=0, dropped=0)

    assert render(config["value_template"], health) == problem
    assert json.loads(render(config["json_attributes_template"], health)) == outputs


def test_an_event_keeps_its_attributes_and_gains_its_type():
    config = messages()["homeassistant/event/shop/event/config"]
    document = {"id": "a-1", "event": "leave", "zone": "it's", "dwell_s": 1.5}
    rendered = json.loads(render(config["value_template"], document))
    assert rendered == document | {"event_type": "leave"}
    assert rendered["event_type"] in config["event_types"]


def test_entities_are_told_apart_and_share_their_device():
    announced = messages(NAMES, NAMES)
    assert len(announced) == 5 + 5 * len(NAMES)
    assert len({config["unique_id"] for config in announced.values()}) == len(announced)
    for topic, config in announced.items():
        prefix, component, device, entity, end = topic.split("/")
        assert (prefix, device, end) == ("homeassistant", "shop", "config")
        assert component in ("sensor", "binary_sensor", "event")
        assert entity.replace("_", "").replace("-", "").isascii()
        assert entity.replace("_", "").isalnum()
        assert config["availability_topic"] == "edge-fairmot/shop/status"
        assert config["device"]["identifiers"] == ["edge-fairmot-shop"]


def test_what_was_announced_is_remembered(tmp_path):
    Announced(tmp_path / "announced").replace(["a", "b"])
    assert Announced(tmp_path / "announced").topics == {"a", "b"}
    (tmp_path / "announced").write_text("torn [")
    assert Announced(tmp_path / "announced").topics == frozenset()


def test_a_line_that_is_no_more_is_taken_back_by_the_next_run(broker, listener, config):
    def run(*lines):
        counter = Counter(CountingConfig(tuple(Line(name, (0, 0.5), (1, 0.5)) for name in lines)), (64, 48))
        return MqttSink(config(broker.port), summary, running, counter)

    def known():
        latest = {topic: text for topic, text, _ in listener.messages if topic.startswith("homeassistant/")}
        return sorted(topic.split("/")[3] for topic, text in latest.items() if text and "line" in topic)

    with run("door", "gate"):
        wait_for(lambda: len(known()) == 4)
        assert known() == ["line_door_in", "line_door_out", "line_gate_in", "line_gate_out"]
    with run("gate"):
        wait_for(lambda: len(known()) == 2)
        assert known() == ["line_gate_in", "line_gate_out"]


def test_lines_may_change_while_it_runs(broker, listener, config):
    counter = Counter(CountingConfig(), (64, 48))
    with MqttSink(config(broker.port), summary, running, counter) as sink:
        wait_for(lambda: listener.payloads("edge-fairmot/shop/state"))
        zone = Zone("hall", ((0, 0), (1, 0), (1, 1)))
        sink._counter = Counter(CountingConfig(zones=(zone,)), (64, 48))
        sink._view = sink._look(0)
        topic = "homeassistant/sensor/shop/zone_hall_occupancy/config"
        wait_for(lambda: listener.payloads(topic))
        assert json.loads(listener.payloads(topic)[0])["name"] == "hall occupancy"


def test_nothing_is_announced_where_nobody_wants_it(broker, listener, config):
    with MqttSink(config(broker.port, discovery_prefix=""), summary, running):
        wait_for(lambda: listener.payloads("edge-fairmot/shop/health"))
    assert not [topic for topic, _, _ in listener.messages if topic.startswith("homeassistant")]
