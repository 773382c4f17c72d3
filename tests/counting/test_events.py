"""Events and counts of a whole run, and the example of a sink and a trigger of one's own."""

import importlib.util
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge_fairmot import Counter, CountingConfig, Pipeline, Tracker, TrackerConfig, open_source
from edge_fairmot.counting import parse_line, parse_zone
from edge_fairmot.sinks import EventsSink

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_sink.py"
SPEC = "synthetic:seed=5,frames=80,size=320x180,fps=12.5"
DOOR = parse_line("door:0.5,0,0.5,1")
CONFIG = CountingConfig(
    (DOOR, parse_line("street:0.02,0.6,0.98,0.6")), (parse_zone("square:0.3,0.5;0.7,0.5;0.7,0.8;0.3,0.8"),)
)


@pytest.fixture(scope="module")
def run(true_boxes, tmp_path_factory):
    """Events, as written, and results of one run."""
    path = tmp_path_factory.mktemp("counted") / "events.jsonl"
    with open_source(SPEC) as source:
        counter = Counter(CONFIG, source.info.frame_size)
        tracker = Tracker(TrackerConfig(frame_rate=source.info.frame_rate))
        results = []
        pipeline = Pipeline(source, true_boxes(source), tracker, counter=counter)
        pipeline.run([EventsSink(path)], on_result=results.append)
    return [json.loads(line) for line in path.read_text().splitlines()], results


def test_events_add_up_to_the_counts_of_each_frame(run):
    events, results = run

    def count(kind, shape, name):
        return sum(event["event"] == kind and event.get(shape) == name for event in so_far)

    for result in results:
        so_far = [event for event in events if event["frame"] <= result.frame.number]
        for name, line in result.counts.lines.items():
            assert (line.inwards, line.outwards) == (count("in", "line", name), count("out", "line", name))
        square = result.counts.zones["square"]
        assert square.entries == count("enter", "zone", "square")
        assert square.stays == count("leave", "zone", "square")
        assert square.occupancy + square.unseen <= square.entries - square.stays
    dwells = [event["dwell_s"] for event in events if event["event"] == "leave"]
    assert square.longest_dwell_s == pytest.approx(max(dwells), abs=1e-3)
    assert sum(line.inwards + line.outwards for line in result.counts.lines.values()) > 5
    assert [event["frame"] for event in events] == sorted(event["frame"] for event in events)
    assert all(event["time_s"] <= (event["frame"] - 1) / 12.5 + 1e-9 for event in events)


def test_the_example_reports_each_event_and_each_new_maximum(run, true_boxes, monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("own_sink", EXAMPLE)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    runtime = SimpleNamespace(close=lambda: None)
    monkeypatch.setattr(example, "open_runtime", lambda model, name: runtime)
    with open_source(SPEC) as street:
        monkeypatch.setattr(example, "FairMotDetector", lambda runtime, threshold: true_boxes(street))
        example.main(SPEC, "people.onnx")
    lines = capsys.readouterr().out.splitlines()
    told = [re.search(r"person (\d+) goes (in|out) at the door", line) for line in lines]
    events, results = run
    expected = [(event["track_id"], event["event"]) for event in events if event.get("line") == "door"]
    assert [(int(match[1]), match[2]) for match in told if match] == expected
    assert len(expected) > 2
    maxima = [int(match[1]) for line in lines if (match := re.search(r"(\d+) people, more than ever", line))]
    assert maxima == sorted(set(maxima))
    assert maxima[-1] == max(len(result.tracks) for result in results)
    assert lines[-1] == f"never more than {maxima[-1]} people"
