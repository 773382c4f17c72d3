"""A run as its services see it from their threads: figures, recent rates, health of the outputs."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from edge_fairmot.pipeline import RunSummary
from edge_fairmot.protocols import OutputHealth, SourceState
from edge_fairmot.sources.address import redact_text

SLOW = 5.0
"""Frames per second below which people pass a line between two frames."""

SAMPLE_S = 0.25
"""Samples are this far apart, however often a rate is read."""


def utc_now() -> datetime:
    """Return the time, UTC."""
    return datetime.now(timezone.utc)


def wall_time(time_s: float) -> datetime:
    """Return the wall-clock time, UTC, of a moment on ``time.monotonic``'s clock, which live sources have."""
    return utc_now() - timedelta(seconds=time.monotonic() - time_s)


@dataclass(frozen=True, slots=True)
class RunView:
    """A run as a service reads it. Each function is safe in any thread."""

    summary: Callable[[], RunSummary]
    state: Callable[[], SourceState]
    outputs: Callable[[], Mapping[str, OutputHealth]] = dict

    def output_health(self) -> dict[str, dict[str, Any]]:
        """Return the health of every output, without credentials."""
        return {
            name: {**health, "trouble": redact_text(health["trouble"])}
            for name, health in self.outputs().items()
        }


class Rates(NamedTuple):
    """Processed and dropped frames per second, and busy milliseconds per frame of each stage, of late."""

    frame_rate: float
    dropped_rate: float
    stage_ms: dict[str, float]


class _Sample(NamedTuple):
    time_s: float
    frames: int
    dropped: int
    busy_ms: dict[str, float]


class RateMeter:
    """Computes rates over the last ``window_s`` seconds from the totals of a run."""

    def __init__(self, window_s: float = 3.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._window_s, self._clock = window_s, clock
        self._samples: deque[_Sample] = deque()

    def read(self, summary: RunSummary) -> Rates:
        """Return the rates since the oldest sample in the window; 0 at the first call."""
        busy_ms = {stage: ms * summary.frames for stage, ms in summary.stage_ms.items()}
        now = _Sample(self._clock(), summary.frames, summary.dropped, busy_ms)
        samples = self._samples
        while len(samples) > 1 and now.time_s - samples[0].time_s > self._window_s:
            samples.popleft()
        before = samples[0] if samples else now
        if not samples or now.time_s - samples[-1].time_s >= SAMPLE_S:
            samples.append(now)
        elapsed_s, frames = now.time_s - before.time_s, now.frames - before.frames
        return Rates(
            frames / elapsed_s if elapsed_s > 0 else 0.0,
            (now.dropped - before.dropped) / elapsed_s if elapsed_s > 0 else 0.0,
            {
                stage: (ms - before.busy_ms.get(stage, 0.0)) / frames if frames else 0.0
                for stage, ms in busy_ms.items()
            },
        )
