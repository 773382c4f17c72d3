"""A whole run: a street is counted, recorded and told of, while the broker goes and comes."""

import json
import re
from contextlib import ExitStack

import pytest

from edge_fairmot.counting import Counter, CountingConfig, parse_line, parse_zone
from edge_fairmot.pipeline import Pipeline
from edge_fairmot.runtimes import open_runtime
from edge_fairmot.service.mqtt import MqttSink
from edge_fairmot.service.recording import RecordingConfig, RecordingSink
from edge_fairmot.service.recording.names import recorded_files
from edge_fairmot.sinks import EventsSink, JsonLinesHeader, read_json_lines
from edge_fairmot.sources import SourceState, open_source
from edge_fairmot.tracking import Tracker, TrackerConfig

from ..counting.conftest import _record_true_boxes  # noqa: TID252
from ..recording.conftest import fill  # noqa: TID252
from .conftest import wait_for

SPEC = "synthetic:seed=5,frames=150,size=480x270,fps=12.5"
COUNTING = CountingConfig(
    (parse_line("street:0.02,0.6,0.98,0.6"), parse_line("door:0.6,0.45,0.6,0.95")),
    (parse_zone("square:0.3,0.5;0.7,0.5;0.7,0.8;0.3,0.8"),),
)


@pytest.fixture
def small_disk(disk_of):
    """A disk of 4 MiB."""
    return disk_of("4m")


def test_nothing_is_lost_while_the_broker_is_away_and_the_disk_is_full(
    small_disk, broker, listener, config, tmp_path
):
    tape = tmp_path / "tape.npz"
    _record_true_boxes(SPEC, tape)
    with ExitStack() as stack:
        source = stack.enter_context(open_source(SPEC))
        runtime = open_runtime(tape, "replay")
        counter = Counter(COUNTING, source.info.frame_size)
        mqtt = MqttSink(
            config(broker.port),
            lambda: pipeline.summary(),  # noqa: PLW0108
            lambda: SourceState("running", 0.0),
            counter,
        )
        stack.callback(mqtt.close)
        header = JsonLinesHeader(source.info.name, source.info.frame_size, source.info.frame_rate)
        plan = RecordingConfig(small_disk, keep_free_bytes=0, file_bytes=50_000)
        recording = stack.enter_context(RecordingSink(plan, header))
        events = EventsSink(tmp_path / "events.jsonl", counter, [mqtt.take_event, recording.take_event])
        stack.enter_context(events)
        tracker = Tracker(TrackerConfig(frame_rate=source.info.frame_rate))
        pipeline = Pipeline(source, runtime, tracker, [events, mqtt, recording])

        def happen(frame, tracks):
            if frame.index == 30:
                broker.stop()
            if frame.index == 60:
                fill(small_disk / "others")
            if frame.index == 100:
                assert recording.trouble
                (small_disk / "others").unlink()
                recording._keeper.look()
            if frame.index == 120:
                broker.start()

        for frame, tracks in pipeline:
            happen(frame, tracks)
        expected = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
        topic = "edge-fairmot/shop/event"
        wait_for(lambda: len({text["id"] for text in listener.documents(topic)}) >= len(expected))
    told = {text["id"]: text for text in listener.documents(topic)}.values()
    assert [{key: text[key] for key in text.keys() - {"id", "time"}} for text in told] == expected
    assert len(expected) > 10
    assert pipeline.summary().frames == 150
    read = [
        list(read_json_lines(path)[1])
        for path in recorded_files(small_disk, "tracks")
        if re.search(r"Z(-\d+)?\.jsonl$", path.name)
    ]
    numbers = [number for frames in read for number, _, _ in frames]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == 150 - recording.missed
    assert numbers[:60] == list(range(1, 61))
    assert numbers[-45:] == list(range(106, 151))
    assert 0 < recording.missed <= 45
