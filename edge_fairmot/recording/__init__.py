"""Recording for months: :class:`RecordingSink`."""

from edge_fairmot.recording.config import ClipConfig, RecordingConfig, parse_recording, parse_size
from edge_fairmot.recording.sink import RecordingSink

__all__ = ["ClipConfig", "RecordingConfig", "RecordingSink", "parse_recording", "parse_size"]
