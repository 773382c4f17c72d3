"""The connection to the broker: made again whenever it is lost, by paho's own thread."""

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
from edge_fairmot.service.mqtt.config import Certificates, MqttConfig
from edge_fairmot.service.mqtt.topics import OFFLINE, Topics

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessageInfo

log = logging.getLogger(__name__)

KEEP_ALIVE_S = 15
"""The broker takes us for gone after one and a half of it, and we the broker."""

RECONNECT_S = (1.0, 30.0)
"""Waits between attempts double from the first to the second."""

DROPPED_WITHIN_S, DROPPED_OFTEN = 5.0, 3
"""A broker that drops us so soon, so often in a row, has a reason: two runs of one name, for instance."""

CONNECT_WITHIN_S, GOODBYE_WITHIN_S = 3.0, 0.3


class Connection:
    """Connects, and connects again.

    Parameters
    ----------
    config : MqttConfig
    topics : Topics
    on_news : callable
        Called, from a thread of its own, when it came about and when something was acknowledged.

    Attributes
    ----------
    acknowledged : SimpleQueue of int
        Numbers of messages that the broker has, as :meth:`publish` gave them; also of those that ask for no
        acknowledgement.

    Raises
    ------
    MissingDependencyError
        If paho-mqtt, which the extra ``mqtt`` brings, is not installed.
    InvalidInputError
        If a certificate cannot be read.
    """

    def __init__(self, config: MqttConfig, topics: Topics, on_news: Callable[[], None]) -> None:
        try:
            from paho.mqtt.client import Client  # noqa: PLC0415
            from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise MissingDependencyError("paho-mqtt", "mqtt", "to publish by MQTT") from error
        self._broker, self._status_topic, self._on_news = config.broker, topics.status, on_news
        self.acknowledged: SimpleQueue[int] = SimpleQueue()
        self._number_in_use = MQTTErrorCode.MQTT_ERR_QUEUE_SIZE  # of no queue's size: we set none
        self._device = config.device
        self._connected = self._refused = self._over = False
        self._times_made, self._since_s = 0, 0.0
        self._message, self._logged, self._times_dropped = "not connected yet", "", 0
        self._client: Client = Client(CallbackAPIVersion.VERSION2, f"edge-fairmot-{config.device}")
        if config.credentials.user:
            self._client.username_pw_set(config.credentials.user, config.credentials.password or None)
        if config.broker.tls:
            self._client.tls_set_context(_tls_context(config.certificates))
        self._client.will_set(topics.status, OFFLINE, qos=1, retain=True)
        self._client.connect_timeout = CONNECT_WITHIN_S
        # A fleet that lost its broker does not come back all in the same second.
        shortest, longest = (bound * random.uniform(0.8, 1.2) for bound in RECONNECT_S)
        self._client.reconnect_delay_set(shortest, longest)  # type: ignore[arg-type] # fractions work
        self._client.on_pre_connect = self._begin
        self._client.on_connect = self._connected_or_refused
        self._client.on_connect_fail = self._unreachable
        self._client.on_disconnect = self._lost
        self._client.on_publish = self._acknowledge

    @property
    def connected(self) -> bool:
        """Whether the broker has let us in."""
        return self._connected

    @property
    def times_made(self) -> int:
        """How often it has."""
        return self._times_made

    @property
    def message(self) -> str:
        """What is wrong, one line without a password; empty while connected."""
        return self._message

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._client.connect_async(self._broker.host, self._broker.port, KEEP_ALIVE_S)
        self._client.loop_start()

    def publish(self, topic: str, payload: str, *, qos: int = 0, retain: bool = False) -> int:
        """Hand a message over; returns its number. With ``qos`` 1 it is sent again until acknowledged."""
        return self._hand_over(topic, payload, qos, retain).mid

    def _hand_over(self, topic: str, payload: str, qos: int, retain: bool) -> MQTTMessageInfo:
        sent = self._client.publish(topic, payload, qos, retain)
        # Numbers come round after 65,535, and this one is of a message that is not acknowledged yet: paho has
        # not taken the new one. It ends, because only some dozens are sent at a time.
        while sent.rc == self._number_in_use:
            sent = self._client.publish(topic, payload, qos, retain)
        return sent

    def stop(self) -> None:
        """Say that we go offline, disconnect and wait for the thread."""
        if self._connected:
            # What is closed with acknowledgements unread is reset, and the broker takes it for a death.
            with suppress(RuntimeError):  # it was lost this moment
                self._hand_over(self._status_topic, OFFLINE, 1, True).wait_for_publish(GOODBYE_WITHIN_S)
        self._client.disconnect()
        self._client.loop_stop()

    def _begin(self, client: Any, data: Any) -> None:
        self._over = False

    def _connected_or_refused(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._refused = True
            self._say(f"the broker {self._broker} refuses us: {reason}")
            return
        self._connected, self._message, self._since_s = True, "", monotonic()
        self._times_made += 1
        if self._times_dropped < DROPPED_OFTEN:
            log.info("connected to the MQTT broker %s", self._broker)
            self._logged = ""
        self._on_news()

    def _unreachable(self, client: Any, data: Any) -> None:
        error = sys.exc_info()[1]  # paho calls this where it catches it
        self._say(f"the broker {self._broker} cannot be reached: {error}")

    def _lost(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if self._over:  # paho tells twice of one end where both writing and reading fail
            return
        self._over = True
        if self._connected and reason.is_failure:
            soon = monotonic() - self._since_s < DROPPED_WITHIN_S
            self._times_dropped = self._times_dropped + 1 if soon else 0
            if self._times_dropped >= DROPPED_OFTEN:
                self._say(
                    f"the broker {self._broker} lets us in and drops us again: is another run "
                    f"called {self._device!r}, too? Give each a device name of its own. Or may we not "
                    "publish there? The broker's log says"
                )
            else:
                self._say(f"the connection to the broker {self._broker} is lost: {reason}")
        elif reason.is_failure and not self._refused:
            self._say(
                f"the broker {self._broker} hangs up before it answers: is it one, and does it want TLS "
                "(mqtts://) or a certificate of ours?"
            )
        self._connected = self._refused = False

    def _say(self, message: str) -> None:
        """Log what is new, so that a broker that is away for a week is a line."""
        self._message = message
        if message != self._logged:
            log.warning("%s; events are kept until it is back", message)
        self._logged = message

    def _acknowledge(self, client: Any, data: Any, number: int, reason: Any, properties: Any) -> None:
        self.acknowledged.put(number)
        self._on_news()


def _tls_context(certificates: Certificates) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=certificates.authority)
        if certificates.own is not None:
            context.load_cert_chain(certificates.own, certificates.own_key)
    except OSError as error:  # ssl.SSLError is one
        files = ", ".join(
            str(path) for path in (certificates.authority, certificates.own, certificates.own_key) if path
        )
        raise InvalidInputError(f"the certificates for MQTT ({files}) cannot be used: {error}") from error
    return context
