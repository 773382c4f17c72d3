"""The tracker: detections in, identities out. Arrays only: no images, no files, no real clock."""

from edge_fairmot.tracking.config import TrackerConfig
from edge_fairmot.tracking.presets import PRESETS, preset, preset_settings
from edge_fairmot.tracking.tracker import Tracker

__all__ = ["PRESETS", "Tracker", "TrackerConfig", "preset", "preset_settings"]
