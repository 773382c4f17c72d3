"""The thread that publishes: events until they are acknowledged, of everything else the newest."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from queue import Empty
from uuid import uuid4

from edge_fairmot.pipeline import RunSummary
from edge_fairmot.protocols import Outputs, SourceState
from edge_fairmot.service.mqtt.config import MqttConfig
from edge_fairmot.service.mqtt.connection import Connection
from edge_fairmot.service.mqtt.discovery import Announced, discovery_messages
from edge_fairmot.service.mqtt.spool import Spool
from edge_fairmot.service.mqtt.topics import (
    ONLINE,
    Topics,
    View,
    health_document,
    payload,
    state_document,
)

log = logging.getLogger(__name__)

STATE_S, HEALTH_S, SYNC_S = 1.0, 10.0, 5.0

IN_FLIGHT = 20
"""Events sent and not yet acknowledged, at most."""

FAREWELL_S = 0.6
"""How long the end of a run waits for the broker to take the last events; the rest keep."""


class Publisher:
    """Publishes for one run.

    Parameters
    ----------
    config : MqttConfig
    spool : Spool
        Another thread adds to it.
    summary : callable
        Gives the RunSummary; called from the thread.
    state : callable
        Gives the SourceState; called from the thread.
    view : callable
        Gives the View of the newest frame; called from the thread.
    outputs : callable
        Gives what is wrong with other outputs, by name; called from the thread.

    Raises
    ------
    MissingDependencyError
        If paho-mqtt is not installed.
    InvalidInputError
        If a certificate cannot be read.
    """

    def __init__(
        self,
        config: MqttConfig,
        spool: Spool,
        *,
        summary: Callable[[], RunSummary],
        state: Callable[[], SourceState],
        view: Callable[[], View],
        outputs: Callable[[], Outputs],
    ) -> None:
        self._config, self._spool = config, spool
        self._summary, self._state, self._view, self._outputs = summary, state, view, outputs
        self._topics = Topics(f"{config.root}/{config.device}")
        self._news, self._stopping = threading.Event(), threading.Event()
        self.connection = Connection(config, self._topics, self._news.set)
        self._announced = Announced(config.spool.with_name(config.spool.name + ".announced"))
        self._shapes: tuple[tuple[str, ...], tuple[str, ...]] | None = None
        self._in_flight: dict[int, int | None] = {}  # events by message; None is to be removed nowhere
        # Which of these are not acknowledged yet. Paho keeps them and sends them again at each connection:
        # with more of them each time, its queue would grow while a broker hangs up on what we publish.
        self._greetings: set[int] = set()
        self._announcements: set[int] = set()
        self._delivered: set[int] = set()
        self._last_number = 0
        self._introduced = 0  # as which of the connections
        self._state_text = ""
        self._state_due_s = self._health_due_s = self._sync_due_s = 0.0
        self._started_s = self._measured_s = time.monotonic()
        self._measured_frames = 0
        self._failure = ""
        self._thread = threading.Thread(target=self._run, name="edge-fairmot mqtt", daemon=True)

    def start(self) -> None:
        """Begin; returns at once, whether or not there is a broker."""
        self._thread.start()

    def notice(self) -> None:
        """Tell that an event was added; returns at once."""
        self._news.set()

    def stop(self, within_s: float) -> None:
        """Take leave of the broker; gives up waiting after some time."""
        self._stopping.set()
        self._news.set()
        if self._thread.ident is not None:
            self._thread.join(within_s)

    def _run(self) -> None:
        self.connection.start()
        while not self._stopping.is_set():
            self._news.wait(STATE_S)
            self._news.clear()
            self._attempt()
        self._take_leave()

    def _attempt(self) -> None:
        """Do what is due. Whatever fails is logged and tried again: this thread is all there is."""
        try:
            self._step(time.monotonic())
        except Exception as error:
            self._complain(error)

    def _complain(self, error: Exception) -> None:
        """Log what is not what was logged last."""
        failure = f"{type(error).__name__}: {error}"
        if failure != self._failure:
            log.warning("publishing by MQTT failed and is tried again (%s)", failure)
        self._failure = failure

    def _step(self, now_s: float) -> None:
        self._settle()
        if self.connection.connected:
            if self._introduced != self.connection.times_made:
                self._introduce()
            self._send_events()
            self._announce()
            self._tell(now_s)
        if now_s >= self._sync_due_s:
            self._sync_due_s = now_s + SYNC_S
            self._spool.sync()

    def _introduce(self) -> None:
        if self._greetings:
            return
        self._introduced = self.connection.times_made
        self._greetings.add(self.connection.publish(self._topics.status, ONLINE, qos=1, retain=True))
        self._shapes = None
        self._state_text = ""
        self._state_due_s = self._health_due_s = 0.0

    def _announce(self) -> None:
        """Tell Home Assistant of the sensors, and which are no more, when that has changed."""
        view = self._view()
        shapes = tuple(view.lines), tuple(view.zones)
        if shapes == self._shapes or self._announcements:
            return
        self._shapes = shapes
        prefix = self._config.discovery_prefix
        messages = discovery_messages(prefix, self._config.device, self._topics, *shapes) if prefix else {}
        texts = dict.fromkeys(self._announced.topics - messages.keys(), "")
        texts |= {topic: payload(document) for topic, document in messages.items()}
        for topic, text in texts.items():
            self._announcements.add(self.connection.publish(topic, text, qos=1, retain=True))
        self._announced.replace(messages)

    def _tell(self, now_s: float) -> None:
        source = self._state()
        if now_s >= self._state_due_s:
            text = payload(state_document(self._view(), source))
            if text != self._state_text:
                self._publish_newest(self._topics.state, text)
                self._state_text, self._state_due_s = text, now_s + STATE_S
        if now_s >= self._health_due_s:
            self._health_due_s = now_s + HEALTH_S
            self._publish_newest(self._topics.health, payload(self._health(source, now_s)))

    def _publish_newest(self, topic: str, text: str) -> None:
        number = self.connection.publish(topic, text, retain=True)
        if number in self._in_flight:
            # Numbers come round, and what asks for no acknowledgement is reported as if it had one. Which of
            # the two is meant cannot be told: the event stays in the spool, and the next run sends it.
            self._in_flight[number] = None

    def _health(self, source: SourceState, now_s: float) -> dict[str, object]:
        summary = self._summary()
        waiting, dropped = self._spool.count()
        frames, elapsed_s = summary.frames - self._measured_frames, now_s - self._measured_s
        self._measured_frames, self._measured_s = summary.frames, now_s
        return health_document(
            summary,
            source,
            self._outputs(),
            fps=frames / elapsed_s if elapsed_s > 0 else 0.0,
            uptime_s=now_s - self._started_s,
            waiting=waiting,
            dropped=dropped,
        )

    def _settle(self) -> None:
        """Remove what was acknowledged; on a full disk, when it is one no more."""
        while True:
            try:
                message = self.connection.acknowledged.get_nowait()
            except Empty:
                break
            self._greetings.discard(message)
            self._announcements.discard(message)
            number = self._in_flight.pop(message, None)
            if number is not None:
                self._delivered.add(number)
        if self._delivered:
            try:
                self._spool.remove(self._delivered)
                self._delivered.clear()
            except sqlite3.Error as error:
                self._complain(error)

    def _send_events(self) -> None:
        try:
            for number, text in self._spool.after(self._last_number, IN_FLIGHT - len(self._in_flight)):
                self._send(f"{self._spool.name}-{number}", text, number)
                self._last_number = number
        except sqlite3.Error as error:  # those in memory can still be sent
            self._complain(error)
        for text in self._spool.take_unwritten(IN_FLIGHT - len(self._in_flight)):
            self._send(uuid4().hex, text, None)

    def _send(self, event_id: str, text: str, number: int | None) -> None:
        document = payload({"id": event_id, **json.loads(text)})
        self._in_flight[self.connection.publish(self._topics.event, document, qos=1)] = number

    def _take_leave(self) -> None:
        until_s = time.monotonic() + FAREWELL_S
        self._state_due_s = self._health_due_s = self._sync_due_s = 0.0
        while True:
            self._attempt()
            if not self.connection.connected or time.monotonic() >= until_s or not self._unsent():
                break
            self._news.wait(0.02)
            self._news.clear()
        self.connection.stop()

    def _unsent(self) -> bool:
        try:
            return bool(self._in_flight or self._spool.after(self._last_number, 1))
        except sqlite3.Error:
            return False
