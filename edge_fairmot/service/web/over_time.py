"""What a camera counted over time: totals, counts by hour and day, events and their clips."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, TypeVar

from anyio.to_thread import run_sync
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.service.history import By, CountRow, EventRow, History
from edge_fairmot.types import Totals

LONGEST_DAYS: dict[By, int] = {"minute": 2, "hour": 92, "day": 3660}
"""Counts of a longer time are refused: an answer is made in memory."""

MAX_EVENTS, USUAL_EVENTS = 1000, 50
"""Events of one answer. A CSV file has all, read so many at a time."""

COUNTS_HEAD = (
    *("start", "end", "camera", "kind", "name", "class", "in", "out", "entries", "stays"),
    *("mean_dwell_s", "mean_occupancy", "max_occupancy"),
)
EVENTS_HEAD = ("time", "camera", "kind", "name", "event", "class", "track_id", "dwell_s")

Answer = TypeVar("Answer")


class OverTime:
    """Answers from the history of one camera. One request reads it at a time."""

    def __init__(self, history: History, camera: str) -> None:
        self._history, self._camera = history, camera
        self._reading = asyncio.Lock()

    def routes(self) -> list[BaseRoute]:
        """Return the routes of a site."""
        return [
            Route("/api/history/totals", self._totals),
            Route("/api/history/counts", self._counts),
            Route("/api/history/counts.csv", self._counts_csv),
            Route("/api/history/events", self._events),
            Route("/api/history/events.csv", self._events_csv),
            Route("/api/history/clips/{event:int}.mp4", self._clip),
        ]

    async def _read(self, read: Callable[..., Answer], *arguments: object) -> Answer:
        async with self._reading:
            return await run_sync(read, *arguments)

    async def _totals(self, _: Request) -> Response:
        now = datetime.now().astimezone()
        shapes = await self._read(self._history.totals, now, self._camera)
        return JSONResponse(
            {
                "now": now.isoformat(timespec="seconds"),
                "totals": [
                    {
                        **{"kind": one.kind, "id": one.id, "name": one.name},
                        "since": one.since.isoformat(timespec="seconds"),
                        "all": _numbers(one.kind, one.all),
                        "today": _numbers(one.kind, one.today),
                        "yesterday": _numbers(one.kind, one.yesterday),
                    }
                    for one in shapes
                ],
            }
        )

    async def _counts(self, request: Request) -> Response:
        by, start, end = _span(request)
        rows = await self._read(lambda: list(map(_count, self._history.counts(start, end, by, self._camera))))
        named = {"from": start.isoformat(), "to": end.isoformat(), "by": by}
        return JSONResponse({**named, "rows": rows})

    async def _counts_csv(self, request: Request) -> Response:
        by, start, end = _span(request)

        def write() -> str:
            rows = map(_count, self._history.counts(start, end, by, self._camera))
            return _csv([COUNTS_HEAD, *([row.get(key, "") for key in COUNTS_HEAD] for row in rows)])

        return _download(await self._read(write), f"counts-by-{by}-{start:%Y-%m-%d}.csv")

    async def _events(self, request: Request) -> Response:
        start, end = _times(request, since=_EVER)
        before, limit = _whole(request, "before"), _whole(request, "limit") or USUAL_EVENTS
        limit = min(limit, MAX_EVENTS)
        rows = await self._read(self._history.events, start, end, self._camera, before, limit)
        return JSONResponse(
            {"events": list(map(_event, rows)), "before": rows[-1].id if len(rows) == limit else None}
        )

    async def _events_csv(self, request: Request) -> Response:
        start, end = _times(request, since=_EVER)

        async def parts() -> AsyncGenerator[str, None]:
            yield _csv([EVENTS_HEAD])
            before = None
            while True:
                rows = await self._read(self._history.events, start, end, self._camera, before, MAX_EVENTS)
                documents = map(_event, rows)
                yield _csv([[one.get(key, "") for key in EVENTS_HEAD] for one in documents])
                if len(rows) < MAX_EVENTS:
                    return
                before = rows[-1].id

        return _download(parts(), "events.csv")

    async def _clip(self, request: Request) -> Response:
        moment = _EVER + timedelta(microseconds=min(request.path_params["event"], _LAST_EVENT))
        one_later = moment + timedelta(microseconds=1)
        rows = await self._read(self._history.events, moment, one_later, self._camera, None, 1)
        path = Path(rows[0].clip) if rows and rows[0].clip else None
        if path is None or not await run_sync(path.is_file):
            raise HTTPException(404, "there is no clip of this event, or it was deleted to make room")
        return FileResponse(path, media_type="video/mp4", content_disposition_type="inline")


_EVER = datetime(1970, 1, 1, tzinfo=timezone.utc)

_LAST_EVENT = 10**16
"""Microseconds: the year 2286."""


def _span(request: Request) -> tuple[By, datetime, datetime]:
    """Return what counts are asked for; today by hour, unless the query says something else."""
    midnight = datetime.now().replace(hour=0, minute=0, second=0, microsecond=0).astimezone()
    start, end = _times(request, since=midnight)
    by = request.query_params.get("by", "hour")
    for known, days in LONGEST_DAYS.items():
        if by == known:
            if end - start > timedelta(days=days, hours=1):  # a day with 25 hours may be in it
                raise InvalidInputError(f"counts by {by} are answered for {days} days at most: ask for fewer")
            return known, start, end
    raise InvalidInputError(f"by must be minute, hour or day, not {by!r}")


def _times(request: Request, since: datetime) -> tuple[datetime, datetime]:
    """Return ``from`` and ``to`` of the query; since then and up to now where they are not given."""
    query = request.query_params
    start = _time("from", query["from"]) if "from" in query else since
    end = _time("to", query["to"]) if "to" in query else datetime.now().astimezone() + timedelta(minutes=1)
    return start, end


def _time(key: str, text: str) -> datetime:
    """Return a time, aware. A date is its midnight, and a time without a zone is of this machine's."""
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00").replace(" ", "+"))
        return found if found.tzinfo is not None else found.astimezone()
    except (ValueError, OverflowError, OSError):
        raise InvalidInputError(
            f"{key} must be a date or a time such as 2026-11-30 or 2026-11-30T09:00:00Z, not {text!r}"
        ) from None


