"""Broker, names and credentials, and the errors about them."""

from pathlib import Path
from typing import get_type_hints

import pytest

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.service.mqtt import MqttConfig
from edge_fairmot.service.mqtt.config import Address


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("mqtt://broker", Address("broker", 1883, False)),
        ("mqtt://192.168.1.5:1884/", Address("192.168.1.5", 1884, False)),
        ("mqtts://broker.example", Address("broker.example", 8883, True)),
        ("mqtt://[::1]:1883", Address("::1", 1883, False)),
    ],
)
def test_a_broker_is_an_address(url, address):
    assert MqttConfig(url).address == address


@pytest.mark.parametrize(
    "url", ["broker", "http://broker", "mqtt://", "mqtt://broker:port", "mqtt://a/topic", ""]
)
def test_another_address_is_refused(url):
    with pytest.raises(InvalidInputError, match=r"^broker must be mqtt://HOST"):
        MqttConfig(url)


@pytest.mark.parametrize("url", ["mqtt://me:s3cret@broker", "mqtt://me@broker", "mqtt://me:s3/cret@broker"])
def test_a_password_in_the_address_is_refused_and_not_repeated(url):
    with pytest.raises(InvalidInputError, match="EDGE_FAIRMOT_MQTT_PASSWORD") as caught:
        MqttConfig(url)
    assert "cret" not in str(caught.value).replace("credentials", "")


def test_credentials_come_from_a_file_or_the_environment(tmp_path):
    file = tmp_path / "mqtt"
    file.write_text("me\ns3cret\n")
    environment = {"EDGE_FAIRMOT_MQTT_USER": "you", "EDGE_FAIRMOT_MQTT_PASSWORD": "0ther"}
    config = MqttConfig("mqtt://broker", credentials=file)
    assert config.read_credentials(environment) == ("me", "s3cret")
    assert "s3cret" not in repr(config)
    config = MqttConfig("mqtt://broker")
    assert config.read_credentials(environment) == ("you", "0ther")
    assert config.read_credentials({}) == ("", "")
    with pytest.raises(InvalidInputError, match="needs a user"):
        config.read_credentials({"EDGE_FAIRMOT_MQTT_PASSWORD": "s3cret"})


@pytest.mark.parametrize("text", ["", "me\n", "me\n\n", "s3cret me\ntwo\nthree", b"\xff\xfe", None])
def test_a_bad_file_of_credentials_is_named(text, tmp_path):
    file = tmp_path / "mqtt"
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InvalidInputError) as caught:
        MqttConfig("mqtt://broker", credentials=file).read_credentials({})
    assert str(file) in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"device": "a/b"}, "device must be letters"),
        ({"root": "a/#"}, "root must be a topic"),
        ({"root": ""}, "root must not be empty"),
        ({"discovery_prefix": "/home"}, "discovery_prefix must be a topic"),
        ({"outbox_limit": 0}, "outbox_limit must be 1 or more"),
        ({"ca_certs": Path("ca.pem")}, "ca_certs is for TLS only"),
        ({"broker": "mqtts://broker", "keyfile": Path("key.pem")}, "keyfile needs its certificate"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(InvalidInputError, match=f"^{message}"):
        MqttConfig(**{"broker": "mqtt://broker"} | settings)


def test_defaults_are_those_of_the_machine(monkeypatch, tmp_path):
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    config = MqttConfig("mqtt://broker")
    assert config.device
    assert config.outbox_path == tmp_path / f"{config.device}.events.db"


def test_settings_can_be_built_from_a_table_of_simple_values():
    simple = {str, int, Path | None}
    assert set(get_type_hints(MqttConfig).values()) <= simple
