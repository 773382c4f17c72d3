"""Topics and payloads: this docstring is their documentation.

With ``root`` ``edge-fairmot`` and the device ``shop``:

=============================  =====  ========  =======================================================
topic                          QoS    retained  payload
=============================  =====  ========  =======================================================
``edge-fairmot/shop/status``   1      yes       ``online``; ``offline`` after the end of the run, and from
                                                the broker itself when the connection is lost (last will)
``edge-fairmot/shop/state``    0      yes       people in view and counts; after a change, once a second
                                                at most
``edge-fairmot/shop/health``   0      yes       health of the run; every ten seconds
``edge-fairmot/shop/event``    1      no        one counted event; every one, at least once
=============================  =====  ========  =======================================================

With several cameras each has its own topics, one part longer: ``edge-fairmot/shop/door/state``. A name with
other characters than ASCII letters, digits, _ and - is changed there, and a checksum is added to it.

``state``: ``people``, ``occupancy`` and ``unseen`` are null while the source does not run::

    {"source": "running", "message": "", "people": 3,
     "lines": {"door": {"in": 12, "out": 9}},
     "zones": {"queue": {"occupancy": 2, "unseen": 0, "entries": 7, "stays": 5,
                         "mean_dwell_s": 31.2, "longest_dwell_s": 80.0}}}

With a model of several classes, ``in_view`` has the objects of each class in view, ``{"car": 2, "bus": 0}``,
``people`` is the number of all of them, and each line and zone has ``classes``, its figures by class name.
``source`` is ``starting``, ``running``, ``lost``, ``stalled`` or ``ended``, and ``message`` is the reason.
``health``::

    {"fps": 12.4, "frames": 44640, "dropped": 12, "identities": 310, "reconnects": 1, "uptime_s": 3600,
     "events_waiting": 0, "events_dropped": 0,
     "outputs": {"recording": {"trouble": "", "missed_frames": 0, "missed_events": 0}}}

``fps`` is over the last ten seconds. ``events_dropped`` are those beyond the limit of the outbox. ``trouble``
is the error of an output, empty if there is none. ``event``::

    {"id": "9f86d081-17", "time": "2026-11-23T14:29:20.123Z", "frame": 7, "time_s": 0.24,
     "event": "in", "line": "door", "track_id": 3}

``event`` is ``in`` or ``out`` over a line, ``enter`` or ``leave`` for a zone. Events of a zone have ``zone``
instead of ``line``, and ``leave`` has ``dwell_s``. With a model of several classes ``class`` is the object's.
An event that arrives twice has the same ``id``. The number in it rises by one with each event, also from run
to run: a gap shows dropped events. ``time`` is the machine's clock, ``time_s`` the source's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from edge_fairmot.pipeline import RunSummary
from edge_fairmot.protocols import OutputHealth, SourceState
from edge_fairmot.sinks.text import counts_document
from edge_fairmot.types import Counts

ONLINE, OFFLINE = "online", "offline"


class Topics:
    """The topics of one device; ``base`` is ``ROOT/DEVICE`` or ``ROOT/DEVICE/CAMERA``."""

    def __init__(self, base: str) -> None:
        self.status, self.state = f"{base}/status", f"{base}/state"
        self.health, self.event = f"{base}/health", f"{base}/event"


def state_document(
    people: int,
    counts: Counts | None,
    source: SourceState,
    in_view: Mapping[str, int] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return the payload of ``state``."""
    document = counts_document(counts)
    is_running = source.status == "running"
    if not is_running:
        for zone in document["zones"].values():
            for one in (zone, *zone.get("classes", {}).values()):
                one["occupancy"] = one["unseen"] = None
    return {
        "source": source.status,
        "message": source.message,
        "people": people if is_running else None,
        **({"in_view": dict(in_view) if is_running else None} if in_view else {}),
        **document,
    }


def health_document(
    summary: RunSummary,
    source: SourceState,
    outputs: Mapping[str, OutputHealth],
    *,
    fps: float,
    uptime_s: float,
    waiting: int,
    dropped: int,
) -> dict[str, Any]:
    """Return the payload of ``health``; ``waiting`` and ``dropped`` count events."""
    return {
        "fps": round(fps, 1),
        "frames": summary.frames,
        "dropped": summary.dropped,
        "identities": summary.identities,
        "reconnects": source.reconnects,
        "uptime_s": round(uptime_s),
        "events_waiting": waiting,
        "events_dropped": dropped,
        "outputs": outputs,
    }


def to_json(document: Mapping[str, Any]) -> str:
    """Return strict JSON; ValueError if the document holds NaN or infinity."""
    return json.dumps(document, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
