"""The sinks that show a run on its page: one camera, or several on one server."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from edge_fairmot.counting import Counter, IgnoredZones
from edge_fairmot.errors import MissingDependencyError
from edge_fairmot.pipeline import RunSummary
from edge_fairmot.protocols import OutputHealth, SourceState
from edge_fairmot.service.history import History
from edge_fairmot.service.run import RunView
from edge_fairmot.service.web.config import WebConfig
from edge_fairmot.service.web.drawing import ShapeEditor
from edge_fairmot.service.web.frames import LatestFrame, WebFrame, frame_message
from edge_fairmot.service.web.heat import HeatMap
from edge_fairmot.types import FrameResult

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from edge_fairmot.service.web.over_time import OverTime
    from edge_fairmot.service.web.server import PageServer

_log = logging.getLogger(__name__)


class WebServer(AbstractContextManager["WebServer"]):
    """The server of the pages, with its address and its token.

    Attributes
    ----------
    address : str
        URL of the page.
    login_address : str or None
        URL that opens the page in a browser. It holds the token: do not log it. None with open access.
    """

    address: str
    login_address: str | None

    def __init__(self, config: WebConfig, make_application: Callable[[], ASGIApp]) -> None:
        try:
            import uvicorn.protocols.websockets.websockets_sansio_impl  # noqa: F401, PLC0415

            from edge_fairmot.service.web.auth import Auth, read_token  # noqa: PLC0415
            from edge_fairmot.service.web.server import PageServer, listen, reachable_host  # noqa: PLC0415
            from edge_fairmot.service.web.site import page_file  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise MissingDependencyError(str(error.name).split(".")[0], "web", "to serve the page") from error
        self._started = self._closed = False
        token_path = config.token_path
        token = None if token_path is None else read_token(token_path)
        application = make_application()
        listener = listen(config.host, config.port)
        port: int = listener.getsockname()[1]
        auth = Auth(application, token, page_file("login.html"), f"edge_fairmot_{port}")
        self._server: PageServer = PageServer(auth, listener)
        self.address = f"http://{reachable_host(config.host)}:{port}/"
        self.login_address = None if token is None else f"{self.address}?token={token}"
        if token is None:
            _log.warning("the page needs no token: everyone who can reach %s sees the camera", self.address)

    def start(self) -> None:
        """Begin to answer, before the first frame comes. May be called twice."""
        if not self._started:
            self._started = True
            self._server.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the page and its port. May be called twice."""
        if not self._closed:
            self._closed = True
            self._server.close()


class Feed:
    """The newest frame of a camera for its page; a sink. The server outlives it."""

    def __init__(self, config: WebConfig) -> None:
        encode = functools.partial(frame_message, quality=config.quality, max_width=config.max_width)
        self.slot = LatestFrame(encode)
        self.heat = HeatMap() if config.heat_map else None
        self._number = 0

    def write(self, result: FrameResult) -> None:
        """Take the next result; its image must not change afterwards."""
        self._number += 1
        if self.heat is not None:
            self.heat.add(result)
        self.slot.put(WebFrame(self._number, result, time.monotonic()))

    def close(self) -> None:
        """Do nothing: the page goes on to show the last frame."""


class CameraHistory(NamedTuple):
    """A history, and the name under which a camera is in it."""

    history: History
    camera: str


def _over_time(history: CameraHistory | None) -> OverTime | None:
    from edge_fairmot.service.web.over_time import OverTime  # noqa: PLC0415

    return None if history is None else OverTime(*history)


