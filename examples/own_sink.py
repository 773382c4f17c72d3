"""A sink and a trigger of your own: ``python own_sink.py SOURCE MODEL [RUNTIME]``."""

import sys
from contextlib import closing

from edge_fairmot import (
    Counter,
    CountingConfig,
    FairMotDetector,
    FrameResult,
    Pipeline,
    Tracker,
    TrackerConfig,
    open_runtime,
    open_source,
)
from edge_fairmot.counting import parse_line


class CrowdRecord:
    """A sink is any object with these two methods. This one reports each new maximum of people in view."""

    most = 0

    def write(self, result: FrameResult) -> None:
        """Take the result of one frame."""
        if len(result.tracks) > self.most:
            self.most = len(result.tracks)
            print(f"{result.frame.time_s:7.2f} s: {self.most} people, more than ever")

    def close(self) -> None:
        """Finish the output."""
        print(f"never more than {self.most} people")


def ring(result: FrameResult) -> None:
    """Ring for each counted event. A trigger may switch a light, ask a database ..."""
    for event in result.events:
        print(f"{event.time_s:7.2f} s: ding! person {event.track_id} goes {event.kind} at the {event.name}")


def main(address: str, model: str, runtime: str = "cpu") -> None:
    """Count over a vertical line in the middle of the image until the source ends."""
    with open_source(address) as source, closing(open_runtime(model, runtime)) as opened:
        config = TrackerConfig(frame_rate=source.info.frame_rate)
        detector = FairMotDetector(opened, config.lowest_score)
        door = Counter(CountingConfig(lines=(parse_line("door:0.5,0,0.5,1"),)), source.info.frame_size)
        pipeline = Pipeline(source, detector, Tracker(config), counter=door)
        pipeline.run([CrowdRecord()], on_result=ring)


if __name__ == "__main__":
    main(*sys.argv[1:])
