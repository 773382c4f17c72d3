"""Settings of the MQTT publisher: broker, credentials, certificates, names."""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.service import slug, state_folder

PORTS = {"mqtt": 1883, "mqtts": 8883}

USER_VARIABLE, PASSWORD_VARIABLE = "EDGE_FAIRMOT_MQTT_USER", "EDGE_FAIRMOT_MQTT_PASSWORD"

_log = logging.getLogger(__name__)


class Address(NamedTuple):
    """Host and port of a broker, and whether it uses TLS."""

    host: str
    port: int
    tls: bool

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class MqttConfig:
    """Settings of the MQTT publisher.

    User and password come from ``credentials`` or from the environment, ``EDGE_FAIRMOT_MQTT_USER`` and
    ``EDGE_FAIRMOT_MQTT_PASSWORD``.

    Attributes
    ----------
    broker : str
        ``mqtt://HOST[:PORT]``, or ``mqtts://HOST[:PORT]`` for TLS.
    device : str
        Name in topics and in Home Assistant: letters, digits, _ and -. The name of this machine by default.
        Each run needs its own.
    camera : str
        Name of the camera, one more part of the topics after the device; live sets it for named cameras.
    root : str
        First part of the topics.
    discovery_prefix : str
        Prefix of Home Assistant's discovery topics; empty announces nothing.
    credentials : Path or None
        File with the user on the first line and the password on the second.
    ca_certs : Path or None
        CA certificates that the broker's certificate is checked with, PEM; those of the system by default.
    certfile : Path or None
        Client certificate, for a broker that asks for one, PEM.
    keyfile : Path or None
        Key of the client certificate, PEM; in certfile by default.
    outbox : Path or None
        File that keeps events until the broker has them; ``DEVICE.events.db`` in the state folder by default.
        A camera with a name has its own, with the name in it.
    outbox_limit : int
        Number of events to keep at most. The oldest ones beyond it are dropped and counted.

    Raises
    ------
    InvalidInputError
        If a value is out of range, or a name cannot be part of a topic.
    """

    broker: str
    device: str = ""
    camera: str = ""
    root: str = "edge-fairmot"
    discovery_prefix: str = "homeassistant"
    credentials: Path | None = None
    ca_certs: Path | None = None
    certfile: Path | None = None
    keyfile: Path | None = None
    outbox: Path | None = None
    outbox_limit: int = 100_000

    def __post_init__(self) -> None:
        if not self.device:
            object.__setattr__(self, "device", machine_name())
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", self.device):
            raise InvalidInputError(
                f"device must be letters, digits, _ and -, 64 at most, not {self.device!r}: topics hold it"
            )
        for name, value in (("root", self.root), ("discovery_prefix", self.discovery_prefix)):
            if set(value) & {"#", "+", "\0", "$"} or value != value.strip("/"):
                raise InvalidInputError(
                    f"{name} must be a topic without + # $ and outer slashes, not {value!r}"
                )
        if not self.root:
            raise InvalidInputError("root must not be empty")
        if self.outbox_limit < 1:
            raise InvalidInputError(f"outbox_limit must be 1 or more, not {self.outbox_limit}")
        files = {"ca_certs": self.ca_certs, "certfile": self.certfile, "keyfile": self.keyfile}
        given = [name for name, path in files.items() if path is not None]
        if not self.address.tls and given:
            raise InvalidInputError(f"{given[0]} is for TLS only: write the broker as mqtts://HOST")
        if self.keyfile is not None and self.certfile is None:
            raise InvalidInputError("keyfile needs its certificate: give certfile, too")

    @property
    def address(self) -> Address:
        """Host, port and TLS of the broker; InvalidInputError if they cannot be read, or hold a password."""
        try:
            parts = urlsplit(self.broker)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.username is not None or parts.password is not None or "@" in self.broker:
            # Command lines are visible to other users, and this message goes to the log: it has no address.
            raise InvalidInputError(
                f"broker must not hold a user or password: set {USER_VARIABLE} and {PASSWORD_VARIABLE}, or "
                "give a file of credentials"
            )
        if parts.scheme not in PORTS or not parts.hostname or parts.path.strip("/") or parts.query:
            raise InvalidInputError(
                f"broker must be mqtt://HOST[:PORT] or mqtts://HOST[:PORT], not {self.broker!r}"
            )
        return Address(parts.hostname, port or PORTS[parts.scheme], parts.scheme == "mqtts")

    @property
    def base(self) -> str:
        """First parts of all topics: root, device, and camera if it has a name."""
        return "/".join(filter(None, (self.root, self.device, slug(self.camera))))

    @property
    def identifier(self) -> str:
        """Name of the device and the camera towards the broker and Home Assistant."""
        return "__".join(filter(None, (self.device, slug(self.camera))))

    @property
    def outbox_path(self) -> Path:
        """File of the outbox in use. SinkError if this user has no home folder."""
        if self.outbox is None:
            return state_folder() / f"{self.identifier}.events.db"
        return (
            self.outbox.with_stem(f"{self.outbox.stem}__{slug(self.camera)}") if self.camera else self.outbox
        )

    def read_credentials(self, environment: Mapping[str, str] | None = None) -> tuple[str, str]:
        """Return user and password, both empty where there are none; InvalidInputError if one is missing."""
        if self.credentials is None:
            environment = os.environ if environment is None else environment
            user, password = environment.get(USER_VARIABLE, ""), environment.get(PASSWORD_VARIABLE, "")
            if password and not user:
                raise InvalidInputError(f"{PASSWORD_VARIABLE} needs a user: set {USER_VARIABLE}, too")
            return user, password
        try:
            if self.credentials.stat().st_mode & 0o077:
                _log.warning(
                    "%s holds the password of the broker and other users can read it: chmod 600 %s",
                    *(self.credentials, self.credentials),
                )
            lines = self.credentials.read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise InvalidInputError(
                f"{self.credentials} cannot be read ({reason}): check credentials"
            ) from None
        if len(lines) != 2 or not all(lines):
            raise InvalidInputError(
                f"{self.credentials} must hold the user on the first line and the password on the second"
            )
        return lines[0], lines[1]


def machine_name() -> str:
    """Return the name of this machine, as a topic can hold it."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname().partition(".")[0])[:64] or "camera"
