"""Where tracks go: text for evaluation, JSON Lines for programs, video for eyes."""

from edge_fairmot.benchmarks.street.ground_truth import SequenceWriter, TruthSink
from edge_fairmot.sinks.drawing import Annotator
from edge_fairmot.sinks.text import EventsSink, JsonLinesHeader, JsonLinesSink, MotTextSink, read_json_lines
from edge_fairmot.sinks.video import VideoSink

__all__ = [
    "Annotator",
    "EventsSink",
    "JsonLinesHeader",
    "JsonLinesSink",
    "MotTextSink",
    "SequenceWriter",
    "TruthSink",
    "VideoSink",
    "read_json_lines",
]
