"""Which broker, as whom, and under which name."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from edge_fairmot.errors import InvalidInputError

PORTS = {"mqtt": 1883, "mqtts": 8883}

USER_VARIABLE, PASSWORD_VARIABLE = "EDGE_FAIRMOT_MQTT_USER", "EDGE_FAIRMOT_MQTT_PASSWORD"


@dataclass(frozen=True, slots=True)
class Broker:
    """Where the broker is.

    Attributes
    ----------
    host : str
    port : int
    tls : bool
        Encrypted, and the broker's certificate is checked against its name.
    """

    host: str
    port: int = 1883
    tls: bool = False

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who we are to the broker; nobody where ``user`` is empty. The password is in no text of it."""

    user: str = ""
    password: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if self.password and not self.user:
            raise InvalidInputError("MQTT knows no password without a user: give both, or none")


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files for TLS, PEM; those that are not given are the system's, or not shown.

    Attributes
    ----------
    authority : Path or None
        Whose certificates are believed, where the broker's is signed by none that the system knows.
    own, own_key : Path or None
        What is shown to a broker that asks its clients for one.
    """

    authority: Path | None = None
    own: Path | None = None
    own_key: Path | None = None


def machine_name() -> str:
    """Name of this machine, as a topic can hold it."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname().partition(".")[0])[:64] or "camera"


@dataclass(frozen=True, slots=True)
class MqttConfig:
    """What the sink is told.

    Attributes
    ----------
    broker : Broker
    spool : Path
        File that keeps events until the broker has them. One run at a time.
    device : str
        Name in topics and in Home Assistant, letters, digits, ``_`` and ``-``: this machine's where it is
        not given. No two runs may have the same.
    root : str
        Of the topics, see :mod:`edge_fairmot.service.mqtt.topics`.
    discovery_prefix : str
        Where Home Assistant looks for devices; empty announces nothing.
    credentials : Credentials
    certificates : Certificates
    spool_limit : int
        Events that are kept at most; beyond it the oldest go, and are counted.

    Raises
    ------
    InvalidInputError
        If a name cannot be in a topic, or a value is out of range.
    """

    broker: Broker
    spool: Path
    device: str = field(default_factory=machine_name)
    root: str = "edge-fairmot"
    discovery_prefix: str = "homeassistant"
    credentials: Credentials = Credentials()
    certificates: Certificates = Certificates()
    spool_limit: int = 100_000

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", self.device):
            raise InvalidInputError(
                f"device must be letters, digits, _ and -, 64 at most, not {self.device!r}: it is in topics"
            )
        for name, value in (("root", self.root), ("discovery_prefix", self.discovery_prefix)):
            if set(value) & {"#", "+", "\0", "$"} or value != value.strip("/"):
                raise InvalidInputError(
                    f"{name} must be a topic without + # $ and outer slashes, not {value!r}"
                )
        if not self.root:
            raise InvalidInputError("root must not be empty")
        if self.spool_limit < 1:
            raise InvalidInputError(f"spool_limit must be 1 or more, not {self.spool_limit}")
        if self.certificates != Certificates() and not self.broker.tls:
            raise InvalidInputError("certificates are for TLS: write the broker as mqtts://HOST")


def parse_broker(url: str) -> Broker:
    """Read ``mqtt://HOST[:PORT]``, or ``mqtts://`` for TLS.

    Raises
    ------
    InvalidInputError
        If it is something else, or holds a password: others on the machine can read command lines.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.username is not None or parts.password is not None:
        # Without the text of it, which ends up in logs.
        raise InvalidInputError(
            f"a broker's address holds no user or password: set {USER_VARIABLE} and {PASSWORD_VARIABLE}, "
            "or give a file of them"
        )
    if parts.scheme not in PORTS or not parts.hostname or parts.path.strip("/") or parts.query:
        raise InvalidInputError(f"a broker is written mqtt://HOST[:PORT] or mqtts://HOST[:PORT], not {url!r}")
    return Broker(parts.hostname, port or PORTS[parts.scheme], parts.scheme == "mqtts")


def read_credentials(environment: Mapping[str, str], file: Path | None = None) -> Credentials:
    """Take user and password from a file, or else from the environment.

    Parameters
    ----------
    environment : mapping of str to str
        As ``os.environ``; ``EDGE_FAIRMOT_MQTT_USER`` and ``EDGE_FAIRMOT_MQTT_PASSWORD`` are looked for.
    file : Path, optional
        The user on its first line, the password on its second.

    Raises
    ------
    InvalidInputError
        If the file cannot be read, or one of the two is missing.
    """
    if file is None:
        return Credentials(environment.get(USER_VARIABLE, ""), environment.get(PASSWORD_VARIABLE, ""))
    try:
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InvalidInputError(
            f"{file} cannot be read ({reason}): check the file of MQTT's password"
        ) from None
    if len(lines) != 2 or not all(lines):
        raise InvalidInputError(f"{file} must hold the user on its first line and the password on its second")
    return Credentials(*lines)
