"""What is answered at which address."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.resources import files
from threading import Thread
from types import MappingProxyType
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
from edge_fairmot.service.web.config import WebConfig
from edge_fairmot.service.web.counting_file import CountingFile
from edge_fairmot.service.web.drawing import Drawing, read_document
from edge_fairmot.service.web.feed import Feed
from edge_fairmot.service.web.metrics import metrics_writer
from edge_fairmot.service.web.run import WatchedRun
from edge_fairmot.service.web.scene import Scene, describe_scene, encode_picture
from edge_fairmot.service.web.status import StatusBoard
from edge_fairmot.service.web.viewers import Viewers
from edge_fairmot.sinks.drawing import Annotator

LARGEST_BODY, BODY_TIME_S = 65_536, 10.0

STATUS_INTERVAL_S = 1.0

KINDS = MappingProxyType(
    {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
)

SCRIPTS = ("page", "stream", "picture", "trails", "drawing", "editor", "shapes", "panel")

FILES = MappingProxyType(
    {"/": "index.html", "/page.css": "page.css", "/icon.svg": "icon.svg"}
    | {f"/{name}.js": f"{name}.js" for name in SCRIPTS}
)
"""All that is served of the package, by address."""

logger = logging.getLogger(__name__)


class Site:
    """The answers: files of the page, figures, the newest picture, and what is drawn.

    Parameters
    ----------
    config : WebConfig
    run : WatchedRun
    feed : Feed
    """

    def __init__(self, config: WebConfig, run: WatchedRun, feed: Feed) -> None:
        self._config = config
        self._feed = feed
        file = None if config.counting_file is None else CountingFile(config.counting_file)
        self._drawing = None if run.counter is None else Drawing(run.counter, file)
        self._board = StatusBoard(run, feed)
        self._viewers = Viewers(feed, lambda: json.dumps(self._status(), allow_nan=False))
        self._write_metrics = metrics_writer(run, feed, self._viewers)
        self._changing, self._encoding = asyncio.Lock(), asyncio.Lock()

    def application(self) -> Starlette:
        """Everything under its address."""
        routes: list[BaseRoute] = [
            Route(path, functools.partial(_file, page_file(name), KINDS[name.rpartition(".")[2]]))
            for path, name in FILES.items()
        ]
        routes += [
            Route("/healthz", self._health),
            Route("/metrics", self._metrics),
            Route("/api/status", self._read_status),
            Route("/api/tracks", self._tracks),
            Route("/api/snapshot.jpg", self._snapshot),
            Route("/api/counting", self._counting, methods=["GET", "PUT"]),
            WebSocketRoute("/ws", self._viewers.serve),
        ]
        return Starlette(
            routes=routes,
            lifespan=self._lifespan,
            exception_handlers={InvalidInputError: _explain},
        )

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncGenerator[None, None]:
        loop = asyncio.get_running_loop()

        def deliver(scene: Scene, message: bytes) -> None:
            loop.call_soon_threadsafe(self._viewers.publish, scene, message)

        encoder = Thread(target=self._feed.run, args=(deliver,), name="page pictures", daemon=True)
        encoder.start()
        ticking = asyncio.create_task(self._tick())
        try:
            yield
        finally:
            ticking.cancel()
            self._feed.close()
            await run_sync(encoder.join)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(STATUS_INTERVAL_S)
            try:
                self._board.read()  # rates are of late, also for who asks the first time
                self._viewers.announce()
            except Exception:
                logger.exception("the page's status cannot be told")

    def _status(self) -> dict[str, Any]:
        delay_s = self._viewers.delay_s(0.5)
        return {
            **self._board.read(),
            "viewers": len(self._viewers),
            "page_delay_ms": None if delay_s is None else round(1e3 * delay_s, 1),
            "counting": None if self._drawing is None else self._drawing.document(),
        }

    async def _health(self, _: Request) -> Response:
        healthy, reason = self._board.health()
        return JSONResponse({"healthy": healthy, "source": reason}, 200 if healthy else 503)

    async def _metrics(self, _: Request) -> Response:
        return Response(self._write_metrics(), media_type=CONTENT_TYPE_LATEST)

    async def _read_status(self, _: Request) -> Response:
        return JSONResponse(self._status())

    async def _tracks(self, _: Request) -> Response:
        return JSONResponse(describe_scene(self._scene()))

    async def _snapshot(self, request: Request) -> Response:
        scene, boxes = self._scene(), "boxes" in request.query_params
        async with self._encoding:  # one at a time, however many ask
            picture = await run_sync(self._encode_snapshot, scene, boxes)
        return Response(picture, media_type="image/jpeg")

    def _encode_snapshot(self, scene: Scene, boxes: bool) -> bytes:
        image = scene.frame.image
        if boxes:
            image = Annotator(trail_length=0).draw(image, scene.tracks)
        return encode_picture(image, self._config.jpeg_quality, self._config.widest)

    def _scene(self) -> Scene:
        scene = self._feed.latest
        if scene is None:
            raise HTTPException(503, "no frame has come yet")
        return scene

    async def _counting(self, request: Request) -> Response:
        drawing = self._drawing
        if drawing is None:
            raise HTTPException(404, "nothing is counted in this run")
        if request.method != "PUT":
            return JSONResponse(drawing.document())
        document = read_document(await _body(request))
        async with self._changing:
            changed = await run_sync(drawing.replace, document)
        self._viewers.announce()
        return JSONResponse(drawing.document(), 200 if changed else 409)


def page_file(name: str) -> bytes:
    """One of the files that make the page."""
    return files("edge_fairmot.service.web").joinpath("page", name).read_bytes()


async def _file(content: bytes, kind: str, _: Request) -> Response:
    return Response(content, media_type=kind, headers={"Cache-Control": "no-cache"})


async def _body(request: Request) -> bytes:
    """Read a body that is JSON by its type, not too long, and here in time."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "send it as application/json")
    body = bytearray()
    try:
        with fail_after(BODY_TIME_S):
            async for part in request.stream():
                body += part
                if len(body) > LARGEST_BODY:
                    raise HTTPException(413, f"send {LARGEST_BODY} bytes at most")
    except TimeoutError:
        raise HTTPException(408, "that took too long") from None
    return bytes(body)


async def _explain(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 422)
