"""A broker that takes nothing of what is published, for days: nothing piles up, and no event is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from edge_fairmot.service.mqtt import MqttConfig, MqttSink
from edge_fairmot.service.mqtt.connection import Connection
from edge_fairmot.service.mqtt.publisher import IN_FLIGHT
from edge_fairmot.service.mqtt.topics import Topics

from .conftest import crossing, running, summary, wait_for
from .odd_broker import OddBroker, odd_broker
from .test_sink import EVENT, FRAME, HEALTH, STATE, STATUS, walker

ANNOUNCED = 5
"""Sensors of a device that counts nothing."""


def client_of(sink: MqttSink) -> Any:
    return sink._publisher.connection._client


def told(broker: OddBroker) -> list[object]:
    return [json.loads(message.payload)["track_id"] for message in broker.came(EVENT)]


def test_a_broker_that_hangs_up_on_what_is_published_does_not_fill_the_memory(
    config: Callable[..., MqttConfig], caplog: pytest.LogCaptureFixture
) -> None:
    with odd_broker("hang up") as broker, MqttSink(config(broker.port), summary, running) as sink:
        for track_id in range(1, 101):
            sink.take_event(FRAME, crossing(track_id))
        wait_for(lambda: sink._publisher.connection.times_made > 8)
        assert sink._publisher.connection.times_made > 8
        assert len(client_of(sink)._out_messages) <= 1 + ANNOUNCED + IN_FLIGHT
        assert caplog.text.count("Or may we not publish there?") == 1
        broker.answer = "acknowledge"
        wait_for(lambda: len(set(told(broker))) == 100)
        wait_for(lambda: sink._spool.count() == (0, 0))
        assert sorted(set(told(broker))) == list(range(1, 101))
        assert sink._spool.count() == (0, 0)
        wait_for(lambda: not client_of(sink)._out_messages)
    assert broker.came(STATUS)[-1].payload == "offline"


def test_who_was_dropped_is_online_again_and_says_what_there_is(config: Callable[..., MqttConfig]) -> None:
    with odd_broker("acknowledge") as broker, MqttSink(config(broker.port), summary, running) as sink:
        wait_for(lambda: len({message.topic for message in broker.published}) == ANNOUNCED + 3)
        first = len(broker.published)
        broker.answer = "hang up"
        sink.take_event(FRAME, crossing(1))
        wait_for(lambda: sink._publisher.connection.times_made > 4)
        broker.answer = "acknowledge"
        wait_for(lambda: len({message.topic for message in broker.published[first:]}) == ANNOUNCED + 4)
        topics = {message.topic for message in broker.published[first:]}
        assert topics >= {STATUS, STATE, HEALTH, EVENT}
        assert len(topics) == ANNOUNCED + 4
        assert {message.payload for message in broker.came(STATUS)} == {"online"}


def test_an_event_whose_number_is_in_use_is_sent_under_another(
    config: Callable[..., MqttConfig],
) -> None:
    with odd_broker("nothing") as broker, MqttSink(config(broker.port), summary, running) as sink:
        sink.take_event(FRAME, crossing(1))
        wait_for(lambda: told(broker) == [1])
        taken = broker.came(EVENT)[0].number
        client_of(sink)._last_mid = taken - 1  # 65,535 messages later
        sink.take_event(FRAME, crossing(2))
        wait_for(lambda: 2 in told(broker))
        assert told(broker) == [1, 2]
        assert broker.came(EVENT)[1].number != taken
        assert sink._spool.count() == (2, 0)


def test_what_asks_for_no_acknowledgement_is_not_taken_for_an_event_of_its_number(
    config: Callable[..., MqttConfig],
) -> None:
    with odd_broker("nothing") as broker, MqttSink(config(broker.port), summary, running) as sink:
        sink.take_event(FRAME, crossing(1))
        wait_for(lambda: told(broker) == [1] and broker.came(HEALTH))
        client_of(sink)._last_mid = broker.came(EVENT)[0].number - 1
        sink.write(FRAME, walker(30))
        wait_for(lambda: [json.loads(message.payload)["people"] for message in broker.came(STATE)][-1] == 1)
        sink.take_event(FRAME, crossing(2))
        wait_for(lambda: told(broker) == [1, 2])  # by now what was reported has been dealt with
        assert sink._spool.count() == (2, 0)


def test_a_number_that_is_in_use_is_passed_over(config: Callable[..., MqttConfig]) -> None:
    connection = Connection(config(1), Topics("shop"), lambda: None)
    first = connection.publish("shop/event", "1", qos=1)
    connection._client._last_mid = first - 1
    assert connection.publish("shop/event", "2", qos=1) == first + 1
    assert [message.payload for message in connection._client._out_messages.values()] == [b"1", b"2"]
