"""The ASGI application of the page: the paths and their answers."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from importlib.resources import files
from threading import Thread
from typing import Any

from anyio import fail_after
from anyio.to_thread import run_sync
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.service.run import RunView
from edge_fairmot.service.web.clients import Clients
from edge_fairmot.service.web.config import WebConfig
from edge_fairmot.service.web.drawing import ShapeEditor, parse_request
from edge_fairmot.service.web.frames import LatestFrame, WebFrame, frame_document
from edge_fairmot.service.web.heat import HeatMap
from edge_fairmot.service.web.openapi import description_of
from edge_fairmot.service.web.over_time import OverTime
from edge_fairmot.service.web.pictures import Pictures, latest
from edge_fairmot.service.web.status import RunCollector, StatusBoard, metrics_writer
from edge_fairmot.sinks.text import counts_document

MAX_BODY, BODY_S = 65_536, 10.0

STATUS_S = 1.0

CONTENT_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}

SCRIPTS = (
    "page",
    "mosaic",
    "stream",
    "frame_view",
    "trails",
    "drawing",
    "editor",
    "shapes",
    "panel",
    "geometry",
    "loupe",
    "announcer",
    "elements",
    "chart",
    "over_time",
    "heat",
)

FILES = {"/": "index.html", "/page.css": "page.css", "/icon.svg": "icon.svg"} | {
    f"/{name}.js": f"{name}.js" for name in SCRIPTS
}
"""Served files of the package, by path. No other file is served."""

_log = logging.getLogger(__name__)


class Site:
    """Answers with the files of the page, figures, the newest image, and the drawn lines and zones.

    ``camera`` is the name of the camera, where a run has several. ``over_time`` answers from its history,
    ``heat`` is its heat map. ``editing`` is the lock of the drawing file, which cameras share.
    """

    def __init__(
        self,
        config: WebConfig,
        run: RunView,
        source: str,
        slot: LatestFrame,
        editor: ShapeEditor | None,
        *,
        camera: str = "",
        over_time: OverTime | None = None,
        heat: HeatMap | None = None,
        editing: asyncio.Lock | None = None,
    ) -> None:
        self._slot, self._editor, self._camera = slot, editor, camera
        self._board = StatusBoard(run, source, slot)
        self._clients = Clients(slot, lambda: json.dumps(self._status(), allow_nan=False))
        self.collector = RunCollector(run, slot, self._clients)
        self._write_metrics = metrics_writer(self.collector)
        self._pictures, self._over_time, self._heat = Pictures(config, slot), over_time, heat
        self._editing = editing or asyncio.Lock()

    def application(self) -> Starlette:
        """Return the application."""
        routes: list[BaseRoute] = [
            *file_routes(FILES),
            Route("/healthz", self._health),
            Route("/metrics", self._metrics),
            Route("/api/status", self._read_status),
            Route("/api/tracks", self._tracks),
            Route("/api/snapshot.jpg", self._pictures.snapshot),
            Route("/stream.mjpg", self._pictures.stream),
            Route("/api/openapi.json", description_of("camera")),
            Route("/api/counting", self._counting, methods=["GET", "PUT"]),
            WebSocketRoute("/ws", self._clients.serve),
            Route("/api/heat", self._read_heat),
            *(self._over_time.routes() if self._over_time is not None else ()),
        ]
        handlers = {InvalidInputError: _invalid_input}
        return Starlette(routes=routes, lifespan=self.lifespan, exception_handlers=handlers)

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncGenerator[None, None]:
        """Encode images and send the status while the server runs."""
        loop = asyncio.get_running_loop()

        def deliver(frame: WebFrame, message: bytes) -> None:
            loop.call_soon_threadsafe(self._clients.publish, frame, message)

        encoder = Thread(target=self._slot.run, args=(deliver,), name="edge-fairmot page images", daemon=True)
        encoder.start()
        ticking = asyncio.create_task(self._tick())
        try:
            yield
        finally:
            ticking.cancel()
            self._pictures.close()
            self._slot.close()
            await run_sync(encoder.join)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(STATUS_S)
            try:
                self._board.read()  # keeps the rates recent, also for the first request
                self._clients.broadcast_status()
            except Exception:
                _log.exception("the status of the page cannot be read")

    def _status(self) -> dict[str, Any]:
        delay_s = self._clients.delay_s(0.5)
        return {
            **({"camera": self._camera} if self._camera else {}),
            **self._board.read(),
            "viewers": len(self._clients),
            "page_delay_ms": None if delay_s is None else round(1e3 * delay_s, 1),
            "counting": None if self._editor is None else self._editor.document(),
            "history": self._over_time is not None,
            "heat_map": self._heat is not None,
        }

    def overview(self) -> dict[str, Any]:
        """Return figures, counts, and the people in view, None while the camera does not run."""
        frame, status = self._slot.frame, self._board.read()
        running = status["source"]["status"] == "running" and frame is not None
        counts = None if frame is None else frame.result.counts
        people = len(frame.result.tracks) if running and frame is not None else None
        return {
            **{"camera": self._camera, "people": people, "history": self._over_time is not None},
            **status,
            **counts_document(counts),
        }

    def health(self) -> tuple[bool, str]:
        """Return whether frames are processed, and the status of the source or ``stalled``."""
        return self._board.health()

    async def _health(self, _: Request) -> Response:
        healthy, reason = self.health()
        return JSONResponse({"healthy": healthy, "source": reason}, 200 if healthy else 503)

    async def _metrics(self, _: Request) -> Response:
        return Response(self._write_metrics(), media_type=CONTENT_TYPE_LATEST)

    async def _read_status(self, _: Request) -> Response:
        return JSONResponse(self._status())

    async def _tracks(self, _: Request) -> Response:
        return JSONResponse(frame_document(latest(self._slot)))

    async def _read_heat(self, _: Request) -> Response:
        if self._heat is None:
            raise HTTPException(404, "no heat map is kept: start the run with --set web.heat_map=true")
        return JSONResponse(self._heat.document())

    async def _counting(self, request: Request) -> Response:
        editor = self._editor
        if editor is None:
            raise HTTPException(404, "nothing is counted in this run")
        if request.method != "PUT":
            return JSONResponse(editor.document())
        document = parse_request(await _body(request))
        async with self._editing:
            changed = await run_sync(editor.replace, document)
        self._clients.broadcast_status()
        return JSONResponse(editor.document(), 200 if changed else 409)


def file_routes(files_by_path: Mapping[str, str]) -> Iterator[BaseRoute]:
    """Yield the routes of files of the package."""
    for path, name in files_by_path.items():
        media_type = CONTENT_TYPES[name.rpartition(".")[2]]
        yield Route(path, functools.partial(_file, page_file(name), media_type))


def page_file(name: str) -> bytes:
    """Return one of the files of the page."""
    return files("edge_fairmot.service.web").joinpath("page", name).read_bytes()


async def _file(content: bytes, media_type: str, _: Request) -> Response:
    return Response(content, media_type=media_type, headers={"Cache-Control": "no-cache"})


async def _body(request: Request) -> bytes:
    """Read a body of type JSON, limited in size and time."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "send it as application/json")
    body = bytearray()
    try:
        with fail_after(BODY_S):
            async for part in request.stream():
                body += part
                if len(body) > MAX_BODY:
                    raise HTTPException(413, f"send {MAX_BODY} bytes at most")
    except TimeoutError:
        raise HTTPException(408, f"the body did not arrive within {BODY_S:g} s") from None
    return bytes(body)


async def _invalid_input(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 422)
