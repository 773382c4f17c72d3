"""The clients of the page: each WebSocket gets the newest frames as fast as it draws them."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from starlette.websockets import WebSocket, WebSocketDisconnect

from edge_fairmot.service.web.frames import LatestFrame, WebFrame

MAX_CLIENTS = 32

WINDOW = 2
"""Frames on their way to a client: one travels while the other is drawn. The page confirms each frame that it
has drawn, so nothing piles up in the buffers of a slow network. A hidden page draws none and is sent none."""

DELAYS = 1000

TRY_AGAIN_LATER, POLICY_VIOLATION = 1013, 1008


class Client:
    """State of one WebSocket."""

    def __init__(self, status: str) -> None:
        self.wake = asyncio.Event()
        self.wake.set()
        self.sent_number = 0
        self.status = status  # waits to be sent; a newer one replaces it
        self.in_flight: dict[int, float] = {}  # capture time by frame number

    @property
    def ready(self) -> bool:
        """Whether another frame may be sent."""
        return len(self.in_flight) < WINDOW


class Clients:
    """All clients. They live in the server's thread; ``read_status`` returns the status in JSON."""

    def __init__(self, slot: LatestFrame, read_status: Callable[[], str]) -> None:
        self._slot, self._read_status = slot, read_status
        self._clients: set[Client] = set()
        self._frame: WebFrame | None = None
        self._message = b""
        self._delays_s: deque[float] = deque(maxlen=DELAYS)

    def __len__(self) -> int:
        return len(self._clients)

    def delay_s(self, quantile: float) -> float | None:
        """Return the delay from capture to the drawn page, over the last 1000 frames; None without any."""
        delays_s = sorted(self._delays_s)
        return delays_s[round(quantile * (len(delays_s) - 1))] if delays_s else None

    def publish(self, frame: WebFrame, message: bytes) -> None:
        """Offer the newest frame to all clients."""
        self._frame, self._message = frame, message
        for client in self._clients:
            client.wake.set()

    def broadcast_status(self) -> None:
        """Send the status to all clients."""
        if self._clients:
            status = self._read_status()
            for client in self._clients:
                client.status = status
                client.wake.set()

    async def serve(self, socket: WebSocket) -> None:
        """Serve one client until it disconnects."""
        await socket.accept()
        if len(self._clients) >= MAX_CLIENTS:
            await socket.close(TRY_AGAIN_LATER, f"{MAX_CLIENTS} clients are connected already")
            return
        client = Client(self._read_status())
        self._clients.add(client)
        self._update_wanted()
        sending = asyncio.create_task(self._send(socket, client))
        try:
            await self._receive(socket, client)
        finally:
            self._clients.discard(client)
            self._update_wanted()
            sending.cancel()
            with suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):
                await sending

    async def _send(self, socket: WebSocket, client: Client) -> None:
        while True:
            await client.wake.wait()
            client.wake.clear()
            if client.status:
                status, client.status = client.status, ""
                await socket.send_text(status)
            frame = self._frame
            if frame is not None and client.ready and frame.number > client.sent_number:
                client.sent_number = frame.number
                client.in_flight[frame.number] = frame.captured_s
                self._update_wanted()
                await socket.send_bytes(self._message)

    async def _receive(self, socket: WebSocket, client: Client) -> None:
        """Take the numbers of drawn frames; anything else ends the connection."""
        while True:
            try:
                captured_s = client.in_flight.pop(int(await socket.receive_text()))
            except WebSocketDisconnect:
                return
            except (ValueError, KeyError):
                await socket.close(POLICY_VIOLATION, "that is not the number of a frame that was sent")
                return
            self._delays_s.append(time.monotonic() - captured_s)
            client.wake.set()
            self._update_wanted()

    def _update_wanted(self) -> None:
        self._slot.want(any(client.ready for client in self._clients))
