"""The server of the page, in a thread of its own."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from threading import Thread

import uvicorn
from starlette.types import ASGIApp

from edge_fairmot.errors import SinkError
from edge_fairmot.service.web.config import WebConfig
from edge_fairmot.service.web.connections import MOST_CONNECTIONS, ImpatientProtocol

MOST_WAITING = 32
"""Connections that are accepted in one go: asyncio takes as many as may wait before it looks at the first."""

FAREWELL_S = 1
"""How long answers under way may take when the run ends."""

SILENCE_MS = 60_000
"""A phone that left the network while something was sent to it is given up after this; by itself Linux waits
a quarter of an hour, with an open file for each."""

PROBES = (("SO_KEEPALIVE", 1), ("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 6))
"""And who left while nothing was sent is asked after, seconds: a connection has these of its listener."""

LONGEST_MESSAGE = 64
"""Of a viewer's, bytes: the number of a scene."""

_REMEDIES = {
    errno.EADDRINUSE: "another program has it: stop that, or choose another port",
    errno.EACCES: "ports below 1024 are for root: choose another port",
    errno.EADDRNOTAVAIL: "this device has no such address: use 127.0.0.1, or 0.0.0.0 for all it has",
}

logger = logging.getLogger(__name__)


class PageServer:
    """Answers from :meth:`start` to :meth:`close`.

    Parameters
    ----------
    app : ASGI application
    config : WebConfig

    Raises
    ------
    SinkError
        If it cannot listen at the host and port.
    """

    def __init__(self, app: ASGIApp, config: WebConfig) -> None:
        self._socket = _listen(config.host, config.port)
        self.port: int = self._socket.getsockname()[1]
        settings = uvicorn.Config(
            app,
            http=ImpatientProtocol,
            ws="websockets-sansio",
            ws_max_size=LONGEST_MESSAGE,
            ws_per_message_deflate=False,  # a JPEG does not get smaller
            lifespan="on",
            log_config=None,
            log_level=logging.ERROR,  # what strangers send is no trouble of ours, and fills no disk
            access_log=False,  # it would hold the token
            proxy_headers=False,
            server_header=False,
            limit_concurrency=MOST_CONNECTIONS,
            backlog=MOST_WAITING,
            timeout_graceful_shutdown=FAREWELL_S,
        )
        self._server = uvicorn.Server(settings)
        self._thread = Thread(target=self._run, name="page server", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """End, and close the port. May be called twice."""
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(2 * FAREWELL_S)
        self._socket.close()

    def _run(self) -> None:
        try:
            asyncio.run(self._server.serve([self._socket]))
        except (Exception, SystemExit):
            # Tracking goes on without its page.
            logger.exception("the page has ended")


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        dualstack = family == socket.AF_INET6 and host == "::"
        listener = socket.create_server(address[:2], family=family, dualstack_ipv6=dualstack)
        for name, value in (*PROBES, ("TCP_USER_TIMEOUT", SILENCE_MS)):
            option = getattr(socket, name, None)  # not every system has them all
            if option is not None:
                level = socket.SOL_SOCKET if name.startswith("SO_") else socket.IPPROTO_TCP
                listener.setsockopt(level, option, value)
        return listener
    except (OSError, UnicodeError) as error:
        known = _REMEDIES.get(error.errno or 0) if isinstance(error, OSError) else None
        reason = known or f"{error}; check the host and the port"
        raise SinkError(f"cannot serve the page at {host}, port {port}: {reason}") from error
