"""A broker that accepts no message, for days: nothing piles up, and no event is lost."""

import json

from edge_fairmot.service.mqtt import MqttSink
from edge_fairmot.service.mqtt.publisher import MAX_IN_FLIGHT
from edge_fairmot.types import FrameResult

from .conftest import EVENT, FRAME, HEALTH, STATE, STATUS, crossing, running, summary, wait_for, walker
from .odd_broker import odd_broker

ANNOUNCED = 5
"""Entities of a device without lines and zones."""


def client_of(sink):
    return sink._publisher.connection._client


def track_ids(broker):
    return [json.loads(message.payload)["track_id"] for message in broker.received(EVENT)]


def test_a_broker_that_drops_every_message_does_not_fill_the_memory(config, caplog):
    with odd_broker("hang up") as broker, MqttSink(config(broker.port), summary, running) as sink:
        for track_id in range(1, 101):
            sink.write(crossing(track_id))
        wait_for(lambda: sink._publisher.connection.times_connected > 8)
        assert sink._publisher.connection.times_connected > 8
        assert len(client_of(sink)._out_messages) <= 1 + ANNOUNCED + MAX_IN_FLIGHT
        assert caplog.text.count("or this user may not publish there") == 1
        broker.answer = "acknowledge"
        wait_for(lambda: len(set(track_ids(broker))) == 100)
        wait_for(lambda: sink._outbox.count() == (0, 0))
        assert sorted(set(track_ids(broker))) == list(range(1, 101))
        assert sink._outbox.count() == (0, 0)
        wait_for(lambda: not client_of(sink)._out_messages)
    assert broker.received(STATUS)[-1].payload == "offline"


def test_everything_is_published_again_after_a_reconnection(config):
    with odd_broker("acknowledge") as broker, MqttSink(config(broker.port), summary, running) as sink:
        wait_for(lambda: len({message.topic for message in broker.published}) == ANNOUNCED + 3)
        first = len(broker.published)
        broker.answer = "hang up"
        sink.write(crossing(1))
        wait_for(lambda: sink._publisher.connection.times_connected > 4)
        broker.answer = "acknowledge"
        wait_for(lambda: len({message.topic for message in broker.published[first:]}) == ANNOUNCED + 4)
        topics = {message.topic for message in broker.published[first:]}
        assert topics >= {STATUS, STATE, HEALTH, EVENT}
        assert len(topics) == ANNOUNCED + 4
        assert {message.payload for message in broker.received(STATUS)} == {"online"}


def test_an_event_skips_a_number_in_use(config):
    with odd_broker("nothing") as broker, MqttSink(config(broker.port), summary, running) as sink:
        sink.write(crossing(1))
        wait_for(lambda: track_ids(broker) == [1])
        number = broker.received(EVENT)[0].number
        client_of(sink)._last_mid = number - 1  # 65,535 messages later
        sink.write(crossing(2))
        wait_for(lambda: 2 in track_ids(broker))
        assert track_ids(broker) == [1, 2]
        assert broker.received(EVENT)[1].number != number
        assert sink._outbox.count() == (2, 0)


def test_a_message_without_acknowledgement_is_not_taken_for_an_event_with_its_number(config):
    with odd_broker("nothing") as broker, MqttSink(config(broker.port), summary, running) as sink:
        sink.write(crossing(1))
        wait_for(lambda: track_ids(broker) == [1] and broker.received(HEALTH))
        client_of(sink)._last_mid = broker.received(EVENT)[0].number - 1
        sink.write(FrameResult(FRAME, walker(30)))
        wait_for(lambda: json.loads(broker.received(STATE)[-1].payload)["people"] == 1)
        sink.write(crossing(2))
        wait_for(lambda: track_ids(broker) == [1, 2])  # by now the report has been processed
        assert sink._outbox.count() == (2, 0)
