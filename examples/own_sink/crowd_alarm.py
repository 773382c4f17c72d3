"""A sink of one's own: ``python crowd_alarm.py SOURCE MODEL [LIMIT]`` tells when too many are in view."""

import sys
from contextlib import closing, suppress

from edge_fairmot import Frame, Pipeline, Tracker, TrackerConfig, Tracks
from edge_fairmot.runtimes import open_runtime
from edge_fairmot.sources import open_live_source


class CrowdAlarm:
    """Anything with ``write`` and ``close`` is a sink; this one remembers whether its alarm is on."""

    def __init__(self, limit: int) -> None:
        self._limit, self._on = limit, False

    def write(self, frame: Frame, tracks: Tracks) -> None:
        """Take each frame and its tracks, in order."""
        if (len(tracks) > self._limit) != self._on:
            self._on = not self._on
            print(f"{frame.time_s:.1f} s: {'crowded' if self._on else 'calm'}, {len(tracks)} people")

    def close(self) -> None:
        """Do what is to be done at the end, whatever happened."""


def main(source: str, model: str, limit: str = "10") -> None:
    """Watch until Ctrl-C."""
    with (
        suppress(KeyboardInterrupt),
        open_live_source(source) as camera,
        closing(open_runtime(model)) as runtime,
    ):
        tracker = Tracker(TrackerConfig(frame_rate=camera.info.frame_rate))
        Pipeline(camera, runtime, tracker, [CrowdAlarm(int(limit))]).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
