"""Home Assistant's discovery: announces the device and its sensors.

By the integration's documentation (home-assistant.io, MQTT: discovery, sensor, binary sensor, event): a
retained message for each entity at ``PREFIX/COMPONENT/DEVICE/ENTITY/config``. An empty message removes the
entity.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import edge_fairmot
from edge_fairmot.service import slug
from edge_fairmot.service.mqtt.topics import OFFLINE, ONLINE, Topics
from edge_fairmot.system import atomic_write


def discovery_messages(
    prefix: str,
    device: str,
    topics: Topics,
    lines: Iterable[str],
    zones: Iterable[str],
    *,
    shown: str = "",
) -> dict[str, dict[str, Any]]:
    """Return the payloads that announce a device with its lines and zones, by topic.

    ``device`` is its identifier, ``shown`` its name, if it is another one.
    """
    counted = {"state_topic": topics.state, "state_class": "total_increasing"}
    present = {"state_topic": topics.state, "state_class": "measurement"}
    entities = _device_entities(topics, present)
    for name in lines:
        for direction, icon in (("in", "enter"), ("out", "exit")):
            entities["sensor", f"line_{slug(name)}_{direction}"] = counted | _value(
                "lines", name, direction, name=f"{name} {direction}", icon=f"mdi:location-{icon}"
            )
    for name in zones:
        zone = f"zone_{slug(name)}"
        entities["sensor", f"{zone}_occupancy"] = present | _value(
            "zones", name, "occupancy", name=f"{name} occupancy", icon="mdi:account-multiple"
        )
        entities["sensor", f"{zone}_entries"] = counted | _value(
            "zones", name, "entries", name=f"{name} entries", icon="mdi:account-arrow-right"
        )
        stay = {"name": f"{name} mean stay", "device_class": "duration", "unit_of_measurement": "s"}
        entities["sensor", f"{zone}_dwell"] = present | _value("zones", name, "mean_dwell_s", **stay)
    shared = _shared(device, shown or device, topics)
    return {
        f"{prefix}/{component}/{device}/{entity}/config": {
            "unique_id": f"edge-fairmot-{device}-{entity}",
            **config,
            **shared,
        }
        for (component, entity), config in entities.items()
    }


def _device_entities(topics: Topics, present: dict[str, str]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the entities that every device has, by component and name."""
    return {
        ("sensor", "people"): present | _value("people", name="People", icon="mdi:account-group"),
        ("sensor", "fps"): _value(
            "fps",
            name="Frame rate",
            icon="mdi:speedometer",
            state_topic=topics.health,
            state_class="measurement",
            unit_of_measurement="fps",
            entity_category="diagnostic",
        ),
        ("binary_sensor", "source"): {
            "name": "Camera",
            "state_topic": topics.state,
            "device_class": "connectivity",
            "entity_category": "diagnostic",
            "value_template": "{{ 'ON' if value_json.source == 'running' else 'OFF' }}",
        },
        ("binary_sensor", "outputs"): {
            "name": "Recording",
            "state_topic": topics.health,
            "device_class": "problem",
            "entity_category": "diagnostic",
            "value_template": "{{ 'ON' if value_json.outputs.values() | selectattr('trouble') | list "
            "else 'OFF' }}",
            "json_attributes_topic": topics.health,
            "json_attributes_template": "{{ value_json.outputs | tojson }}",
        },
        ("event", "event"): {
            "name": "Counted",
            "icon": "mdi:walk",
            "state_topic": topics.event,
            "event_types": ["in", "out", "enter", "leave"],
            "value_template": "{{ dict(value_json, event_type=value_json.event) | tojson }}",
        },
    }


def _value(*path: str, **config: Any) -> dict[str, Any]:
    """Return the settings of an entity, with the template that takes its value out of a payload.

    Names are written as JSON strings, which are strings of the template language too.
    """
    keys = "".join(f"[{json.dumps(key, ensure_ascii=False)}]" for key in path)
    return config | {"value_template": f"{{{{ value_json{keys} }}}}"}


def _shared(device: str, name: str, topics: Topics) -> dict[str, Any]:
    version = edge_fairmot.__version__
    return {
        "availability_topic": topics.status,
        "payload_available": ONLINE,
        "payload_not_available": OFFLINE,
        "device": {
            "identifiers": [f"edge-fairmot-{device}"],
            "name": name,
            "model": "edge-fairmot",
            "sw_version": version,
        },
        "origin": {"name": "edge-fairmot", "sw_version": version},
    }


class DiscoveryRegistry:
    """The announced topics, in a small JSON file: the next run removes lines and zones that are gone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            known = json.loads(path.read_text())
        except (OSError, ValueError, RecursionError):
            known = []
        listed = known if isinstance(known, list) else []
        self.topics = frozenset(topic for topic in listed if isinstance(topic, str))

    def replace(self, topics: Iterable[str]) -> None:
        """Store the topics; on a full disk, for this run only."""
        self.topics = frozenset(topics)
        with suppress(OSError), atomic_write(self._path) as partial:
            partial.write_text(json.dumps(sorted(self.topics)))
