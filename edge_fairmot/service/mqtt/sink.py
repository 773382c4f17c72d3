"""Tracks and events to an MQTT broker."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timezone

from edge_fairmot.counting import Counter, Event
from edge_fairmot.pipeline import RunSummary
from edge_fairmot.protocols import Outputs, SourceState
from edge_fairmot.service.mqtt.config import MqttConfig
from edge_fairmot.service.mqtt.publisher import FAREWELL_S, Publisher
from edge_fairmot.service.mqtt.spool import Spool
from edge_fairmot.service.mqtt.topics import View, payload
from edge_fairmot.sinks.text import event_document
from edge_fairmot.types import Frame, Tracks

DISCONNECT_WITHIN_S = 0.4


class MqttSink(AbstractContextManager["MqttSink"]):
    """Publishes as :mod:`edge_fairmot.service.mqtt.topics` says, and waits for no broker.

    Events are its :meth:`take_event`'s, to be given to :class:`edge_fairmot.sinks.EventsSink` as a listener.

    Parameters
    ----------
    config : MqttConfig
    summary : callable
        Gives the RunSummary, from any thread: ``pipeline.summary``.
    state : callable
        Gives the SourceState, from any thread.
    counter : Counter, optional
        Whose totals are published. It is updated by another sink, before this one.
    outputs : callable, optional
        Gives what is wrong with other outputs, by name, from any thread.

    Raises
    ------
    MissingDependencyError
        If paho-mqtt, which the extra ``mqtt`` brings, is not installed.
    InvalidInputError
        If a certificate cannot be read.
    SinkError
        If the spool cannot be made, or another run has it.
    """

    def __init__(
        self,
        config: MqttConfig,
        summary: Callable[[], RunSummary],
        state: Callable[[], SourceState],
        counter: Counter | None = None,
        outputs: Callable[[], Outputs] = dict,
    ) -> None:
        self._counter = counter
        self._view = self._look(0)
        self._spool = Spool(config.spool, config.spool_limit)
        try:
            self._publisher = Publisher(
                config,
                self._spool,
                summary=summary,
                state=state,
                view=lambda: self._view,
                outputs=outputs,
            )
        except BaseException:
            self._spool.close()
            raise
        self._publisher.start()

    @property
    def trouble(self) -> str:
        """Why nothing reaches the broker now, one line; empty where it does."""
        return self._publisher.connection.message

    def write(self, frame: Frame, tracks: Tracks) -> None:
        """Take the tracks of one frame: the newest are what is published. Waits for nothing."""
        self._view = self._look(len(tracks))

    def take_event(self, frame: Frame, event: Event) -> None:
        """Keep an event until the broker has it; it survives the process. Waits for no broker."""
        stamp = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._spool.add(payload({"time": stamp, **event_document(frame.index + 1, event)}))
        self._publisher.notice()

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Send what can be sent soon, keep the rest and take leave, within a second. May be called twice."""
        self._publisher.stop(FAREWELL_S + DISCONNECT_WITHIN_S)
        self._spool.close()

    def _look(self, people: int) -> View:
        if self._counter is None:
            return View(people)
        return View(people, self._counter.lines, self._counter.zones)
