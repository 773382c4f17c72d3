"""Counting: line crossings, zone occupancy and dwell times. Tracks in, events and counts out."""

from edge_fairmot.counting.counter import Counter
from edge_fairmot.counting.ignoring import IgnoredZones
from edge_fairmot.counting.shapes import CountingConfig, Line, Zone, parse_counting, parse_line, parse_zone

__all__ = [
    "Counter",
    "CountingConfig",
    "IgnoredZones",
    "Line",
    "Zone",
    "parse_counting",
    "parse_line",
    "parse_zone",
]
