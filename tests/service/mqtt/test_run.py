"""A whole run: a street is counted, recorded and published while the broker is away and the disk is full."""

import json
from contextlib import ExitStack

import numpy as np

from edge_fairmot.counting import Counter, CountingConfig, parse_line, parse_zone
from edge_fairmot.pipeline import Pipeline
from edge_fairmot.protocols import SourceState, output_health
from edge_fairmot.service.mqtt import MqttSink
from edge_fairmot.service.recording import RecordingConfig, RecordingSink
from edge_fairmot.sinks import EventsSink, JsonLinesHeader
from edge_fairmot.sources import open_source
from edge_fairmot.tracking import Tracker, TrackerConfig
from edge_fairmot.types import Detections

from ..recording.conftest import fill, missed, recorded_numbers, trouble  # noqa: TID252
from .conftest import EVENT, HEALTH, wait_for

SPEC = "synthetic:seed=5,frames=150,size=480x270,fps=12.5"
COUNTING = CountingConfig(
    (parse_line("street:0.02,0.6,0.98,0.6"), parse_line("door:0.6,0.45,0.6,0.95")),
    (parse_zone("square:0.3,0.5;0.7,0.5;0.7,0.8;0.3,0.8"),),
)


class TrueDetector:
    """Detects the true boxes of a street, with an embedding for each person."""

    def __init__(self, source):
        self._source = source

    def detect(self, frame):
        truth = self._source.truth(frame.index)
        truth = truth[truth.visibility > 0.35]
        looks = [np.random.default_rng(identity).normal(size=32) for identity in truth.ids.tolist()]
        embedding = np.array(looks, np.float32).reshape(-1, 32)
        return Detections(truth.xyxy, np.full(len(truth), 0.9, np.float32), embedding)


def test_no_event_is_lost_while_the_broker_is_away_and_the_disk_is_full(
    disk_of, broker, subscriber, config, tmp_path
):
    small_disk = disk_of("4m")
    with ExitStack() as stack:
        source = stack.enter_context(open_source(SPEC))
        info = source.info
        counter = Counter(COUNTING, info.frame_size)
        tracker = Tracker(TrackerConfig(frame_rate=info.frame_rate))
        pipeline = Pipeline(source, TrueDetector(source), tracker, counter=counter)
        plan = RecordingConfig(small_disk / "tracks.jsonl", keep_free="0B", file_size="50KB")
        recording = RecordingSink(plan, JsonLinesHeader(info.name, info.frame_size, info.frame_rate))
        sinks = [EventsSink(tmp_path / "events.jsonl"), recording]
        mqtt = MqttSink(
            config(broker.port),
            pipeline.summary,
            lambda: SourceState("running", 0.0),
            counter.counts,
            outputs=lambda: output_health(sinks),
        )
        sinks.append(mqtt)

        def on_result(result):
            if result.frame.number == 30:
                broker.stop()
            if result.frame.number == 60:
                fill(small_disk / "others")
            if result.frame.number == 100:
                assert trouble(recording)
                (small_disk / "others").unlink()
                recording._retention.check()
            if result.frame.number == 120:
                broker.start()
            if result.frame.number == 150:
                expected = (tmp_path / "events.jsonl").read_text().count("\n")
                wait_for(lambda: len({event["id"] for event in subscriber.documents(EVENT)}) >= expected)

        assert pipeline.run(sinks, on_result).frames == 150
    expected = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    events = {event["id"]: event for event in subscriber.documents(EVENT)}.values()
    assert [{key: event[key] for key in event.keys() - {"id", "time"}} for event in events] == expected
    assert len(expected) > 10
    lost, lost_events = missed(recording)
    numbers = recorded_numbers(small_disk)
    assert numbers == sorted(set(numbers))
    assert len(numbers) == 150 - lost
    assert numbers[:60] == list(range(1, 61))
    assert numbers[-45:] == list(range(106, 151))
    assert 0 < lost <= 45
    assert lost_events >= 0
    assert subscriber.documents(HEALTH)[-1]["outputs"] == output_health([recording, mqtt])
