"""Home Assistant's discovery, read as Home Assistant reads it."""

import json
from dataclasses import replace

import pytest

from edge_fairmot.service.mqtt.discovery import DiscoveryRegistry, discovery_messages
from edge_fairmot.service.mqtt.topics import Topics, health_document, state_document, to_json
from edge_fairmot.types import Counts, LineCounts, ZoneCounts

from .conftest import HEALTH, RESULT, STATE, running, summary, wait_for

NAMES = ["door", 'the "back" door', "Tür 2", "🚪", "a\\b", "a_b", "it's {{ 1 }}"]


def messages(lines=(), zones=()):
    return discovery_messages("homeassistant", "shop", Topics("edge-fairmot/shop"), lines, zones)


def render(template, document):
    """As Home Assistant does: ``value_json`` is the JSON of the payload."""
    jinja2 = pytest.importorskip("jinja2", reason="Home Assistant's template language")
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined)
    return environment.from_string(template).render(value_json=json.loads(to_json(document)))


def counts(lines=(), zones=()):
    return Counts(
        {name: LineCounts(name, (0, 0.5), (1, 0.5), 4, 5) for name in lines},
        {name: ZoneCounts(name, ((0, 0), (1, 0), (1, 1)), 6, 0, 7, 1, 8.5, 9.0) for name in zones},
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_entity_finds_its_value_with_any_name(name):
    document = state_document(3, counts([name], [name]), running())
    found = {
        config["name"]: render(config["value_template"], document)
        for config in messages([name], [name]).values()
        if config["state_topic"] == STATE
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
def test_an_output_with_an_error_is_a_problem(outputs, problem):
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


def test_entities_are_distinct_and_share_their_device():
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


def test_the_registry_survives_the_run_and_damage(tmp_path):
    path = tmp_path / "announced"
    DiscoveryRegistry(path).replace(["a", "b"])
    assert DiscoveryRegistry(path).topics == {"a", "b"}
    path.write_text("torn [")
    assert DiscoveryRegistry(path).topics == frozenset()


def test_lines_are_announced_with_the_run_and_removed_by_the_next_one(open_sink, subscriber):
    def known():
        latest = {topic: text for topic, text, _ in subscriber.messages if topic.startswith("homeassistant/")}
        entities = (topic.split("/")[3] for topic, text in latest.items() if text)
        return sorted(entity for entity in entities if "_" in entity)

    with open_sink(counts=counts(["door", "gate"])):
        wait_for(lambda: len(known()) == 4)
        assert known() == ["line_door_in", "line_door_out", "line_gate_in", "line_gate_out"]
    with open_sink(counts=counts(["gate"])) as sink:
        wait_for(lambda: len(known()) == 2)
        assert known() == ["line_gate_in", "line_gate_out"]
        # A zone is drawn while it runs.
        sink.write(replace(RESULT, counts=counts(["gate"], ["hall"])))
        wait_for(lambda: len(known()) == 5)
        assert known()[2:] == ["zone_hall_dwell", "zone_hall_entries", "zone_hall_occupancy"]


def test_an_empty_prefix_announces_nothing(open_sink, subscriber):
    open_sink(discovery_prefix="")
    wait_for(lambda: subscriber.payloads(HEALTH))
    assert not [topic for topic, _, _ in subscriber.messages if topic.startswith("homeassistant")]
