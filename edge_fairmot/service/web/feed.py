"""Between the loop and the server: the newest scene, made a message when somebody is ready for it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event

from edge_fairmot.service.web.scene import Scene

Deliver = Callable[[Scene, bytes], None]

logger = logging.getLogger(__name__)


class Feed:
    """Keeps the newest scene. The loop's thread shows, one thread encodes, the server's asks.

    Nothing is queued: a scene that nobody was ready for before the next came is never encoded.

    Parameters
    ----------
    encode : callable
        Makes the message of a scene.
    """

    def __init__(self, encode: Callable[[Scene], bytes]) -> None:
        self.latest: Scene | None = None
        self._encode = encode
        self._bell = Event()
        self._wanted = self._closed = False

    def show(self, scene: Scene) -> None:
        """Take the next scene: an assignment and, where somebody waits, the ringing of a bell."""
        self.latest = scene
        if self._wanted:
            self._bell.set()

    def want(self, wanted: bool) -> None:
        """Say whether a viewer is ready for a scene that is not encoded yet."""
        self._wanted = wanted
        if wanted:
            self._bell.set()

    def run(self, deliver: Deliver) -> None:
        """Encode and deliver what is wanted, each scene once, until :meth:`close`."""
        number = 0
        while True:
            self._bell.wait()
            self._bell.clear()
            if self._closed:
                return
            scene = self.latest
            if scene is None or scene.number == number:
                continue
            number = scene.number
            try:
                deliver(scene, self._encode(scene))
            except Exception:
                # The thread outlives a picture that cannot be encoded: the next may be a good one.
                logger.exception("frame %d cannot be shown on the page", scene.frame.index + 1)

    def close(self) -> None:
        """End :meth:`run`."""
        self._closed = True
        self._bell.set()
