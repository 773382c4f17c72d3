"""Connections that ask for nothing, and how long they are borne."""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_CONNECTIONS = 128

REQUEST_S = 10.0
"""How long the head of a request may take. uvicorn limits the time between requests alone: who connects and
says nothing, or half a word, would keep a file open for good."""


class ImpatientProtocol(H11Protocol):
    """HTTP for at most so many connections, each of which asks soon or is closed.

    uvicorn counts connections when a request is complete: those that never ask are accepted until the process
    has no more files to open, its camera's among them. These are closed before they are read. A WebSocket has
    its own protocol from the end of its first request on, and is left alone.
    """

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, or close it where there are too many."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            # Not from here: up to Python 3.10 the transport begins to read after this call, closed or not.
            self.loop.call_soon(transport.abort)
        else:
            self._watch_request()

    def data_received(self, data: bytes) -> None:
        """Take the next bytes; each request's head has a time of its own."""
        super().data_received(data)
        self._watch_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection that has ended."""
        self._forget_deadline()
        super().connection_lost(exc)

    def _watch_request(self) -> None:
        if self.conn.their_state is not h11.IDLE:  # the head is there: who answers limits the rest
            self._forget_deadline()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_S, self.transport.abort)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
