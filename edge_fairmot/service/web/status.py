"""How the run is doing, for the page and for whoever looks after it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import edge_fairmot
from edge_fairmot.service.web.feed import Feed
from edge_fairmot.service.web.rates import RateMeter
from edge_fairmot.service.web.run import WatchedRun
from edge_fairmot.system import warmest_zone

STALLED_S = 30.0
"""Without a frame for so long, a run whose source is well is not."""

_CREDENTIALS = re.compile(r"//[^/@\s]*@")


class StatusBoard:
    """Reads the run from outside.

    Parameters
    ----------
    run : WatchedRun
        A user and password in the name or the state of its source are left out.
    feed : Feed
    clock : callable, optional
        ``time.monotonic``, or one that goes with it.
    """

    def __init__(self, run: WatchedRun, feed: Feed, clock: Callable[[], float] = time.monotonic) -> None:
        self._run = run
        self._feed = feed
        self._clock = clock
        self._rates = RateMeter(clock)

    def read(self) -> dict[str, Any]:
        """Everything, for JSON."""
        summary, state, now_s = self._run.summary(), self._run.state(), self._clock()
        rates = self._rates.read(summary)
        zone = warmest_zone()
        return {
            "version": edge_fairmot.__version__,
            "source": {
                "name": _CREDENTIALS.sub("//", self._run.source),
                "status": state.status,
                "for_s": round(now_s - state.since_s, 1),
                "reconnects": state.reconnects,
                "message": _CREDENTIALS.sub("//", state.message),
            },
            "frame_rate": round(rates.frame_rate, 2),
            "stage_ms": {stage: round(ms, 2) for stage, ms in rates.stage_ms.items()},
            "frames": summary.frames,
            "predicted": summary.predicted,
            "dropped": summary.dropped,
            "identities": summary.identities,
            "running_s": round(summary.wall_s, 1),
            "outputs": self._outputs(),
            "temperature_c": None if zone is None else round(zone.celsius, 1),
        }

    def _outputs(self) -> dict[str, dict[str, Any]]:
        return {
            name: {**output, "trouble": _CREDENTIALS.sub("//", output["trouble"])}
            for name, output in self._run.outputs().items()
        }

    def health(self) -> tuple[bool, str]:
        """Whether frames come and go through, and why not."""
        state = self._run.state()
        if state.status != "running":
            return False, state.status
        scene = self._feed.latest
        seen_s = state.since_s if scene is None else max(scene.taken_s, state.since_s)
        if self._clock() - seen_s > STALLED_S:
            return False, "stalled"
        return True, "running"
