"""Where tracks go: text for evaluation, JSON Lines for programs, video for eyes."""

from edge_fairmot.sinks.annotation import Annotator
from edge_fairmot.sinks.counting_overlay import CountingOverlay
from edge_fairmot.sinks.events import EventsSink
from edge_fairmot.sinks.ground_truth import SequenceWriter, TruthSink
from edge_fairmot.sinks.json_lines import JsonLinesHeader, JsonLinesSink
from edge_fairmot.sinks.json_lines_reading import read_json_lines
from edge_fairmot.sinks.mot_text import MotTextSink
from edge_fairmot.sinks.video import VideoSink

__all__ = [
    "Annotator",
    "CountingOverlay",
    "EventsSink",
    "JsonLinesHeader",
    "JsonLinesSink",
    "MotTextSink",
    "SequenceWriter",
    "TruthSink",
    "VideoSink",
    "read_json_lines",
]
