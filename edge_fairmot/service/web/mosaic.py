"""The pages of several cameras: a mosaic of all, and the page of each at ``/camera/NAME/``."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route

import edge_fairmot
from edge_fairmot.service import slug
from edge_fairmot.service.web.openapi import description_of
from edge_fairmot.service.web.site import FILES, Site, file_routes
from edge_fairmot.service.web.status import CamerasCollector, metrics_writer

SUMMED = ("identities", "frames", "predicted", "dropped")


class Mosaic:
    """Answers for all cameras, by name: totals, metrics, and below each camera's address its own site."""

    def __init__(self, sites: Mapping[str, Site]) -> None:
        self._sites = {f"camera/{slug(name)}/": site for name, site in sites.items()}
        self._write_metrics = metrics_writer(
            CamerasCollector({name: site.collector for name, site in sites.items()})
        )

    def application(self) -> Starlette:
        """Return the application."""
        routes: list[BaseRoute] = [
            *file_routes(FILES | {"/": "mosaic.html"}),
            Route("/healthz", self._health),
            Route("/metrics", self._metrics),
            Route("/api/status", self._status),
            Route("/api/openapi.json", description_of("mosaic")),
            *(Mount(f"/{path.rstrip('/')}", site.application()) for path, site in self._sites.items()),
        ]
        return Starlette(routes=routes, lifespan=self._lifespan)

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncGenerator[None, None]:
        async with AsyncExitStack() as stack:
            for site in self._sites.values():  # Starlette runs no lifespan of what is mounted
                await stack.enter_async_context(site.lifespan(app))
            yield

    async def _health(self, _: Request) -> Response:
        """Answer 200 while any camera is processed: one that is away must not restart the others."""
        healthy = sum(site.health()[0] for site in self._sites.values())
        document = {"healthy": healthy > 0, "running": healthy, "cameras": len(self._sites)}
        return JSONResponse(document, 200 if healthy else 503)

    async def _metrics(self, _: Request) -> Response:
        return Response(self._write_metrics(), media_type=CONTENT_TYPE_LATEST)

    async def _status(self, _: Request) -> Response:
        cameras = [{"path": path, **site.overview()} for path, site in self._sites.items()]
        document = {"version": edge_fairmot.__version__, "totals": totals_document(cameras)}
        return JSONResponse(document | {"cameras": cameras})


def totals_document(cameras: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the sums over the figures of all cameras."""
    lines = [line for camera in cameras for line in camera["lines"].values()]
    zones = [zone for camera in cameras for zone in camera["zones"].values()]
    return {
        "cameras": len(cameras),
        "running": sum(camera["source"]["status"] == "running" for camera in cameras),
        "people": sum(camera["people"] or 0 for camera in cameras),
        "frame_rate": round(sum(camera["frame_rate"] for camera in cameras), 2),
        **{name: sum(camera[name] for camera in cameras) for name in SUMMED},
        "in": sum(line["in"] for line in lines),
        "out": sum(line["out"] for line in lines),
        "occupancy": sum(zone["occupancy"] for zone in zones),
    }
