"""Detections in, identities out: arrays only, no pictures, no files, no reading of clocks."""

from edge_fairmot.tracking.config import TrackerConfig
from edge_fairmot.tracking.tracker import Tracker

__all__ = ["Tracker", "TrackerConfig"]
