"""History: what was counted outlives the run. SQLite in the state folder, one file for all cameras.

:class:`HistorySink` writes events and counts per minute while a run goes on; :class:`History` reads them,
from any thread or process, also while they are written::

    history = History(history_path())
    for shape in history.totals(datetime.now(timezone.utc)):
        print(shape.camera, shape.kind, shape.id, shape.name, shape.since)
        print(shape.all.inwards, shape.today.inwards, shape.yesterday.entries)
    for row in history.counts(start, end, by="hour", camera="door"):  # in order of time, as they are read
        print(row.start, row.end, row.name, row.class_name, row.totals, row.mean_occupancy)
    for event in history.events(start, end, before=last_id, limit=100):  # newest first
        print(event.id, event.time, event.camera, event.event, event.name, event.track_id, event.clip)

Times that go in and come out are aware datetimes. Days and hours are those of the local zone, or of the zone
that :class:`History` is given. A bucket in which nothing was counted has no row. Everything that was counted
belongs to the id of a line or zone: its name is the newest. What went in over a line that was turned around
afterwards went out.
"""

from edge_fairmot.service.history.buckets import Buckets, By
from edge_fairmot.service.history.event_files import count_events
from edge_fairmot.service.history.reading import CountRow, EventRow, History, ShapeTotals
from edge_fairmot.service.history.sink import HistorySink
from edge_fairmot.service.history.store import HistoryConfig, HistoryStore, history_path

__all__ = [
    "Buckets",
    "By",
    "CountRow",
    "EventRow",
    "History",
    "HistoryConfig",
    "HistorySink",
    "HistoryStore",
    "ShapeTotals",
    "count_events",
    "history_path",
]
