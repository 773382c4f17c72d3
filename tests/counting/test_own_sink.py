"""The example of one's own sink and trigger, run as a user runs it."""

import json
import re
import subprocess
import sys
from pathlib import Path

from edge_fairmot.counting import Counter, CountingConfig, parse_line
from edge_fairmot.pipeline import Pipeline
from edge_fairmot.runtimes import open_runtime
from edge_fairmot.sinks import EventsSink
from edge_fairmot.sources import open_source
from edge_fairmot.tracking import Tracker, TrackerConfig

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_sink.py"
SPEC = "synthetic:seed=5,frames=80,size=480x270,fps=12.5"


def test_it_tells_every_event_and_the_largest_crowd(record_true_boxes, tmp_path):
    tape = tmp_path / "tape.npz"
    record_true_boxes(SPEC, tape)
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), SPEC, str(tape), "replay"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    told = [re.search(r"person (\d+) goes (in|out) at the door", line) for line in lines]
    told = [(int(match[1]), match[2]) for match in told if match]
    assert told == counted(tape, tmp_path / "events.jsonl")
    assert len(told) > 2
    crowds = [int(match[1]) for line in lines if (match := re.search(r"(\d+) people, more than ever", line))]
    assert crowds == sorted(set(crowds))
    assert lines[-1] == f"never more than {crowds[-1]} people"


def counted(tape, path):
    """The same by the events' file."""
    with open_source(SPEC) as source:
        counter = Counter(CountingConfig(lines=(parse_line("door:0.5,0,0.5,1"),)), source.info.frame_size)
        tracker = Tracker(TrackerConfig(frame_rate=source.info.frame_rate))
        Pipeline(source, open_runtime(tape, "replay"), tracker, [EventsSink(path, counter)]).run()
    events = [json.loads(line) for line in path.read_text().splitlines()]
    return [(event["track_id"], event["event"]) for event in events]
