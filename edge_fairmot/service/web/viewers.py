"""Those who watch the page, each as fast as they can."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from starlette.websockets import WebSocket, WebSocketDisconnect

from edge_fairmot.service.web.feed import Feed
from edge_fairmot.service.web.scene import Scene

MOST_VIEWERS = 32

WINDOW = 2
"""Scenes that may be under way to a viewer: one while the other is drawn. The page says when it has drawn
one, so that nothing waits in the buffers of a slow network, and a hidden page, which draws none, costs
nothing."""

DELAYS = 1000

TRY_LATER, POLICY_VIOLATION = 1013, 1008


class Viewer:
    """What is known of one who watches."""

    def __init__(self) -> None:
        self.wake = asyncio.Event()
        self.sent_number = 0
        self.status = ""  # to be sent; a later one takes the place of one that waits
        self.under_way: dict[int, float] = {}  # number of a scene, and when the camera saw it

    @property
    def ready(self) -> bool:
        """Whether another scene may be sent."""
        return len(self.under_way) < WINDOW


class Viewers:
    """Sends everybody the newest scene, and once a second how the run is doing. Lives in the server's thread.

    Parameters
    ----------
    feed : Feed
    read_status : callable
        Gives the status in JSON.
    """

    def __init__(self, feed: Feed, read_status: Callable[[], str]) -> None:
        self._feed = feed
        self._read_status = read_status
        self._viewers: set[Viewer] = set()
        self._scene: Scene | None = None
        self._message = b""
        self._delays_s: deque[float] = deque(maxlen=DELAYS)

    def __len__(self) -> int:
        return len(self._viewers)

    def delay_s(self, quantile: float) -> float | None:
        """From the camera to a page that has drawn it and said so, seconds; None while none has.

        Parameters
        ----------
        quantile : float
            0.5 for the median of the last thousand scenes of all viewers.
        """
        delays_s = sorted(self._delays_s)
        return delays_s[round(quantile * (len(delays_s) - 1))] if delays_s else None

    def publish(self, scene: Scene, message: bytes) -> None:
        """Offer the next scene to everybody."""
        self._scene, self._message = scene, message
        for viewer in self._viewers:
            viewer.wake.set()

    def announce(self) -> None:
        """Tell everybody how the run is doing."""
        if self._viewers:
            status = self._read_status()
            for viewer in self._viewers:
                viewer.status = status
                viewer.wake.set()

    async def serve(self, socket: WebSocket) -> None:
        """Stay with one viewer until they leave."""
        await socket.accept()
        if len(self._viewers) >= MOST_VIEWERS:
            await socket.close(TRY_LATER, f"{MOST_VIEWERS} are watching already")
            return
        viewer = Viewer()
        self._viewers.add(viewer)
        viewer.status = self._read_status()
        viewer.wake.set()
        self._look_for_the_ready()
        sending = asyncio.create_task(self._send(socket, viewer))
        try:
            await self._listen(socket, viewer)
        finally:
            self._viewers.discard(viewer)
            self._look_for_the_ready()
            sending.cancel()
            with suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):
                await sending

    async def _send(self, socket: WebSocket, viewer: Viewer) -> None:
        while True:
            await viewer.wake.wait()
            viewer.wake.clear()
            if viewer.status:
                status, viewer.status = viewer.status, ""
                await socket.send_text(status)
            scene = self._scene
            if scene is not None and viewer.ready and scene.number > viewer.sent_number:
                viewer.sent_number = scene.number
                viewer.under_way[scene.number] = scene.seen_s
                self._look_for_the_ready()
                await socket.send_bytes(self._message)

    async def _listen(self, socket: WebSocket, viewer: Viewer) -> None:
        """Hear of the scenes that were drawn; anything else ends the visit."""
        while True:
            try:
                drawn = int(await socket.receive_text())
                seen_s = viewer.under_way.pop(drawn)
            except WebSocketDisconnect:
                return
            except (ValueError, KeyError):
                await socket.close(POLICY_VIOLATION, "that is no number of a scene that was sent")
                return
            self._delays_s.append(time.monotonic() - seen_s)
            viewer.wake.set()
            self._look_for_the_ready()

    def _look_for_the_ready(self) -> None:
        self._feed.want(any(viewer.ready for viewer in self._viewers))
