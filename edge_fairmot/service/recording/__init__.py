"""Recording for months: :class:`RecordingSink`."""

from edge_fairmot.service.recording.config import ClipConfig, RecordingConfig, parse_recording, parse_size
from edge_fairmot.service.recording.sink import RecordingSink

__all__ = ["ClipConfig", "RecordingConfig", "RecordingSink", "parse_recording", "parse_size"]
