"""Counts in one's home automation: :mod:`edge_fairmot.service.mqtt.topics` says what is published, and where."""

from edge_fairmot.service.mqtt.config import (
    Broker,
    Certificates,
    Credentials,
    MqttConfig,
    parse_broker,
    read_credentials,
)
from edge_fairmot.service.mqtt.sink import MqttSink

__all__ = [
    "Broker",
    "Certificates",
    "Credentials",
    "MqttConfig",
    "MqttSink",
    "parse_broker",
    "read_credentials",
]
