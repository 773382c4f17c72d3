"""The OpenAPI 3.1 description of what the page answers, served beside it at ``api/openapi.json``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

import edge_fairmot

Document = dict[str, Any]

INTEGER, NUMBER, TEXT, FLAG = ({"type": kind} for kind in ("integer", "number", "string", "boolean"))
MAYBE_NUMBER: Document = {"type": ["number", "null"]}
BINARY: Document = {}


def description_of(kind: str) -> Callable[[Request], Awaitable[Response]]:
    """Return what answers with :func:`describe`, with the address that its paths begin with."""
    document = describe(kind)

    async def answer(request: Request) -> Response:
        return JSONResponse({**document, "servers": [{"url": request.scope.get("root_path", "") or "/"}]})

    return answer


def describe(kind: str) -> Document:
    """Return the description of a ``camera``, or of the ``mosaic`` of several."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "edge-fairmot",
            "version": edge_fairmot.__version__,
            "description": (
                "Tracks, counts and pictures of a run. Several cameras: each has an address of its "
                "own, `camera/NAME/`, with a description of its own at `api/openapi.json` below it."
            ),
        },
        "security": [{"bearer": []}, {"basic": []}, {"cookie": []}],
        "paths": _camera_paths() if kind == "camera" else _mosaic_paths(),
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "Any user; the token is the password.",
                },
                "cookie": {"type": "apiKey", "in": "cookie", "name": "edge_fairmot_PORT"},
            },
            "schemas": _schemas(),
        },
    }


def _camera_paths() -> Document:
    boxes = {
        "name": "boxes",
        "in": "query",
        "description": "Present: with boxes and ids.",
        "schema": TEXT,
        "allowEmptyValue": True,
    }
    none_yet = {"503": _answer("No frame has come yet, or too many watch.", "text/plain")}
    drawing = _ref("Drawing")
    return {
        **_shared_paths(),
        "/healthz": _get(
            "Whether frames are processed.",
            {"200": _json("They are.", _ref("Health")), "503": _json("They are not.", _ref("Health"))},
            security=[],
        ),
        "/api/status": _get("The figures of the page.", {"200": _json("Figures.", _ref("Status"))}),
        "/api/tracks": _get(
            "Tracks and counts of the newest frame.", {"200": _json("A frame.", _ref("Frame")), **none_yet}
        ),
        "/api/snapshot.jpg": _get(
            "The newest image.", {"200": _answer("A JPEG.", "image/jpeg"), **none_yet}, parameters=[boxes]
        ),
        "/stream.mjpg": _get(
            "The newest images without end.",
            {"200": _answer("Motion JPEG.", "multipart/x-mixed-replace"), **none_yet},
            parameters=[boxes],
        ),
        "/api/counting": {
            **_get(
                "The lines and zones.",
                {"200": _json("All of them.", drawing), "404": _answer("Nothing is counted.", "text/plain")},
            ),
            "put": {
                "summary": "Replace the lines and zones of the revision that was read.",
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": _ref("NewDrawing")}},
                },
                "responses": {
                    "200": _json("They count from the next frame on.", drawing),
                    "409": _json("Another client was faster: these are the newest.", drawing),
                    "422": _json("They are no lines and zones.", _ref("Error")),
                    "415": _answer("The body is not application/json.", "text/plain"),
                },
            },
        },
        **_history_paths(),
        "/api/heat": _get(
            "Where people stand: person-seconds by cell, rows from the top; the warmest is 255.",
            {
                "200": _json("A grid.", _ref("Heat")),
                "404": _answer("It is off: `[web] heat_map`.", "text/plain"),
            },
        ),
        "/ws": _get("A WebSocket of frames and status, for the page.", {"101": {"description": "Opened."}}),
    }


