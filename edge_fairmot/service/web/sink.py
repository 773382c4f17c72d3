"""The sink that shows a run on a page."""

from __future__ import annotations

import functools
import socket
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from edge_fairmot.counting import Counter
from edge_fairmot.errors import MissingDependencyError
from edge_fairmot.pipeline import RunSummary
from edge_fairmot.protocols import Outputs, SourceState
from edge_fairmot.service.web.config import WebConfig
from edge_fairmot.service.web.feed import Feed
from edge_fairmot.service.web.run import WatchedRun
from edge_fairmot.service.web.scene import Scene, pack_scene
from edge_fairmot.service.web.token import default_token_file, take_token
from edge_fairmot.types import Frame, Tracks

if TYPE_CHECKING:
    from edge_fairmot.service.web.server import PageServer


class WebSink(AbstractContextManager["WebSink"]):
    """Shows frames and tracks on a page, with counts, and lets lines and zones be drawn there.

    The port is taken when the sink is made, and answered at from :meth:`start` on, at the latest with the
    first frame. What watches costs the loop nothing: :meth:`write` keeps the frame and returns.

    Parameters
    ----------
    config : WebConfig
    summary : callable
        What the run has done so far, as :meth:`edge_fairmot.pipeline.Pipeline.summary`; called from another
        thread, from :meth:`start` on.
    state : callable
        How the source is; the same.
    counter : Counter, optional
        Whose totals are shown and whose lines and zones are drawn. Who updates it comes before this sink.
    source : str, optional
        Its name, to be shown; a user and password in it are left out.

    Attributes
    ----------
    address : str
        Where the page is.
    invitation : str or None
        The address with the token, where one was made now: to be shown once. Later it is in the token file.
    token_file : Path or None
        None where no token is needed.

    Raises
    ------
    MissingDependencyError
        If a package of the extra ``web`` is not installed.
    SinkError
        If the port or the token file cannot be used.

    Examples
    --------
    >>> from edge_fairmot.service.web import WebConfig, WebSink
    >>> web = WebSink(WebConfig(port=8080), lambda: pipeline.summary(), lambda: state)  # doctest: +SKIP
    >>> pipeline = Pipeline(source, runtime, tracker, [web])  # doctest: +SKIP
    """

    def __init__(
        self,
        config: WebConfig,
        summary: Callable[[], RunSummary],
        state: Callable[[], SourceState],
        counter: Counter | None = None,
        *,
        source: str = "",
        outputs: Callable[[], Outputs] = dict,
    ) -> None:
        self._counter = counter
        self._number = 0
        self._started = self._closed = False
        self._feed = Feed(functools.partial(pack_scene, quality=config.jpeg_quality, widest=config.widest))
        self.token_file = config.token_file
        if self.token_file is None and not config.is_local:
            self.token_file = default_token_file()
        token, made = (None, False) if self.token_file is None else take_token(self.token_file)
        run = WatchedRun(summary, state, counter, source, outputs)
        self._server = _open_server(config, token, run, self._feed)
        self.address = f"http://{_name_of(config.host)}:{self._server.port}/"
        self.invitation = f"{self.address}?token={token}" if made else None

    def start(self) -> None:
        """Begin to answer, before the first frame comes. May be called twice."""
        if not self._started:
            self._started = True
            self._server.start()

    def write(self, frame: Frame, tracks: Tracks) -> None:
        """Take the next frame and its tracks; a frame that is shown later is not changed meanwhile."""
        self.start()
        self._number += 1
        lines, zones = ({}, {}) if self._counter is None else (self._counter.lines, self._counter.zones)
        self._feed.show(Scene(self._number, frame, tracks, lines, zones, time.monotonic()))

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the page. May be called twice."""
        if not self._closed:
            self._closed = True
            self._server.close()


def _open_server(config: WebConfig, token: str | None, run: WatchedRun, feed: Feed) -> PageServer:
    try:
        import uvicorn.protocols.websockets.websockets_sansio_impl  # noqa: F401, PLC0415

        from edge_fairmot.service.web.access import Guard  # noqa: PLC0415
        from edge_fairmot.service.web.server import PageServer  # noqa: PLC0415
        from edge_fairmot.service.web.site import Site, page_file  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingDependencyError(str(error.name).split(".")[0], "web", "to serve the page") from error
    app = Site(config, run, feed).application()
    guarded = Guard(app, token, page_file("enter.html"), f"edge_fairmot_{config.port}")
    return PageServer(guarded, config)


def _name_of(host: str) -> str:
    """Write a host as an address has it; for every network, where this device is in its first one."""
    if host not in ("0.0.0.0", "::"):
        return f"[{host}]" if ":" in host else host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address of nobody's, RFC 5737: nothing is sent
        except OSError:
            return socket.gethostname()
        own: str = probe.getsockname()[0]
        return own
