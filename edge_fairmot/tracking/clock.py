"""The tracker's time in frame periods. It counts what it is told and never looks at a real clock."""

from __future__ import annotations

from edge_fairmot.errors import InvalidInputError

TIME_STEP_S = 1e-3
"""Containers such as Matroska keep whole milliseconds: the difference of two stamps is off by up to one."""

JITTER_PERIODS = 0.02
"""Nominal frame rates are rounded (30 for 29.97), and cameras jitter a little."""

LARGEST_SLACK_PERIODS = 0.25
"""At very high frame rates a millisecond is a large part of a period; beyond this, time counts as it is."""

LATEST_TIME_S = 1e12
"""No clock has counted so many seconds; milliseconds since 1970 have passed it."""

TICK_PERIODS = 2.0**-20
"""Moments are whole multiples of this, so that sums of them are exact and equal ages compare equal."""


class FrameClock:
    """Counts frame periods, whole ones where stamps are absent or fit.

    Parameters
    ----------
    frame_rate : float
        Periods per second.

    Attributes
    ----------
    now : float
        Frame periods since it was made.
    """

    def __init__(self, frame_rate: float) -> None:
        self.now = 0.0
        self._frame_rate = frame_rate
        self._last_time_s: float | None = None

    def periods_until(self, time_s: float | None) -> float:
        """Count the frame periods from the last moment to the next, and change nothing.

        An elapsed time near a whole number of periods is taken for it. So a file of constant frame rate
        gives the same identities with its time stamps as without.

        Parameters
        ----------
        time_s : float or None
            None counts as one period, and so does the first stamp or the first after None.

        Returns
        -------
        float

        Raises
        ------
        InvalidInputError
            If time does not go forward or is not in seconds.
        """
        if time_s is not None and not abs(time_s) < LATEST_TIME_S:
            raise InvalidInputError(
                f"time_s must be finite and within {LATEST_TIME_S:g} seconds, not {time_s}: "
                "divide milliseconds by 1e3, nanoseconds by 1e9"
            )
        if time_s is None or self._last_time_s is None:
            return 1.0
        if not time_s > self._last_time_s:
            raise InvalidInputError(
                f"time_s must be later than in the call before, {self._last_time_s}, not {time_s}: "
                "call reset() before another sequence"
            )
        periods = (time_s - self._last_time_s) * self._frame_rate
        whole = round(periods)
        slack = min(JITTER_PERIODS + TIME_STEP_S * self._frame_rate, LARGEST_SLACK_PERIODS)
        if whole > 0 and abs(periods - whole) <= slack:
            return float(whole)
        return round(periods / TICK_PERIODS) * TICK_PERIODS

    def advance(self, periods: float, time_s: float | None) -> None:
        """Make the next moment the last: ``periods`` from :meth:`periods_until` of the same ``time_s``."""
        self.now += periods
        self._last_time_s = time_s
