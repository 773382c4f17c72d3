"""Events on disk."""

import json

import numpy as np
import pytest

from edge_fairmot.counting import Counter, CountingConfig, parse_line, parse_zone
from edge_fairmot.errors import SinkError
from edge_fairmot.sinks import EventsSink

CONFIG = CountingConfig((parse_line("door:0.5,0,0.5,1"),), (parse_zone("hall:0,0;0.5,0;0.5,1;0,1"),))


def test_every_event_is_a_line_that_says_all(tmp_path, make_frame, make_tracks):
    counter = Counter(CONFIG, (64, 48))
    with EventsSink(tmp_path / "deep" / "events.jsonl", counter) as sink:
        for index, x in enumerate((50, 40, 20, 10, 20, 50)):
            sink.write(make_frame(index), make_tracks([(7, x - 3, 20, x + 3, 40)]))
            written = (tmp_path / "deep" / "events.jsonl").read_text()
            assert written.count("\n") == (0, 0, 2, 2, 2, 4)[index]  # at once, not at the end
    expected = [
        {"frame": 3, "time_s": 0.08, "event": "in", "line": "door", "track_id": 7},
        {"frame": 3, "time_s": 0.08, "event": "enter", "zone": "hall", "track_id": 7},
        {"frame": 6, "time_s": 0.2, "event": "out", "line": "door", "track_id": 7},
        {"frame": 6, "time_s": 0.2, "event": "leave", "zone": "hall", "track_id": 7, "dwell_s": 0.12},
    ]
    assert [json.loads(line) for line in written.splitlines()] == expected
    assert counter.lines["door"].inwards == 1


def test_boxes_that_are_not_numbers_are_refused(tmp_path, make_frame, make_tracks):
    with (
        EventsSink(tmp_path / "events.jsonl", Counter(CONFIG, (64, 48))) as sink,
        pytest.raises(SinkError, match="not finite"),
    ):
        sink.write(make_frame(0), make_tracks([(7, np.nan, 20, 30, 40)]))
