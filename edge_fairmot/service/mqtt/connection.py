"""The connection to the broker, which paho's thread restores whenever it is lost."""

from __future__ import annotations

import logging
import random
import ssl
import sys
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any

from edge_fairmot.errors import InvalidInputError, MissingDependencyError
from edge_fairmot.service.mqtt.config import MqttConfig
from edge_fairmot.service.mqtt.topics import OFFLINE, Topics

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessageInfo

KEEP_ALIVE_S = 15
"""Broker and client notice a lost connection after one and a half of this."""

RECONNECT_S = (1.0, 30.0)
"""The wait before the next attempt doubles from the first value to the second."""

DROPPED_WITHIN_S, DROPPED_OFTEN = 5.0, 3
"""Drops this soon and this often in a row have a reason, such as two runs with one name."""

CONNECT_TIMEOUT_S, OFFLINE_TIMEOUT_S = 3.0, 0.3

_log = logging.getLogger(__name__)


class Connection:
    """Connects to the broker, and reconnects. ``on_change`` is called from paho's thread.

    ``acknowledged`` is a queue of message numbers, as :meth:`publish` returned them. It also gets the numbers
    of messages with QoS 0 when they have been sent.

    MissingDependencyError without paho-mqtt; InvalidInputError if credentials or a certificate cannot be
    read.
    """

    def __init__(self, config: MqttConfig, topics: Topics, on_change: Callable[[], None]) -> None:
        try:
            from paho.mqtt.client import Client  # noqa: PLC0415
            from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise MissingDependencyError("paho-mqtt", "mqtt", "to publish by MQTT") from error
        self._address, self._status_topic, self._on_change = config.address, topics.status, on_change
        self.acknowledged: SimpleQueue[int] = SimpleQueue()
        self._number_in_use = MQTTErrorCode.MQTT_ERR_QUEUE_SIZE  # not of a full queue: no limit is set
        self._device = config.identifier
        self._connected = self._refused = self._disconnected = False
        self._times_connected, self._since_s = 0, 0.0
        self._message, self._logged, self._times_dropped = "not connected yet", "", 0
        self._client: Client = Client(CallbackAPIVersion.VERSION2, f"edge-fairmot-{config.identifier}")
        user, password = config.read_credentials()
        if user:
            self._client.username_pw_set(user, password or None)
        if self._address.tls:
            self._client.tls_set_context(_tls_context(config))
        self._client.will_set(topics.status, OFFLINE, qos=1, retain=True)
        self._client.connect_timeout = CONNECT_TIMEOUT_S
        # The devices of a fleet must not all reconnect in the same second.
        shortest, longest = (bound * random.uniform(0.8, 1.2) for bound in RECONNECT_S)
        self._client.reconnect_delay_set(shortest, longest)  # type: ignore[arg-type] # fractions work
        self._client.on_pre_connect = self._on_pre_connect
        self._client.on_connect = self._on_connect
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted the connection."""
        return self._connected

    @property
    def times_connected(self) -> int:
        """Number of accepted connections."""
        return self._times_connected

    @property
    def message(self) -> str:
        """Reason why there is no connection, one line without credentials; empty while there is one."""
        return self._message

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._client.connect_async(self._address.host, self._address.port, KEEP_ALIVE_S)
        self._client.loop_start()

    def publish(self, topic: str, payload: str, *, qos: int = 0, retain: bool = False) -> int:
        """Send a message; returns its number. paho repeats one with QoS 1 until it is acknowledged."""
        return self._publish(topic, payload, qos, retain).mid

    def _publish(self, topic: str, payload: str, qos: int, retain: bool) -> MQTTMessageInfo:
        sent = self._client.publish(topic, payload, qos, retain)
        # Numbers repeat after 65,535. paho did not take the message if its number belongs to one that is not
        # acknowledged yet. The loop ends, because only some dozens are sent at a time.
        while sent.rc == self._number_in_use:
            sent = self._client.publish(topic, payload, qos, retain)
        return sent

    def disconnect(self) -> None:
        """Publish ``offline``, disconnect and wait for the thread."""
        if self._connected:
            # A socket that is closed with unread acknowledgements is reset, which triggers the last will.
            with suppress(RuntimeError):  # the connection was lost at this moment
                self._publish(self._status_topic, OFFLINE, 1, True).wait_for_publish(OFFLINE_TIMEOUT_S)
        self._client.disconnect()
        self._client.loop_stop()

    def _on_pre_connect(self, client: Any, data: Any) -> None:
        self._disconnected = False

    def _on_connect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._refused = True
            self._set_error(f"the broker {self._address} refuses the connection: {reason}")
            return
        self._connected, self._message, self._since_s = True, "", monotonic()
        self._times_connected += 1
        if self._times_dropped < DROPPED_OFTEN:
            _log.info("connected to the MQTT broker %s", self._address)
            self._logged = ""
        self._on_change()

    def _on_connect_fail(self, client: Any, data: Any) -> None:
        error = sys.exc_info()[1]  # paho calls this where it handles the exception
        self._set_error(f"the broker {self._address} cannot be reached: {error}")

    def _on_disconnect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if self._disconnected:  # paho calls this twice if both writing and reading fail
            return
        self._disconnected = True
        if self._connected and reason.is_failure:
            soon = monotonic() - self._since_s < DROPPED_WITHIN_S
            self._times_dropped = self._times_dropped + 1 if soon else 0
            if self._times_dropped >= DROPPED_OFTEN:
                self._set_error(
                    f"the broker {self._address} accepts the connection and drops it again: either another "
                    f"run is called {self._device!r}, too (give each its own device name), or this user may "
                    "not publish there; the broker's log has the reason"
                )
            else:
                self._set_error(f"the connection to the broker {self._address} is lost: {reason}")
        elif reason.is_failure and not self._refused:
            self._set_error(
                f"the broker {self._address} closes the connection before it answers: check that it is an "
                "MQTT broker, and whether it needs TLS (mqtts://) or a client certificate (certfile)"
            )
        self._connected = self._refused = False

    def _set_error(self, message: str) -> None:
        """Keep the error, and log it once: a broker that is away for a week is one line."""
        self._message = message
        if message != self._logged:
            _log.warning("%s; events are kept until it is back", message)
        self._logged = message

    def _on_publish(self, client: Any, data: Any, number: int, reason: Any, properties: Any) -> None:
        self.acknowledged.put(number)
        self._on_change()


def _tls_context(config: MqttConfig) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=config.ca_certs)
        if config.certfile is not None:
            context.load_cert_chain(config.certfile, config.keyfile)
    except OSError as error:  # ssl.SSLError is a subclass
        files = ", ".join(str(path) for path in (config.ca_certs, config.certfile, config.keyfile) if path)
        raise InvalidInputError(f"the certificates for MQTT ({files}) cannot be used: {error}") from error
    return context
