"""How fast the loop is now, from what it has done in all."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from edge_fairmot.pipeline import RunSummary

WINDOW_S, SPACING_S = 3.0, 0.25
"""Rates are of the last three seconds or so, however often they are asked for."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What the loop did of late.

    Attributes
    ----------
    frame_rate : float
        Frames per second that went through.
    stage_ms : dict of str to float
        Milliseconds a frame that each stage was busy.
    """

    frame_rate: float
    stage_ms: dict[str, float]


@dataclass(frozen=True, slots=True)
class _Sample:
    taken_s: float
    frames: int
    busy_ms: dict[str, float]


class RateMeter:
    """Compares what the loop has done now with what it had done a while ago.

    Parameters
    ----------
    clock : callable
        Gives seconds, and does not go back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._samples: deque[_Sample] = deque()

    def read(self, summary: RunSummary) -> Rates:
        """Rates since the oldest look within the window; 0 at the first."""
        busy_ms = {stage: ms * summary.frames for stage, ms in summary.stage_ms.items()}
        now = _Sample(self._clock(), summary.frames, busy_ms)
        while len(self._samples) > 1 and now.taken_s - self._samples[0].taken_s > WINDOW_S:
            self._samples.popleft()
        before = self._samples[0] if self._samples else now
        if not self._samples or now.taken_s - self._samples[-1].taken_s >= SPACING_S:
            self._samples.append(now)
        elapsed_s, frames = now.taken_s - before.taken_s, now.frames - before.frames
        return Rates(
            frame_rate=frames / elapsed_s if elapsed_s > 0 else 0.0,
            stage_ms={
                stage: (ms - before.busy_ms.get(stage, 0.0)) / frames if frames else 0.0
                for stage, ms in busy_ms.items()
            },
        )
