"""Outputs for results: text for evaluation, JSON Lines for programs, an annotated video."""

from edge_fairmot.sinks.crops import CropsSink
from edge_fairmot.sinks.drawing import Annotator
from edge_fairmot.sinks.events import EventsSink
from edge_fairmot.sinks.text import (
    GroundTruthSink,
    JsonLinesHeader,
    JsonLinesSink,
    MotTextSink,
    read_json_lines,
)
from edge_fairmot.sinks.video import VideoSink

__all__ = [
    "Annotator",
    "CropsSink",
    "EventsSink",
    "GroundTruthSink",
    "JsonLinesHeader",
    "JsonLinesSink",
    "MotTextSink",
    "VideoSink",
    "read_json_lines",
]
