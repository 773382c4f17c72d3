"""One clock for a camera that comes and goes: its own between two frames, the machine's for the rest."""

from __future__ import annotations

import math

LARGEST_LEAD_S = 5.0
"""A camera may be off by so much: pictures wait in its buffers, and networks stall. More is a jump."""

USUAL_LEAD_S = 0.5
"""What pictures are on their way for, and more: up to here the camera knows best."""

CORRECTION_S = 1e-4
"""A frame, beyond that: 2.5 ms a second at 25 Hz. No two clocks of crystal drift apart so fast."""

SMALLEST_STEP_S = 1e-3


class LiveClock:
    """Puts a source's times on the machine's monotonic clock, strictly rising.

    What is between two frames is the source's. Its zero is not: a camera that was opened again begins anew,
    and one whose clock is set (by NTP, by an hour in October) jumps. Whenever it is away from the machine's
    by more than ``LARGEST_LEAD_S``, the two are put together afresh; a slow drift is made up for unnoticed.
    """

    def __init__(self) -> None:
        self._offset_s: float | None = None
        self._last_s = -math.inf

    def restart(self) -> None:
        """Begin with a source that was opened anew, and may count from anywhere."""
        self._offset_s = None

    def time_of(self, source_s: float, now_s: float) -> float:
        """Time of a frame on the machine's clock.

        Parameters
        ----------
        source_s : float
            As the source gives it.
        now_s : float
            On the machine's monotonic clock.
        """
        # A source on the machine's own clock knows better than we when a picture was taken.
        offset_s = 0.0 if self._offset_s is None else self._offset_s
        lag_s = now_s - source_s - offset_s
        if abs(lag_s) > LARGEST_LEAD_S:
            offset_s += lag_s
        elif abs(lag_s) > USUAL_LEAD_S:
            offset_s += math.copysign(CORRECTION_S, lag_s)
        self._offset_s = offset_s
        self._last_s = max(source_s + offset_s, self._last_s + SMALLEST_STEP_S)
        return self._last_s
