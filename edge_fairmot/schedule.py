"""Which frames the network looks at; between them tracks are predicted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median

from edge_fairmot.errors import InvalidInputError

HORIZON_S = 1.0
"""A speed is kept over about this long: time lost or saved longer ago is forgotten, and however slow the
device, no longer than this many frames at the speed asked for pass without a detection."""

COSTS_REMEMBERED = 5
"""The median of the newest detections' times is what the next is thought to take: the first is often slower
by far than all that follow, and must not count for long."""


@dataclass(frozen=True, slots=True)
class DetectionSchedule:
    """Which frames are detected. The first always is.

    Attributes
    ----------
    every : int
        Detect every so many frames, or less often where ``target_fps`` asks for it.
    target_fps : float or None
        Frames per second to keep: detections are as frequent as they can be without falling below it. Where
        the rest of the work alone is slower, one frame a second at that speed is detected still.

    Raises
    ------
    InvalidInputError
        If one of them is not positive.
    """

    every: int = 1
    target_fps: float | None = None

    def __post_init__(self) -> None:
        if self.every < 1:
            raise InvalidInputError(f"detect every 1 or more frames, not {self.every}: use --detect-every 1")
        if self.target_fps is not None and not 0 < self.target_fps < math.inf:
            raise InvalidInputError(
                f"the target must be more than 0 frames/s, not {self.target_fps}: use --target-fps 15, "
                "or leave it out"
            )


class DetectionPacer:
    """Decides frame by frame, from the times it is told. It has no clock of its own.

    The detector is thought of as a server that is busy for the time a detection takes, and a frame as due one
    period of the target after the one before. A frame is detected if, when it is due, the server is free and
    the run is not late.

    Parameters
    ----------
    schedule : DetectionSchedule
    """

    def __init__(self, schedule: DetectionSchedule) -> None:
        self._every = schedule.every
        self._period_s = None if schedule.target_fps is None else 1 / schedule.target_fps
        self._passed: int | None = None
        self._costs_s: tuple[float, ...] = ()
        self._due_s = self._free_s = 0.0

    def wants_detection(self, now_s: float, *, source_was_awaited: bool = False) -> bool:
        """Decide about the next frame; to be asked once for each, in order.

        Parameters
        ----------
        now_s : float
            The time, on any clock that does not go back.
        source_was_awaited : bool
            True where a live source had no frame ready: then nothing was late, however slow the source is.
        """
        if self._period_s is None:
            wanted = self._passed is None or self._passed + 1 >= self._every
        else:
            self._follow(now_s, self._period_s, source_was_awaited)
            wanted = self._is_affordable(now_s, self._period_s)
        self._passed = 0 if wanted else (self._passed or 0) + 1
        return wanted

    def took(self, cost_s: float) -> None:
        """Tell how long a detection took. May be called from another thread."""
        self._costs_s = (*self._costs_s[1 - COSTS_REMEMBERED :], cost_s)

    def _follow(self, now_s: float, period_s: float, source_was_awaited: bool) -> None:
        if self._passed is None:
            self._due_s = self._free_s = now_s
            return
        earliest_s = now_s if source_was_awaited else now_s - HORIZON_S
        self._due_s = min(max(self._due_s + period_s, earliest_s), now_s + HORIZON_S)

    def _is_affordable(self, now_s: float, period_s: float) -> bool:
        if self._passed is not None:
            if self._passed + 1 < self._every:
                return False
            overdue = (self._passed + 1) * period_s >= HORIZON_S
            if not overdue and max(self._free_s, now_s) > self._due_s:
                return False
        cost_s = median(self._costs_s) if self._costs_s else 0.0
        self._free_s = min(max(self._free_s, now_s) + cost_s, now_s + HORIZON_S)
        return True
