"""The frames in which the detector runs; between them tracks are predicted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median

from edge_fairmot.errors import InvalidInputError

HORIZON_S = 1.0
"""Time lost or saved earlier than this is forgotten. Even on a slow device, at most this time passes without
a detection, counted in frames at the target rate."""

COSTS_REMEMBERED = 5
"""The next detection is expected to take the median of this many: the first is often by far the slowest."""


@dataclass(frozen=True, slots=True)
class DetectionSchedule:
    """Frames in which the detector runs. The first frame is always one of them.

    Attributes
    ----------
    every : int
        Detect in every Nth frame, or less often if ``target_fps`` requires it.
    target_fps : float or None
        Frame rate to keep, frames per second. Detections are as frequent as this rate allows. If the rest of
        the work alone is slower, one detection per second remains. With a detector that several
        cameras share, frames are predicted in time until the turn comes, for a second at most.

    Raises
    ------
    InvalidInputError
        If a value is not positive.
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
    """Decides for each frame whether to detect. The caller passes the times: it has no clock.

    The detector is modelled as a server that is busy for the duration of a detection, and each frame is due
    one period of the target after the previous one. A frame is detected in if the server is free when the
    frame is due and the run is not late.
    """

    def __init__(self, schedule: DetectionSchedule) -> None:
        self._every = schedule.every
        self._period_s = None if schedule.target_fps is None else 1 / schedule.target_fps
        self._frames_since: int | None = None
        self._costs_s: tuple[float, ...] = ()
        self._due_s = self._free_s = 0.0

    def wants_detection(self, now_s: float, *, source_was_awaited: bool = False) -> bool:
        """Decide about the next frame; to be called once for each, in order.

        ``source_was_awaited`` is True where a live source had no frame ready: then nothing was late.
        """
        if self._period_s is None:
            wanted = self._frames_since is None or self._frames_since + 1 >= self._every
        else:
            self._follow(now_s, self._period_s, source_was_awaited)
            wanted = self._is_affordable(now_s, self._period_s)
        self._frames_since = 0 if wanted else (self._frames_since or 0) + 1
        return wanted

    def postpone(self) -> None:
        """Want the detection in the next frame: there was none in this one."""
        self._frames_since = self._every - 1

    def took(self, cost_s: float) -> None:
        """Record the duration of a detection. May be called from another thread."""
        self._costs_s = (*self._costs_s[1 - COSTS_REMEMBERED :], cost_s)

    def _follow(self, now_s: float, period_s: float, source_was_awaited: bool) -> None:
        if self._frames_since is None:
            self._due_s = self._free_s = now_s
            return
        earliest_s = now_s if source_was_awaited else now_s - HORIZON_S
        self._due_s = min(max(self._due_s + period_s, earliest_s), now_s + HORIZON_S)

    def _is_affordable(self, now_s: float, period_s: float) -> bool:
        if self._frames_since is not None:
            if self._frames_since + 1 < self._every:
                return False
            overdue = (self._frames_since + 1) * period_s >= HORIZON_S
            if not overdue and max(self._free_s, now_s) > self._due_s:
                return False
        cost_s = median(self._costs_s) if self._costs_s else 0.0
        self._free_s = min(max(self._free_s, now_s) + cost_s, now_s + HORIZON_S)
        return True
