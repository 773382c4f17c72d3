"""A sink and a trigger of one's own: ``python own_sink.py SOURCE MODEL [RUNTIME]``."""

import sys
from contextlib import closing

from edge_fairmot import Frame, Pipeline, Tracker, TrackerConfig, Tracks
from edge_fairmot.counting import Counter, CountingConfig, Event, parse_line
from edge_fairmot.runtimes import open_runtime
from edge_fairmot.sinks import EventsSink
from edge_fairmot.sources import open_source


class RecordCrowd:
    """A sink: anything with these two methods. Says when there are more people in view than ever."""

    most = 0

    def write(self, frame: Frame, tracks: Tracks) -> None:
        """Take the tracks of one frame."""
        if len(tracks) > self.most:
            self.most = len(tracks)
            print(f"{frame.time_s:7.2f} s: {self.most} people, more than ever")

    def close(self) -> None:
        """End."""
        print(f"never more than {self.most} people")


def ring(frame: Frame, event: Event) -> None:
    """Ring. A trigger is called for everything that is counted: switch a light, ask a database ..."""
    print(f"{frame.time_s:7.2f} s: ding! person {event.track_id} goes {event.kind} at the {event.name}")


def main(address: str, model: str, runtime: str = "cpu") -> None:
    """Count over a line in the middle of the picture until the source ends."""
    with open_source(address) as source, closing(open_runtime(model, runtime)) as opened:
        door = CountingConfig(lines=(parse_line("door:0.5,0,0.5,1"),))
        counting = EventsSink(None, Counter(door, source.info.frame_size), [ring])
        tracker = Tracker(TrackerConfig(frame_rate=source.info.frame_rate))
        Pipeline(source, opened, tracker, [counting, RecordCrowd()]).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
