"""Counts and events to an MQTT broker; topics and payloads: :mod:`edge_fairmot.service.mqtt.topics`."""

from edge_fairmot.service.mqtt.config import MqttConfig
from edge_fairmot.service.mqtt.sink import MqttSink

__all__ = ["MqttConfig", "MqttSink"]
