"""Whether a camera shows the same picture for ever."""

from __future__ import annotations

from edge_fairmot.types import UInt8Array

STRIDE = 16
"""Every so many pixels each way are looked at: enough to see noise, and nothing to pay for."""


class FreezeWatch:
    """Notices a picture that does not change any more, not by a bit: a sensor's noise alone would.

    Where opening the camera again did not help it was a still scene after all (a drawn picture, a dark room
    through an encoder that smooths): then it waits twice as long until the next time, and so on.

    Parameters
    ----------
    patience_s : float
        How long a picture may stay the same; 0 never looks.
    """

    def __init__(self, patience_s: float) -> None:
        self._usual_s = self._patience_s = patience_s
        self._seen = b""
        self._since_s = 0.0

    def restart(self, now_s: float) -> None:
        """Count from now: the camera was away, and what it last showed stayed the same only so."""
        self._since_s = now_s

    def is_frozen(self, image: UInt8Array, now_s: float) -> bool:
        """Look at the next picture.

        Parameters
        ----------
        image : uint8 (H, W, 3)
        now_s : float
            On any clock that does not go back.
        """
        if not self._usual_s:
            return False
        seen = image[::STRIDE, ::STRIDE].tobytes()
        if seen != self._seen:
            self._seen, self._since_s, self._patience_s = seen, now_s, self._usual_s
            return False
        if now_s - self._since_s <= self._patience_s:
            return False
        self._since_s = now_s
        self._patience_s *= 2
        return True