def _history_paths() -> Document:
    """Return the paths of a camera whose counts are kept; without a history they are not there."""
    span = [
        _parameter("from", "A date, which is its midnight on the device, or a time, RFC 3339.", TEXT),
        _parameter("to", "The same: up to it, without it.", TEXT),
    ]
    by = _parameter("by", "The length of a row.", {"enum": ["minute", "hour", "day"]})
    page = [
        _parameter("before", "Only events before the one with this id.", INTEGER),
        _parameter("limit", "Most events of the answer, up to 1000.", INTEGER),
    ]
    refused = {"422": _json("A parameter is wrong.", _ref("Error"))}
    clip = {"name": "event", "in": "path", "required": True, "schema": INTEGER}
    return {
        "/api/history/totals": _get(
            "Totals since the first count, today and yesterday.",
            {"200": _json("Lines and zones.", _ref("Totals")), **refused},
        ),
        "/api/history/counts": _get(
            "Counts by minute, hour or day; those of today by hour.",
            {"200": _json("Rows in order of time.", _ref("Counts")), **refused},
            parameters=[*span, by],
        ),
        "/api/history/counts.csv": _get(
            "The same as CSV, RFC 4180.",
            {"200": _answer("Rows.", "text/csv"), **refused},
            parameters=[*span, by],
        ),
        "/api/history/events": _get(
            "Events, the newest first; `before` of an answer asks for the next page.",
            {"200": _json("A page.", _ref("Events")), **refused},
            parameters=[*span, *page],
        ),
        "/api/history/events.csv": _get(
            "All events as CSV, RFC 4180.",
            {"200": _answer("Rows.", "text/csv"), **refused},
            parameters=span,
        ),
        "/api/history/clips/{event}.mp4": _get(
            "The clip that shows an event.",
            {"200": _answer("A video.", "video/mp4"), "404": _answer("There is none.", "text/plain")},
            parameters=[clip],
        ),
    }


def _mosaic_paths() -> Document:
    return {
        **_shared_paths(),
        "/healthz": _get(
            "Whether any camera is processed.",
            {
                "200": _json("One is.", _ref("CamerasHealth")),
                "503": _json("None is.", _ref("CamerasHealth")),
            },
            security=[],
        ),
        "/api/status": _get("Totals and cameras.", {"200": _json("Figures.", _ref("Cameras"))}),
    }


def _shared_paths() -> Document:
    return {
        "/": _get("The page.", {"200": _answer("A page.", "text/html")}),
        "/metrics": _get("Metrics for Prometheus.", {"200": _answer("Metrics.", "text/plain")}),
        "/api/openapi.json": _get("This description.", {"200": _json("OpenAPI 3.1.", {"type": "object"})}),
    }


