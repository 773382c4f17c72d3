"""The HTTP server of the page, in a thread of its own, with limits for connections that send no request."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from threading import Thread

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from edge_fairmot.errors import SinkError

MAX_CONNECTIONS = 128

REQUEST_S = 10.0
"""Time for the head of a request. uvicorn limits only the time between requests: a client that connects and
sends nothing, or half a line, would keep a file open for ever."""

BACKLOG = 32
"""asyncio accepts this many connections before it handles the first one."""

SHUTDOWN_S = 1
"""Time for answers in progress when the run ends."""

USER_TIMEOUT_MS = 60_000
"""A phone that left the network during a transfer is dropped after this time. Linux waits for 15 minutes."""

KEEP_ALIVE = (("SO_KEEPALIVE", 1), ("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 6))
"""Detects a client that left the network while nothing was sent. Connections inherit it from the listener."""

MAX_MESSAGE = 64
"""Bytes of a client's WebSocket message: the number of a frame."""

_FIXES = {
    errno.EADDRINUSE: "another program uses it: stop that program, or choose another port",
    errno.EACCES: "ports below 1024 are for root: choose another port",
    errno.EADDRNOTAVAIL: "this device has no such address: use 127.0.0.1, or 0.0.0.0 for all its networks",
}

_log = logging.getLogger(__name__)


def _is_worth_logging(record: logging.LogRecord) -> bool:
    """Return False for errors by invalid bytes of a client: their tracebacks would fill the log."""
    return "Invalid UTF-8" not in record.getMessage()


logging.getLogger("uvicorn.error").addFilter(_is_worth_logging)


class PageServer:
    """Serves an ASGI application on a listening socket, from :meth:`start` to :meth:`close`."""

    def __init__(self, app: ASGIApp, listener: socket.socket) -> None:
        self._socket = listener
        settings = uvicorn.Config(
            app,
            http=DeadlineProtocol,
            ws="websockets-sansio",
            ws_max_size=MAX_MESSAGE,
            ws_per_message_deflate=False,  # a JPEG does not get smaller
            lifespan="on",
            log_config=None,
            log_level=logging.ERROR,  # malformed requests of strangers must not fill the log
            access_log=False,  # it would hold the token
            proxy_headers=False,
            server_header=False,
            limit_concurrency=MAX_CONNECTIONS,
            backlog=BACKLOG,
            timeout_graceful_shutdown=SHUTDOWN_S,
        )
        self._server = uvicorn.Server(settings)
        self._thread = Thread(target=self._run, name="edge-fairmot page", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stop answering and close the port. May be called twice."""
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(2 * SHUTDOWN_S)
        self._socket.close()

    def _run(self) -> None:
        try:
            asyncio.run(self._server.serve([self._socket]))
        except (Exception, SystemExit):
            _log.exception("the page has stopped; tracking goes on")


class DeadlineProtocol(H11Protocol):
    """HTTP with a limit on connections, and a deadline for the head of each request.

    uvicorn counts a connection when its first request is complete: connections that never send one would use
    up the open files of the process, and then its camera fails. They are closed before they are read. A
    WebSocket has its own protocol after its first request and is not affected.
    """

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a connection, or close it if there are too many."""
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            # Not here: up to Python 3.10 the transport begins to read after this call, closed or not.
            self.loop.call_soon(transport.abort)
        else:
            self._update_deadline()

    def data_received(self, data: bytes) -> None:
        """Take the next bytes."""
        super().data_received(data)
        self._update_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the deadline of a connection that has ended."""
        self._cancel_deadline()
        super().connection_lost(exc)

    def _update_deadline(self) -> None:
        if self.conn.their_state is not h11.IDLE:  # the head has arrived
            self._cancel_deadline()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_S, self.transport.abort)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; SinkError if the address cannot be used."""
    try:
        family, *_, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        dualstack = family == socket.AF_INET6 and host == "::"
        listener = socket.create_server(address[:2], family=family, dualstack_ipv6=dualstack)
    except (OSError, UnicodeError) as error:
        known = _FIXES.get(error.errno or 0) if isinstance(error, OSError) else None
        raise SinkError(
            f"the page cannot be served at {host}, port {port}: {known or f'{error}; check host and port'}"
        ) from error
    for name, value in (*KEEP_ALIVE, ("TCP_USER_TIMEOUT", USER_TIMEOUT_MS)):
        option = getattr(socket, name, None)  # some systems lack some of them
        if option is not None:
            level = socket.SOL_SOCKET if name.startswith("SO_") else socket.IPPROTO_TCP
            listener.setsockopt(level, option, value)
    return listener


def reachable_host(host: str) -> str:
    """Return a host as a URL has it; for 0.0.0.0, the address of this device in its first network."""
    if host not in ("0.0.0.0", "::"):
        return f"[{host}]" if ":" in host else host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # a documentation address, RFC 5737: nothing is sent
        except OSError:
            return socket.gethostname()
        address: str = probe.getsockname()[0]
        return address
