"""The tracker: detections in, identities out. Arrays only: no images, no files, no real clock."""

from edge_fairmot.tracking.config import PRESETS, TrackerConfig, preset
from edge_fairmot.tracking.tracker import Tracker

__all__ = ["PRESETS", "Tracker", "TrackerConfig", "preset"]
