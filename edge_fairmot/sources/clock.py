"""Time stamps made strictly rising: of one stream, and of a camera that comes and goes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

LARGEST_STEP_BACK_S = 1.0
"""A larger step back of the time stamps means another clock, a smaller one a wrong stamp."""


@dataclass(slots=True)
class StreamClock:
    """Time stamps made strictly rising, whatever the clock of the stream does.

    A stamp that does not rise becomes one frame period after the last one. A larger step back, or a step
    forward of more than ``longest_gap_s``, means that the clock was set: it counts as one frame period, and
    the differences of the stream count from there.
    """

    period_s: float
    longest_gap_s: float = math.inf
    now_s: float = field(default=-math.inf, init=False)
    _shift_s: float = field(default=0.0, init=False)

    def advance(self, stamp_s: float | None) -> float:
        """Return the time of the next frame, seconds; ``stamp_s`` is None if the frame has no stamp."""
        if self.now_s == -math.inf:
            self.now_s = stamp_s or 0.0
            return self.now_s
        expected_s = self.now_s + self.period_s
        if stamp_s is None:
            stamp_s = expected_s - self._shift_s
        elif not -LARGEST_STEP_BACK_S <= stamp_s + self._shift_s - self.now_s <= self.longest_gap_s:
            self._shift_s = expected_s - stamp_s
        shown_s = stamp_s + self._shift_s
        self.now_s = shown_s if shown_s > self.now_s else expected_s
        return self.now_s


LARGEST_LAG_S = 5.0
"""Frames wait in buffers, and networks stall. A larger lag means that the camera's clock was set."""

USUAL_LAG_S = 0.5
"""A larger lag occurs only in a stall."""

CORRECTION_S = 1e-4
"""Correction per frame with a larger lag: 2.5 ms per second at 25 Hz, more than two quartz clocks differ."""

SMALLEST_STEP_S = 1e-3


class LiveClock:
    """Puts a source's times on the machine's monotonic clock, strictly rising.

    The differences are those of the source. Its zero is not used: the source is opened again after a loss,
    and its clock may be set. No frame arrives before it was taken, so the shortest lag defines the offset,
    until a lag is longer than possible.
    """

    def __init__(self) -> None:
        self._offset_s: float | None = None
        self._last_s = -math.inf

    def restart(self) -> None:
        """Begin again, because the source was opened again and may count from any time."""
        self._offset_s = None

    def time_of(self, source_s: float, now_s: float) -> float:
        """Time of a frame on the machine's clock, from the source's time and the time of arrival."""
        # A source may be on the machine's own clock, and then its stamp is exact.
        offset_s = 0.0 if self._offset_s is None else self._offset_s
        lag_s = now_s - source_s - offset_s
        if not 0 <= lag_s <= LARGEST_LAG_S:
            offset_s = now_s - source_s
        elif lag_s > USUAL_LAG_S:
            offset_s += CORRECTION_S
        self._offset_s = offset_s
        self._last_s = max(source_s + offset_s, self._last_s + SMALLEST_STEP_S)
        return self._last_s
