"""What is published, and where: this page is the documentation.

With ``root`` ``edge-fairmot`` and the device ``shop``:

=============================  =====  ========  =======================================================
topic                          QoS    retained  payload
=============================  =====  ========  =======================================================
``edge-fairmot/shop/status``   1      yes       ``online``; ``offline`` after a farewell, and by the
                                                broker itself when it has heard nothing for too long
``edge-fairmot/shop/state``    0      yes       what is in view and has been counted; when it changes,
                                                once a second at most
``edge-fairmot/shop/health``   0      yes       how the run fares; every ten seconds
``edge-fairmot/shop/event``    1      no        one thing that was counted; every one, at least once
=============================  =====  ========  =======================================================

``state``: ``people`` and ``occupancy`` are null while the source does not run::

    {"source": "running", "message": "", "people": 3,
     "lines": {"door": {"in": 12, "out": 9}},
     "zones": {"queue": {"occupancy": 2, "entries": 7, "stays": 5,
                         "mean_dwell_s": 31.2, "longest_dwell_s": 80.0}}}

``source`` is ``starting``, ``running``, ``lost`` or ``ended``, and ``message`` says why. ``health``::

    {"fps": 12.4, "frames": 44640, "dropped": 12, "identities": 310, "reconnects": 1, "uptime_s": 3600,
     "events_waiting": 0, "events_dropped": 0,
     "outputs": {"recording": {"trouble": "", "missed_frames": 0, "missed_events": 0}}}

``fps`` is over the last ten seconds; dropped events are those that were too many to keep; ``trouble`` is why
an output takes nothing now, empty where it does. ``event``::

    {"id": "9f86d081-17", "time": "2026-11-23T14:29:20.123Z", "frame": 7, "time_s": 0.24,
     "event": "in", "line": "door", "track_id": 3}

``event`` is ``in`` or ``out`` over a line, ``enter`` or ``leave`` for a zone, which then stands in the place
of ``line``; ``leave`` has ``dwell_s``. An event that comes twice has the same ``id``. The number in it rises
by one with each event, also from run to run: a gap is what was dropped. ``time`` is the machine's clock,
``time_s`` the source's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from edge_fairmot.counting import LineTotals, ZoneTotals
from edge_fairmot.pipeline import RunSummary
from edge_fairmot.protocols import Outputs, SourceState

ONLINE, OFFLINE = "online", "offline"

DECIMALS = 3
"""Of dwell times: milliseconds."""


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one device."""

    base: str

    @property
    def status(self) -> str:
        """Whether it is there."""
        return f"{self.base}/status"

    @property
    def state(self) -> str:
        """What is in view and has been counted."""
        return f"{self.base}/state"

    @property
    def health(self) -> str:
        """How the run fares."""
        return f"{self.base}/health"

    @property
    def event(self) -> str:
        """What happens."""
        return f"{self.base}/event"


@dataclass(frozen=True, slots=True)
class View:
    """What the newest frame left behind.

    Attributes
    ----------
    people : int
        Tracks in it.
    lines, zones : mapping of str to totals
        By name.
    """

    people: int = 0
    lines: Mapping[str, LineTotals] = field(default_factory=dict)
    zones: Mapping[str, ZoneTotals] = field(default_factory=dict)


def state_document(view: View, source: SourceState) -> dict[str, Any]:
    """Payload of ``state``."""
    seen = source.status == "running"
    return {
        "source": source.status,
        "message": source.message,
        "people": view.people if seen else None,
        "lines": {name: {"in": line.inwards, "out": line.outwards} for name, line in view.lines.items()},
        "zones": {
            name: {key: round(value, DECIMALS) for key, value in asdict(zone).items()}
            | ({} if seen else {"occupancy": None})
            for name, zone in view.zones.items()
        },
    }


def health_document(
    summary: RunSummary,
    source: SourceState,
    outputs: Outputs,
    *,
    fps: float,
    uptime_s: float,
    waiting: int,
    dropped: int,
) -> dict[str, Any]:
    """Payload of ``health``.

    Parameters
    ----------
    summary : RunSummary
    source : SourceState
    outputs : dict of str to dict
        What is wrong with the others, and what was lost by it.
    fps : float
        Of late.
    uptime_s : float
    waiting, dropped : int
        Events that the broker has not got yet, and those that it never will.
    """
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


def payload(document: Mapping[str, Any]) -> str:
    """Write a document as strict JSON.

    Raises
    ------
    ValueError
        If it holds NaN or infinity.
    """
    return json.dumps(document, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
