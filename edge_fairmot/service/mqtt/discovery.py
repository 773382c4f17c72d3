"""Home Assistant's discovery: what makes a device and its sensors appear there by themselves.

After the integration's documentation (home-assistant.io, MQTT: discovery, sensor, binary sensor, event): a
retained message for each entity under ``PREFIX/COMPONENT/DEVICE/ENTITY/config``, an empty one to remove it.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import edge_fairmot
from edge_fairmot.service.mqtt.topics import OFFLINE, ONLINE, Topics
from edge_fairmot.system import atomic_write


def discovery_messages(
    prefix: str, device: str, topics: Topics, lines: Iterable[str], zones: Iterable[str]
) -> dict[str, dict[str, Any]]:
    """Write the messages that announce a device.

    Parameters
    ----------
    prefix : str
        Where Home Assistant looks, usually ``homeassistant``.
    device : str
    topics : Topics
        Of the device.
    lines, zones : iterable of str
        Names of what is counted at.

    Returns
    -------
    dict of str to dict
        Payloads by topic.
    """
    counted = {"state_topic": topics.state, "state_class": "total_increasing"}
    present = {"state_topic": topics.state, "state_class": "measurement"}
    entities: dict[tuple[str, str], dict[str, Any]] = {
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
    for name in lines:
        for way in ("in", "out"):
            entities["sensor", f"line_{_slug(name)}_{way}"] = counted | _value(
                "lines",
                name,
                way,
                name=f"{name} {way}",
                icon="mdi:location-" + ("enter", "exit")[way == "out"],
            )
    for name in zones:
        zone = f"zone_{_slug(name)}"
        entities["sensor", f"{zone}_occupancy"] = present | _value(
            "zones", name, "occupancy", name=f"{name} occupancy", icon="mdi:account-multiple"
        )
        entities["sensor", f"{zone}_entries"] = counted | _value(
            "zones", name, "entries", name=f"{name} entries", icon="mdi:account-arrow-right"
        )
        entities["sensor", f"{zone}_dwell"] = present | _value(
            "zones",
            name,
            "mean_dwell_s",
            name=f"{name} mean stay",
            device_class="duration",
            unit_of_measurement="s",
        )
    shared = _shared(device, topics)
    return {
        f"{prefix}/{component}/{device}/{entity}/config": {
            "unique_id": f"edge-fairmot-{device}-{entity}",
            **config,
            **shared,
        }
        for (component, entity), config in entities.items()
    }


def _value(*path: str, **config: Any) -> dict[str, Any]:
    """Give the settings of an entity, with the template that takes its value out of a payload.

    Names are written as JSON strings, which are strings of the template language too, quotes and all.
    """
    keys = "".join(f"[{json.dumps(key, ensure_ascii=False)}]" for key in path)
    return config | {"value_template": f"{{{{ value_json{keys} }}}}"}


def _shared(device: str, topics: Topics) -> dict[str, Any]:
    return {
        "availability_topic": topics.status,
        "payload_available": ONLINE,
        "payload_not_available": OFFLINE,
        "device": {
            "identifiers": [f"edge-fairmot-{device}"],
            "name": device,
            "model": "edge-fairmot",
            "sw_version": edge_fairmot.__version__,
        },
        "origin": {"name": "edge-fairmot", "sw_version": edge_fairmot.__version__},
    }


def _slug(name: str) -> str:
    """Make a name fit for a topic, and different for different names."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", name)
    return plain if plain == name else f"{plain}_{zlib.crc32(name.encode()):08x}"


class Announced:
    """Remembers what was announced, so that a line of an earlier run does not stay for ever.

    Parameters
    ----------
    path : Path
        A small JSON file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            known = json.loads(path.read_text())
        except (OSError, ValueError):
            known = []
        self.topics = frozenset(topic for topic in known if isinstance(topic, str))

    def replace(self, topics: Iterable[str]) -> None:
        """Remember these; where the disk is full, for this run only."""
        self.topics = frozenset(topics)
        with suppress(OSError), atomic_write(self._path) as partial:
            partial.write_text(json.dumps(sorted(self.topics)))