def _schemas() -> Document:
    point = {"type": "array", "prefixItems": [NUMBER, NUMBER], "minItems": 2, "maxItems": 2}
    known = {"name": TEXT, "id": TEXT, "classes": _list(TEXT)}
    line = _object({**known, "start": point, "end": point}, "name", "start", "end")
    zone = _object({**known, "polygon": _list(point)}, "name", "polygon")
    shapes = {"line": _list(line), "zone": _list(zone), "ignore": _list(zone)}
    of_line = {"in": INTEGER, "out": INTEGER}
    of_zone = {
        **{"occupancy": INTEGER, "unseen": INTEGER, "entries": INTEGER, "stays": INTEGER},
        **{"mean_dwell_s": NUMBER, "longest_dwell_s": NUMBER},
    }
    counts = {
        "lines": {"type": "object", "additionalProperties": _object(of_line)},
        "zones": {"type": "object", "additionalProperties": _object(of_zone)},
    }
    track = {
        **{"id": INTEGER, "xyxy": _list(NUMBER, 4), "score": NUMBER, "class_id": INTEGER},
        "predicted": FLAG,
    }
    source = _object({"name": TEXT, "status": TEXT, "for_s": NUMBER, "reconnects": INTEGER, "message": TEXT})
    status = {
        **{"version": TEXT, "source": source, "frame_rate": NUMBER, "too_slow": TEXT},
        "stage_ms": {"type": "object", "additionalProperties": NUMBER},
        **dict.fromkeys(("frames", "predicted", "dropped", "identities"), INTEGER),
        **{"running_s": NUMBER, "outputs": {"type": "object"}, "temperature_c": MAYBE_NUMBER},
    }
    frame = {
        **{"number": INTEGER, "frame": INTEGER, "time_s": MAYBE_NUMBER, "size": _list(INTEGER, 2)},
        "tracks": _list(_object(track)),
        **counts,
    }
    camera = {
        **{"path": TEXT, "camera": TEXT, "people": {"type": ["integer", "null"]}, "history": FLAG},
        **status,
        **counts,
    }
    totals = {
        **dict.fromkeys(("cameras", "running", "people", "in", "out", "occupancy"), INTEGER),
        **dict.fromkeys(("identities", "frames", "predicted", "dropped"), INTEGER),
        "frame_rate": NUMBER,
    }
    drawing = {"revision": INTEGER, "saved_to": TEXT, "not_saved": {"type": ["string", "null"]}, **shapes}
    return {
        "Error": _object({"error": TEXT}),
        "Health": _object({"healthy": FLAG, "source": TEXT}),
        "CamerasHealth": _object({"healthy": FLAG, "running": INTEGER, "cameras": INTEGER}),
        "Status": _object(
            {
                **status,
                **{"viewers": INTEGER, "page_delay_ms": MAYBE_NUMBER},
                **{"history": FLAG, "heat_map": FLAG},
                "counting": {"anyOf": [_ref("Drawing"), {"type": "null"}]},
            }
        ),
        "Frame": _object(frame),
        "Cameras": _object(
            {"version": TEXT, "totals": _object(totals), "cameras": _list(_object(camera))},
        ),
        "Drawing": _object(drawing),
        "NewDrawing": _object({"revision": INTEGER, **shapes}, "revision", "line", "zone"),
        "Heat": _object(
            {
                **{"columns": INTEGER, "rows": INTEGER, "half_life_s": NUMBER},
                **{"warmest_person_s": NUMBER, "cells": _list(INTEGER)},
            }
        ),
        **_history_schemas(),
    }


def _history_schemas() -> Document:
    time = {"type": "string", "format": "date-time"}
    shape = {"kind": {"enum": ["line", "zone"]}, "name": TEXT}
    numbers = {
        **dict.fromkeys(("in", "out", "entries", "stays", "max_occupancy"), INTEGER),
        **{"mean_dwell_s": MAYBE_NUMBER, "mean_occupancy": NUMBER},
    }
    spans = {key: {"type": "object", "properties": numbers} for key in ("all", "today", "yesterday")}
    row = {"start": time, "end": time, "camera": TEXT, **shape, "id": TEXT, "class": TEXT}
    event = {
        **{"id": INTEGER, "time": time, "camera": TEXT, **shape, "shape": TEXT},
        "event": {"enum": ["in", "out", "enter", "leave"]},
        **{"class": TEXT, "track_id": INTEGER, "dwell_s": MAYBE_NUMBER, "clip": {"type": ["string", "null"]}},
    }
    totals = _object({**shape, "id": TEXT, "since": time, **spans})
    rows = _list(_object({**row, **numbers}, *row))
    return {
        "Totals": _object({"now": time, "totals": _list(totals)}),
        "Counts": _object({"from": time, "to": time, "by": TEXT, "rows": rows}),
        "Events": _object({"events": _list(_object(event)), "before": {"type": ["integer", "null"]}}),
    }


def _parameter(name: str, description: str, schema: Document) -> Document:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _get(summary: str, responses: Document, **more: Any) -> Document:
    return {"get": {"summary": summary, "responses": responses, **more}}


def _answer(description: str, media_type: str, schema: Document | None = None) -> Document:
    return {"description": description, "content": {media_type: {"schema": schema or BINARY}}}


def _json(description: str, schema: Document) -> Document:
    return _answer(description, "application/json", schema)


def _ref(name: str) -> Document:
    return {"$ref": f"#/components/schemas/{name}"}


def _list(items: Document, length: int | None = None) -> Document:
    exact = {} if length is None else {"minItems": length, "maxItems": length}
    return {"type": "array", "items": items, **exact}


def _object(properties: Document, *required: str) -> Document:
    """Return the schema of an object; all properties are required unless some are named."""
    return {"type": "object", "properties": properties, "required": list(required or properties)}
