"""The annotated video shows a crossing in the frame of its event, and never before."""

from __future__ import annotations

import json

import numpy as np

from edge_fairmot import Counter, CountingConfig, Detections, Frame, Pipeline, Tracker
from edge_fairmot.counting import parse_line
from edge_fairmot.protocols import SourceInfo
from edge_fairmot.sinks import EventsSink, VideoSink
from edge_fairmot.sinks.drawing import Annotator

SIZE = (320, 240)


class Walking:
    """A source and a detector: one person walks down over the line."""

    info = SourceInfo("walking", SIZE, 25.0, 20)

    def __iter__(self):
        for index in range(20):
            yield Frame(np.zeros((240, 320, 3), np.uint8), index, index / 25)

    def close(self):
        pass

    def detect(self, frame):
        bottom = 60 + 10 * frame.index
        return Detections(
            np.float32([[100, bottom - 60, 140, bottom]]), np.float32([0.9]), np.float32([[1.0, 0.0]])
        )


def test_the_video_and_the_result_show_a_crossing_in_the_frame_of_its_event(tmp_path, monkeypatch):
    shown = []
    draw = Annotator.draw

    def spy(self, image, tracks, counts=None, class_names=()):
        shown.append(counts.lines["door"].inwards + counts.lines["door"].outwards)
        return draw(self, image, tracks, counts, class_names)

    monkeypatch.setattr(Annotator, "draw", spy)
    walking = Walking()
    counter = Counter(CountingConfig(lines=(parse_line("door:0,0.5,1,0.5"),)), SIZE)
    pipeline = Pipeline(walking, walking, Tracker(), counter=counter)
    results = []
    sinks = [VideoSink(tmp_path / "video.mp4", SIZE, 25.0), EventsSink(tmp_path / "events.jsonl")]
    pipeline.run(sinks, results.append)
    (event,) = map(json.loads, (tmp_path / "events.jsonl").read_text().splitlines())
    first = shown.index(1) + 1
    assert first == event["frame"]
    assert shown == [0] * (first - 1) + [1] * (20 - first + 1)
    # Results are snapshots: the counts of an early frame are still those of that frame.
    assert [result.counts.lines["door"].inwards for result in results] == shown
    assert [len(result.events) for result in results] == [int(n + 1 == first) for n in range(20)]
