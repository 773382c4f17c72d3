"""The sink that writes what one camera counts into the history."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from edge_fairmot.classes import class_name
from edge_fairmot.counting import CountingConfig
from edge_fairmot.protocols import OutputHealth
from edge_fairmot.service import slug
from edge_fairmot.service.history.store import (
    GAP,
    MINUTE,
    Batch,
    Earlier,
    Event,
    HistoryStore,
    Presence,
    Shape,
)
from edge_fairmot.system import FileLock
from edge_fairmot.types import Counts, FrameResult

MAX_UNWRITTEN = 10_000
"""Maximum number of events, and of minutes of zones, in memory while the disk accepts none."""

RETRY = 1_000_000
"""Microseconds until a write that failed is tried again."""


class HistorySink:
    """Writes the events of a camera at once, its occupancy once a minute. A disk that fails stops nothing.

    Parameters
    ----------
    store : HistoryStore
    camera : str
        Name under which the camera's counts are kept and continued.

    Raises
    ------
    SinkError
        If the file cannot be used, or another run counts under this name.
    """

    def __init__(self, store: HistoryStore, camera: str) -> None:
        self._store, self._name = store, camera
        self._lock = FileLock(
            store.path.with_name(f".{store.path.stem}-{slug(camera)[-100:]}.lock"),
            f"the history of camera {camera!r}",
            "it is kept by that run alone",
        )
        self._camera = store.camera(camera)
        self._shapes: tuple[Shape, ...] = ()
        self._batch = Batch()
        self._inside: dict[tuple[tuple[str, str], str], int] = {}
        self._last = self._retry = 0
        self._missed, self._trouble = 0, ""

    def begin(self, counting: CountingConfig) -> Earlier:
        """Return the totals of earlier runs for the lines and zones that this one begins with."""
        self._shapes = (
            *(Shape("line", one.key, one.name, (one.start, one.end)) for one in counting.lines),
            *(Shape("zone", one.key, one.name) for one in counting.zones),
        )
        now = _now()
        try:
            return self._store.begin(self._camera, self._shapes, now)
        except sqlite3.Error as error:  # a full disk: written later
            self._trouble = f"{self._store.path} cannot be written ({error})"
            self._batch.shapes, self._batch.shapes_at = self._shapes, now
        with suppress(sqlite3.Error):
            return self._store.earlier(self._camera)
        return {}

    @property
    def health(self) -> Mapping[str, OutputHealth]:
        """``history``: why nothing is written, empty where there is no reason, and lost events."""
        return {"history": {"trouble": self._trouble, "missed_events": self._missed}}

    def write(self, result: FrameResult) -> None:
        """Take one result; the operating system has its events when this returns, if the disk takes them."""
        if result.counts is None:
            return
        # The source's clock is the machine's monotonic one; the wall clock may have been set since.
        offset = _now() - time.monotonic_ns() // 1000
        now = offset + round(result.frame.time_s * 1e6)
        is_new_minute = self._watch(now)
        shapes = tuple(_shapes(result.counts))
        if shapes != self._shapes:
            waiting = {(one.kind, one.key): one for one in (*self._batch.shapes, *shapes)}
            self._batch.shapes, self._batch.shapes_at = tuple(waiting.values()), now
            self._shapes = shapes
        for event in result.events:
            self._batch.events.append(
                Event(
                    offset + round(event.time_s * 1e6),
                    ("line" if event.kind in ("in", "out") else "zone", event.shape_id or event.name),
                    class_name(event.class_id, result.class_names),
                    int(event.kind in ("out", "leave")),
                    event.track_id,
                    None if event.dwell_s is None else round(event.dwell_s * 1000),
                )
            )
        self._inside = dict(_inside(result))
        if (result.events or self._batch.shapes or is_new_minute) and not 0 <= now - self._retry < RETRY:
            self._flush(now)

    def _watch(self, now: int) -> bool:
        """Add who was inside since the last frame; return whether a minute has begun since then."""
        last, self._last, batch = self._last, now, self._batch
        if not 0 <= now - last < GAP:
            return False
        minute, elapsed_ms = last // MINUTE, (now - last) / 1000
        for (shape, name), count in self._inside.items():
            if count:
                presence = batch.presence.setdefault((minute, shape, name), Presence())
                presence.present_ms += count * elapsed_ms
                presence.most = max(presence.most, count)
        batch.watched = (batch.watched or (last, now))[0], now
        return now // MINUTE != minute

    def _flush(self, now: int) -> None:
        batch = self._batch
        try:
            self._store.write(self._camera, batch)
        except sqlite3.Error as error:
            self._trouble, self._retry = f"{self._store.path} cannot be written ({error})", now
            surplus = max(0, len(batch.events) - MAX_UNWRITTEN)
            del batch.events[:surplus]
            self._missed += surplus
            for key in list(batch.presence)[: max(0, len(batch.presence) - MAX_UNWRITTEN)]:
                del batch.presence[key]
        else:
            self._trouble, self._batch = "", Batch()

    def add_clip(self, path: Path, begun_s: float, ended_s: float) -> None:
        """Note a finished clip, with the times of its first and last frame by the source's clock."""
        offset = _now() - time.monotonic_ns() // 1000
        self._store.add_clip(self._camera, path, offset + round(begun_s * 1e6), offset + round(ended_s * 1e6))

    def close(self) -> None:
        """Write the rest. May be called twice; the store stays open."""
        if self._batch != Batch():
            self._flush(self._last)
        self._lock.close()


def _now() -> int:
    return time.time_ns() // 1000


def _shapes(counts: Counts) -> Iterator[Shape]:
    for line in counts.lines.values():
        yield Shape("line", line.id or line.name, line.name, (line.start, line.end))
    for zone in counts.zones.values():
        yield Shape("zone", zone.id or zone.name, zone.name)


def _inside(result: FrameResult) -> Iterator[tuple[tuple[tuple[str, str], str], int]]:
    """Yield how many of each class are inside each zone."""
    for zone in (result.counts or Counts()).zones.values():
        shape = "zone", zone.id or zone.name
        if zone.by_class:
            yield from (((shape, name), one.occupancy) for name, one in zone.by_class.items())
        else:
            yield (shape, class_name(0, result.class_names)), zone.occupancy
