"""The publishing thread: events until they are acknowledged, and the newest state and health."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from queue import Empty
from types import MappingProxyType
from typing import NamedTuple
from uuid import uuid4

from edge_fairmot.protocols import SourceState
from edge_fairmot.service.mqtt.config import MqttConfig
from edge_fairmot.service.mqtt.connection import Connection
from edge_fairmot.service.mqtt.discovery import DiscoveryRegistry, discovery_messages
from edge_fairmot.service.mqtt.outbox import Outbox
from edge_fairmot.service.mqtt.topics import ONLINE, Topics, health_document, state_document, to_json
from edge_fairmot.service.run import RateMeter, RunView
from edge_fairmot.types import Counts

STATE_S, HEALTH_S, SYNC_S = 1.0, 10.0, 5.0

MAX_IN_FLIGHT = 20
"""Maximum number of events sent and not yet acknowledged."""

FLUSH_S = 0.6
"""Time for the last events at the end of a run. The others stay in the outbox."""

_log = logging.getLogger(__name__)


class View(NamedTuple):
    """People in the newest frame, and the counts after it; objects by class where there are several."""

    people: int
    counts: Counts | None
    in_view: Mapping[str, int] = MappingProxyType({})


class Publisher:
    """Publishes for one run, in its own thread. ``view`` returns the newest View, in any thread.

    MissingDependencyError without paho-mqtt; InvalidInputError if credentials or a certificate cannot be
    read.
    """

    def __init__(self, config: MqttConfig, outbox: Outbox, run: RunView, view: Callable[[], View]) -> None:
        self._config, self._outbox, self._run, self._view = config, outbox, run, view
        self._topics = Topics(config.base)
        self._wake, self._stopping = threading.Event(), threading.Event()
        self.connection = Connection(config, self._topics, self._wake.set)
        path = config.outbox_path
        self._registry = DiscoveryRegistry(path.with_name(path.name + ".announced"))
        self._announced: tuple[tuple[str, ...], tuple[str, ...]] | None = None
        # Event numbers by message number. None: the event must stay in the outbox.
        self._in_flight: dict[int, int | None] = {}
        # Messages that are not acknowledged yet. paho keeps them and repeats them after each connection, so
        # its queue would grow for ever with a broker that drops the connection on every message.
        self._unacknowledged_status: set[int] = set()
        self._unacknowledged_discovery: set[int] = set()
        self._delivered: set[int] = set()
        self._last_number = 0
        self._online_connection = 0  # number of the connection on which "online" was published
        self._state_text = ""
        self._state_due_s = self._health_due_s = self._sync_due_s = 0.0
        self._started_s = time.monotonic()
        self._rates = RateMeter(HEALTH_S)
        self._failure = ""
        self._thread = threading.Thread(target=self._loop, name="edge-fairmot mqtt", daemon=True)

    def start(self) -> None:
        """Begin; returns at once, with or without a broker."""
        self._thread.start()

    def wake(self) -> None:
        """Wake the thread for new events; returns at once."""
        self._wake.set()

    def stop(self, timeout_s: float) -> bool:
        """Send the last events and disconnect, within a time; False if the thread has not ended by then."""
        self._stopping.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _loop(self) -> None:
        self.connection.start()
        while not self._stopping.is_set():
            self._wake.wait(STATE_S)
            self._wake.clear()
            self._step()
        self._flush()
        self.connection.disconnect()

    def _step(self) -> None:
        """Do everything that is due. A failure is logged and tried again: no error may end this thread."""
        try:
            now_s = time.monotonic()
            self._handle_acknowledged()
            if self.connection.connected:
                if self._online_connection != self.connection.times_connected:
                    self._greet()
                self._send_events()
                self._announce()
                self._publish_state(now_s)
            self._rates.read(self._run.summary())
            if now_s >= self._sync_due_s:
                self._sync_due_s = now_s + SYNC_S
                self._outbox.sync()
        except Exception as error:
            self._log_failure(error)

    def _log_failure(self, error: Exception) -> None:
        """Log a failure, unless it is the same as the last one."""
        failure = f"{type(error).__name__}: {error}"
        if failure != self._failure:
            _log.warning("publishing by MQTT failed and is tried again (%s)", failure)
        self._failure = failure

    def _greet(self) -> None:
        if self._unacknowledged_status:
            return
        self._online_connection = self.connection.times_connected
        number = self.connection.publish(self._topics.status, ONLINE, qos=1, retain=True)
        self._unacknowledged_status.add(number)
        self._announced = None
        self._state_text = ""
        self._state_due_s = self._health_due_s = 0.0

    def _announce(self) -> None:
        """Announce lines and zones to Home Assistant when they have changed, and remove the old ones."""
        counts = self._view().counts or Counts()
        shapes = tuple(counts.lines), tuple(counts.zones)
        if shapes == self._announced or self._unacknowledged_discovery:
            return
        self._announced = shapes
        prefix = self._config.discovery_prefix
        config, messages = self._config, {}
        if prefix:
            shown = f"{config.device} {config.camera}".rstrip()
            messages = discovery_messages(prefix, config.identifier, self._topics, *shapes, shown=shown)
        texts = dict.fromkeys(self._registry.topics - messages.keys(), "")
        texts |= {topic: to_json(document) for topic, document in messages.items()}
        for topic, text in texts.items():
            self._unacknowledged_discovery.add(self.connection.publish(topic, text, qos=1, retain=True))
        self._registry.replace(messages)

    def _publish_state(self, now_s: float) -> None:
        source = self._run.state()
        if now_s >= self._state_due_s:
            people, counts, in_view = self._view()
            text = to_json(state_document(people, counts, source, in_view))
            if text != self._state_text:
                self._publish_newest(self._topics.state, text)
                self._state_text, self._state_due_s = text, now_s + STATE_S
        if now_s >= self._health_due_s:
            self._health_due_s = now_s + HEALTH_S
            self._publish_newest(self._topics.health, to_json(self._health(source, now_s)))

    def _publish_newest(self, topic: str, text: str) -> None:
        number = self.connection.publish(topic, text, retain=True)
        if number in self._in_flight:
            # Numbers repeat, and paho reports a message with QoS 0 like an acknowledged one. It is not known
            # which one is meant: the event stays in the outbox, and the next run sends it again.
            self._in_flight[number] = None

    def _health(self, source: SourceState, now_s: float) -> dict[str, object]:
        summary = self._run.summary()
        waiting, dropped = self._outbox.count()
        return health_document(
            summary,
            source,
            self._run.output_health(),
            fps=self._rates.read(summary).frame_rate,
            uptime_s=now_s - self._started_s,
            waiting=waiting,
            dropped=dropped,
        )

    def _handle_acknowledged(self) -> None:
        """Remove acknowledged events; on a full disk, later."""
        while True:
            try:
                message = self.connection.acknowledged.get_nowait()
            except Empty:
                break
            self._unacknowledged_status.discard(message)
            self._unacknowledged_discovery.discard(message)
            number = self._in_flight.pop(message, None)
            if number is not None:
                self._delivered.add(number)
        if self._delivered:
            try:
                self._outbox.remove(self._delivered)
                self._delivered.clear()
            except sqlite3.Error as error:
                self._log_failure(error)

    def _send_events(self) -> None:
        try:
            for number, text in self._outbox.after(self._last_number, MAX_IN_FLIGHT - len(self._in_flight)):
                self._send(f"{self._outbox.name}-{number}", text, number)
                self._last_number = number
        except sqlite3.Error as error:  # events in memory can still be sent
            self._log_failure(error)
        for text in self._outbox.take_unwritten(MAX_IN_FLIGHT - len(self._in_flight)):
            self._send(uuid4().hex, text, None)

    def _send(self, event_id: str, text: str, number: int | None) -> None:
        document = to_json({"id": event_id, **json.loads(text)})
        self._in_flight[self.connection.publish(self._topics.event, document, qos=1)] = number

    def _flush(self) -> None:
        """Publish the last state and events."""
        until_s = time.monotonic() + FLUSH_S
        self._state_due_s = self._health_due_s = self._sync_due_s = 0.0
        while True:
            self._step()
            if not self.connection.connected or time.monotonic() >= until_s or not self._has_unsent():
                return
            self._wake.wait(0.02)
            self._wake.clear()

    def _has_unsent(self) -> bool:
        try:
            return bool(self._in_flight or self._outbox.after(self._last_number, 1))
        except sqlite3.Error:
            return False
