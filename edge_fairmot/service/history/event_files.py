"""Counts from files of events, for those who have no history: the same rows, without occupancy."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.service.history.buckets import Buckets
from edge_fairmot.service.history.reading import CountRow, Kind
from edge_fairmot.sinks.events import parse_rfc3339, read_events
from edge_fairmot.types import Totals

_FIELDS = {"in": "inwards", "out": "outwards", "enter": "entries", "leave": "stays"}


def count_events(
    paths: Iterable[Path], start: datetime, end: datetime, buckets: Buckets, camera: str | None = None
) -> Iterator[CountRow]:
    """Yield counts of the events of files, as :meth:`History.counts` does; names stand for ids.

    InvalidInputError if an event has no wall-clock time.
    """
    sums: dict[tuple[int, str, Kind, str, str], Totals] = defaultdict(Totals)
    for path in paths:
        place, events = read_events(path)
        for event in events if camera in (None, place) else ():
            time = _time_of(event, path)
            if start <= time < end:
                kind: Kind = "line" if "line" in event else "zone"
                key = buckets.floor(time.timestamp()), place, kind, event[kind], event.get("class", "person")
                sums[key] = _add(sums[key], event)
    for key in sorted(sums):
        begin, place, kind, name, class_name = key
        times = buckets.time(begin), buckets.time(buckets.next(begin))
        yield CountRow(*times, place, kind, name, name, class_name, sums[key], None, None)


def _time_of(event: dict[str, Any], path: Path) -> datetime:
    try:
        return parse_rfc3339(event["time"])
    except (KeyError, ValueError, AttributeError):
        raise InvalidInputError(
            f"{path} has events without a time of day: track the video again with "
            "--start-time 2026-11-30T09:15:00Z, the time when it begins"
        ) from None


def _add(totals: Totals, event: dict[str, Any]) -> Totals:
    field, dwell_s = _FIELDS[event["event"]], event.get("dwell_s", 0.0)
    return totals._replace(
        **{field: getattr(totals, field) + 1},
        dwell_s=totals.dwell_s + dwell_s,
        longest_s=max(totals.longest_s, dwell_s),
    )