class WebSink(WebServer):
    """Shows frames, tracks and counts on a page, and lets lines and zones be drawn there.

    The port is taken when the sink is made. The page answers from :meth:`start` on, at the latest from the
    first frame on. :meth:`write` stores the frame and returns.

    Parameters
    ----------
    config : WebConfig
    summary : callable
        Returns the RunSummary, from any thread: ``pipeline.summary``.
    state : callable
        Returns the SourceState, from any thread.
    counter : Counter, optional
        Its lines and zones can be drawn on the page; without it nothing can. Those that an earlier run saved
        for this source are used again.
    source : str, optional
        Name of the source; shown without credentials.
    outputs : callable, optional
        Returns the health of all outputs, from any thread.
    ignored : IgnoredZones, optional
        The pipeline's; they can be drawn too where there is a counter.
    history : CameraHistory, optional
        What was counted over time is shown from it.

    Attributes
    ----------
    address : str
        URL of the page.
    login_address : str or None
        URL that opens the page in a browser. It holds the token: do not log it. None with open access.

    Raises
    ------
    MissingDependencyError
        If a package of the extra ``web`` is not installed.
    InvalidInputError
        If the drawing file cannot be read.
    SinkError
        If the port or the token file cannot be used.

    Examples
    --------
    >>> from edge_fairmot.service.web import WebConfig, WebSink
    >>> pipeline = Pipeline(source, detector, tracker, counter=counter)  # doctest: +SKIP
    >>> with WebSink(WebConfig(), pipeline.summary, source.state, counter) as web:  # doctest: +SKIP
    ...     print(web.login_address)
    ...     pipeline.run([web])
    """

    def __init__(
        self,
        config: WebConfig,
        summary: Callable[[], RunSummary],
        state: Callable[[], SourceState],
        counter: Counter | None = None,
        *,
        source: str = "",
        outputs: Callable[[], Mapping[str, OutputHealth]] = dict,
        ignored: IgnoredZones | None = None,
        history: CameraHistory | None = None,
    ) -> None:
        self._feed = Feed(config)

        def make_application() -> ASGIApp:
            from edge_fairmot.service.web.site import Site  # noqa: PLC0415

            editor = None if counter is None else ShapeEditor(counter, config, source, ignored)
            run = RunView(summary, state, outputs)
            site = Site(
                *(config, run, source, self._feed.slot, editor),
                over_time=_over_time(history),
                heat=self._feed.heat,
            )
            return site.application()

        super().__init__(config, make_application)

    def write(self, result: FrameResult) -> None:
        """Take the next result; its image must not change afterwards."""
        self.start()
        self._feed.write(result)


@dataclass(frozen=True, slots=True)
class CameraPage:
    """One of several cameras, as its page needs it; see :class:`WebSink` for the parts.

    Attributes
    ----------
    name : str
        Name of the camera: lines and zones are saved under it.
    source : str
        Name of its source; shown without credentials.
    run : RunView
    counter : Counter or None
    ignored : IgnoredZones or None
    history : CameraHistory or None
    """

    name: str
    source: str
    run: RunView
    counter: Counter | None = None
    ignored: IgnoredZones | None = None
    history: CameraHistory | None = None


class WebMosaic(WebServer):
    """Shows several cameras: a mosaic with the totals, and a page for each at ``camera/NAME/``.

    Parameters
    ----------
    config : WebConfig
    cameras : sequence of CameraPage

    Attributes
    ----------
    feeds : dict of str to Feed
        The sink of each camera, by name.

    Raises
    ------
    MissingDependencyError, InvalidInputError, SinkError
        As :class:`WebSink`.
    """

    def __init__(self, config: WebConfig, cameras: Sequence[CameraPage]) -> None:
        self.feeds = {camera.name: Feed(config) for camera in cameras}

        def make_application() -> ASGIApp:
            from edge_fairmot.service.web.mosaic import Mosaic  # noqa: PLC0415
            from edge_fairmot.service.web.site import Site  # noqa: PLC0415

            editing, sites = asyncio.Lock(), {}
            for one in cameras:
                slot, editor = self.feeds[one.name].slot, None
                if one.counter is not None:
                    editor = ShapeEditor(one.counter, config, one.name, one.ignored)
                sites[one.name] = Site(
                    *(config, one.run, one.source, slot, editor),
                    camera=one.name,
                    over_time=_over_time(one.history),
                    heat=self.feeds[one.name].heat,
                    editing=editing,
                )
            return Mosaic(sites).application()

        super().__init__(config, make_application)
