"""Broker, names and passwords, and how each is refused."""

from pathlib import Path

import pytest

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.service.mqtt import (
    Broker,
    Certificates,
    Credentials,
    MqttConfig,
    parse_broker,
    read_credentials,
)


@pytest.mark.parametrize(
    ("url", "broker"),
    [
        ("mqtt://broker", Broker("broker")),
        ("mqtt://192.168.1.5:1884/", Broker("192.168.1.5", 1884)),
        ("mqtts://broker.example", Broker("broker.example", 8883, tls=True)),
        ("mqtt://[::1]:1883", Broker("::1")),
    ],
)
def test_a_broker_is_read(url, broker):
    assert parse_broker(url) == broker


@pytest.mark.parametrize(
    "url", ["broker", "http://broker", "mqtt://", "mqtt://broker:port", "mqtt://a/topic", ""]
)
def test_what_is_no_broker_is_refused(url):
    with pytest.raises(InvalidInputError, match="a broker is written mqtt://HOST"):
        parse_broker(url)


@pytest.mark.parametrize("url", ["mqtt://me:s3cret@broker", "mqtt://me@broker"])
def test_a_password_on_the_command_line_is_refused_and_not_repeated(url):
    with pytest.raises(InvalidInputError, match="EDGE_FAIRMOT_MQTT_PASSWORD") as caught:
        parse_broker(url)
    assert "s3cret" not in str(caught.value)


def test_credentials_come_from_a_file_or_the_environment(tmp_path):
    file = tmp_path / "mqtt"
    file.write_text("me\ns3cret\n")
    environment = {"EDGE_FAIRMOT_MQTT_USER": "you", "EDGE_FAIRMOT_MQTT_PASSWORD": "0ther"}
    assert read_credentials(environment, file) == Credentials("me", "s3cret")
    assert read_credentials(environment) == Credentials("you", "0ther")
    assert read_credentials({}) == Credentials()
    assert "s3cret" not in repr(read_credentials({}, file))


@pytest.mark.parametrize("text", ["", "me\n", "me\n\n", "s3cret me\ntwo\nthree", b"\xff\xfe"])
def test_a_file_of_something_else_is_named(text, tmp_path):
    file = tmp_path / "mqtt"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InvalidInputError) as caught:
        read_credentials({}, file)
    assert str(file) in str(caught.value)
    assert "s3cret" not in str(caught.value)
    with pytest.raises(InvalidInputError, match="No such file"):
        read_credentials({}, tmp_path / "missing")


def test_a_password_needs_a_user():
    with pytest.raises(InvalidInputError, match="no password without a user"):
        read_credentials({"EDGE_FAIRMOT_MQTT_PASSWORD": "s3cret"})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"device": "a/b"}, "device must be letters"),
        ({"device": ""}, "device must be letters"),
        ({"root": "a/#"}, "root must be a topic"),
        ({"root": ""}, "root must not be empty"),
        ({"discovery_prefix": "/home"}, "discovery_prefix must be a topic"),
        ({"spool_limit": 0}, "spool_limit must be 1 or more"),
        ({"certificates": Certificates(Path("ca.pem"))}, "certificates are for TLS"),
    ],
)
def test_what_cannot_be_is_refused(settings, message):
    with pytest.raises(InvalidInputError, match=message):
        MqttConfig(Broker("broker"), Path("events.db"), **settings)
    assert MqttConfig(Broker("broker"), Path("events.db")).device
