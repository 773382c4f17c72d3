"""How many crossed a line, how many are in a zone and for how long: tracks in, events out.

No pictures, no files, no reading of clocks. The counters of the supervision package were considered: they
count frames where this counts distance and time, so that their figures change with the frame rate; they know
nothing of an identity that is lost and found under another number, or of dwell times; they keep something of
every identity for ever; and they bring Matplotlib, SciPy and twenty other packages onto the device.
"""

from edge_fairmot.counting.counter import Counter
from edge_fairmot.types import CountingEvent as Event, LineCounts as LineTotals, ZoneCounts as ZoneTotals  # noqa: F401
from edge_fairmot.counting.shapes import CountingConfig, Line, Zone, parse_counting, parse_line, parse_zone

__all__ = [
    "Counter",
    "CountingConfig",
    "Line",
    "Zone",
    "parse_counting",
    "parse_line",
    "parse_zone",
]
