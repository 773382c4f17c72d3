"""Events on disk."""

import json
import math

import pytest

from edge_fairmot.counting import Counter, CountingConfig, parse_line, parse_zone
from edge_fairmot.errors import SinkError
from edge_fairmot.sinks import EventsSink
from edge_fairmot.sinks.text import counts_document
from edge_fairmot.types import FrameResult

CONFIG = CountingConfig((parse_line("door:0.5,0,0.5,1"),), (parse_zone("hall:0,0;0.5,0;0.5,1;0,1"),))


def test_every_event_is_a_line_that_says_all(tmp_path, make_frame, make_tracks):
    counter = Counter(CONFIG, (64, 48))
    path = tmp_path / "deep" / "events.jsonl"
    with EventsSink(path) as sink:
        walk = ((0, 50, 0), (1, 40, 0), (2, 20, 2), (3, 10, 2), (4, 20, 2), (5, 50, 3), (25, 50, 4))
        for index, x, lines in walk:
            frame, tracks = make_frame(index), make_tracks([(7, x - 3, 20, x + 3, 40)])
            sink.write(FrameResult(frame, tracks, counter.update(tracks, frame.time_s), counter.counts))
            written = path.read_text()
            assert written.count("\n") == lines  # at once, not at the end
    expected = [
        {"frame": 3, "time_s": 0.08, "event": "in", "line": "door", "track_id": 7},
        {"frame": 3, "time_s": 0.08, "event": "enter", "zone": "hall", "track_id": 7},
        {"frame": 6, "time_s": 0.2, "event": "out", "line": "door", "track_id": 7},
        {"frame": 26, "time_s": 0.2, "event": "leave", "zone": "hall", "track_id": 7, "dwell_s": 0.12},
    ]
    assert [json.loads(line) for line in written.splitlines()] == expected
    assert counts_document(counter.counts) == {
        "lines": {"door": {"in": 1, "out": 1}},
        "zones": {
            "hall": {
                "occupancy": 0,
                "unseen": 0,
                "entries": 1,
                "stays": 1,
                "mean_dwell_s": 0.12,
                "longest_dwell_s": 0.12,
            }
        },
    }


def test_boxes_that_are_not_numbers_are_refused(tmp_path, make_frame, make_tracks):
    with (
        EventsSink(tmp_path / "events.jsonl") as sink,
        pytest.raises(SinkError, match="not finite"),
    ):
        sink.write(FrameResult(make_frame(0), make_tracks([(7, math.nan, 20, 30, 40)])))