def _whole(request: Request, key: str) -> int | None:
    text = request.query_params.get(key)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and 0 < int(text[:18]) <= _LAST_EVENT):
        raise InvalidInputError(f"{key} must be a whole number above 0, not {text!r}")
    return int(text[:18])


def _numbers(kind: str, totals: Totals) -> dict[str, Any]:
    if kind == "line":
        return {"in": totals.inwards, "out": totals.outwards}
    mean_s = round(totals.dwell_s / totals.stays, 1) if totals.stays else None
    return {"entries": totals.entries, "stays": totals.stays, "mean_dwell_s": mean_s}


def _count(row: CountRow) -> dict[str, Any]:
    occupancy = {"mean_occupancy": round(row.mean_occupancy or 0.0, 2), "max_occupancy": row.max_occupancy}
    return {
        **{"start": row.start.isoformat(), "end": row.end.isoformat(), "camera": row.camera},
        **{"kind": row.kind, "id": row.id, "name": row.name, "class": row.class_name},
        **_numbers(row.kind, row.totals),
        **(occupancy if row.kind == "zone" else {}),
    }


def _event(row: EventRow) -> dict[str, Any]:
    return {
        **{"id": row.id, "time": row.time.isoformat(timespec="milliseconds"), "camera": row.camera},
        **{"kind": row.kind, "shape": row.shape_id, "name": row.name, "event": row.event},
        **{"class": row.class_name, "track_id": row.track_id, "dwell_s": row.dwell_s},
        "clip": None if row.clip is None else f"api/history/clips/{row.id}.mp4",
    }


def _csv(rows: Iterable[Sequence[Any]]) -> str:
    """Write rows as RFC 4180 has them; a text that looks like a formula gets an apostrophe."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    for row in rows:
        writer.writerow(
            [f"'{cell}" if isinstance(cell, str) and cell[:1] in tuple("=+-@\t\r") else cell for cell in row]
        )
    return text.getvalue()


def _download(content: str | AsyncGenerator[str, None], name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    if isinstance(content, str):
        return Response(content, media_type="text/csv", headers=headers)
    return StreamingResponse(content, media_type="text/csv", headers=headers)
