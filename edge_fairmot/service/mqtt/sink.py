"""The sink that publishes counts and events to an MQTT broker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from edge_fairmot.classes import count_by_class
from edge_fairmot.pipeline import RunSummary
from edge_fairmot.protocols import OutputHealth, SourceState
from edge_fairmot.service.mqtt.config import MqttConfig
from edge_fairmot.service.mqtt.outbox import Outbox
from edge_fairmot.service.mqtt.publisher import FLUSH_S, Publisher, View
from edge_fairmot.service.mqtt.topics import to_json
from edge_fairmot.service.run import RunView, utc_now
from edge_fairmot.sinks.events import TimeOf, event_document, rfc3339
from edge_fairmot.types import Counts, FrameResult

DISCONNECT_S = 0.4


class MqttSink(AbstractContextManager["MqttSink"]):
    """Publishes to the topics of :mod:`edge_fairmot.service.mqtt.topics`, and never waits for the broker.

    Parameters
    ----------
    config : MqttConfig
    summary : callable
        Returns the RunSummary, from any thread: ``pipeline.summary``.
    state : callable
        Returns the SourceState, from any thread.
    counts : Counts, optional
        Counts before the first frame, ``counter.counts``: lines and zones are announced with them.
    outputs : callable, optional
        Returns the health of all outputs, from any thread.
    time_of : callable, optional
        Returns the wall-clock time, UTC, of a moment by the source's clock; without it, that of an event is
        the time of the call of :meth:`write`.

    Raises
    ------
    MissingDependencyError
        If paho-mqtt, of the extra ``mqtt``, is not installed.
    InvalidInputError
        If credentials or a certificate cannot be read.
    SinkError
        If the outbox cannot be made, or another run uses it.
    """

    def __init__(
        self,
        config: MqttConfig,
        summary: Callable[[], RunSummary],
        state: Callable[[], SourceState],
        counts: Counts | None = None,
        *,
        outputs: Callable[[], Mapping[str, OutputHealth]] = dict,
        time_of: TimeOf | None = None,
    ) -> None:
        self._time_of = time_of
        self._view = View(0, counts)
        self._outbox = Outbox(config.outbox_path, config.outbox_limit)
        try:
            run = RunView(summary, state, outputs)
            self._publisher = Publisher(config, self._outbox, run, lambda: self._view)
        except BaseException:
            self._outbox.close()
            raise
        self._publisher.start()

    @property
    def health(self) -> Mapping[str, OutputHealth]:
        """``mqtt``: the reason why nothing reaches the broker, empty where there is none."""
        return {"mqtt": {"trouble": self._publisher.connection.message}}

    def write(self, result: FrameResult) -> None:
        """Take one result: its counts are the newest, its events are kept until the broker has them."""
        in_view = count_by_class(result.tracks.class_id, result.class_names)
        self._view = View(len(result.tracks), result.counts, in_view)
        if result.events:
            now = rfc3339(utc_now())
            for event in result.events:
                document = event_document(result.frame.number, event, result.class_names, self._time_of)
                self._outbox.add(to_json({"time": now} | document))
            self._publisher.wake()

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Send what can be sent soon, keep the rest and disconnect, within a second. May be called twice."""
        if self._publisher.stop(FLUSH_S + DISCONNECT_S):
            self._outbox.close()  # SQLite crashes where a thread still uses what is closed
