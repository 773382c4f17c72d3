"""Recording for months: tracks, events and clips in files that follow each other, within a disk budget."""

from edge_fairmot.service.recording.config import RecordingConfig
from edge_fairmot.service.recording.sink import RecordingSink

__all__ = ["RecordingConfig", "RecordingSink"]
