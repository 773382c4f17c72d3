"""One clock for a camera that comes and goes: its own between two frames, the machine's for the rest."""

from __future__ import annotations

import math

LARGEST_LAG_S = 5.0
"""Pictures wait in a camera's buffers, and networks stall. What is later than this had its clock set back."""

USUAL_LAG_S = 0.5
"""What pictures are on their way for, and more."""

CORRECTION_S = 1e-4
"""A frame, beyond that: 2.5 ms a second at 25 Hz. No two clocks of crystal drift apart so fast."""

SMALLEST_STEP_S = 1e-3


class LiveClock:
    """Puts a source's times on the machine's monotonic clock, strictly rising.

    What is between two frames is the source's, its zero is not: a camera that was opened again begins anew,
    and one whose clock is set jumps. A picture cannot come before it was taken: the one that was on its way
    for the shortest time says how the clocks belong together, until one is later than is possible.
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
        # A source may be on the machine's own clock, and then knows best when a picture was taken.
        offset_s = 0.0 if self._offset_s is None else self._offset_s
        lag_s = now_s - source_s - offset_s
        if not 0 <= lag_s <= LARGEST_LAG_S:
            offset_s = now_s - source_s
        elif lag_s > USUAL_LAG_S:
            offset_s += CORRECTION_S
        self._offset_s = offset_s
        self._last_s = max(source_s + offset_s, self._last_s + SMALLEST_STEP_S)
        return self._last_s
