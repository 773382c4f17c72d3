"""Error of counts: lines and a zone on a synthetic street, counted by tracks and by the true walks.

``python -m edge_fairmot.benchmarks.counting_error synthetic:seed=5,frames=3000`` counts over five lines and
in a zone with the bundled model; ``--model`` and ``--runtime`` as for ``track``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_fairmot.bundled import bundled_model
from edge_fairmot.counting import Counter, CountingConfig, parse_line, parse_zone
from edge_fairmot.detector import FairMotDetector
from edge_fairmot.errors import EdgeFairmotError, InvalidInputError
from edge_fairmot.pipeline import Pipeline
from edge_fairmot.protocols import Detector, HasGroundTruth, Source
from edge_fairmot.runtimes import open_runtime
from edge_fairmot.sources import open_source
from edge_fairmot.tracking import Tracker, TrackerConfig
from edge_fairmot.types import Counts, GroundTruth, LineCounts, Tracks

LINES = (
    "across:0.02,0.55,0.98,0.55",
    "near:0.1,0.75,0.9,0.75",
    "door:0.3,0.45,0.3,0.95",
    "middle:0.6,0.45,0.6,0.95",
    "slant:0.2,0.9,0.8,0.5",
)
ZONE = "square:0.3,0.5;0.7,0.5;0.7,0.8;0.3,0.8"
CONFIG = CountingConfig(tuple(map(parse_line, LINES)), (parse_zone(ZONE),))


@dataclass(frozen=True, slots=True)
class CountingError:
    """Counts of one run by line, and the mean number of people in the zone."""

    counted: Mapping[str, LineCounts]
    true: Mapping[str, LineCounts]
    zone_counted: float
    zone_true: float

    @property
    def crossings(self) -> int:
        """True crossings of all lines."""
        return sum(line.inwards + line.outwards for line in self.true.values())

    @property
    def missed(self) -> int:
        """Crossings too few, over the lines and directions with too few."""
        return sum(max(0, -excess) for excess in self._excesses())

    @property
    def invented(self) -> int:
        """Crossings too many, over the lines and directions with too many."""
        return sum(max(0, excess) for excess in self._excesses())

    def _excesses(self) -> list[int]:
        pairs = ((self.counted[name], line) for name, line in self.true.items())
        return [
            excess
            for ours, line in pairs
            for excess in (ours.inwards - line.inwards, ours.outwards - line.outwards)
        ]


def true_tracks(truth: GroundTruth) -> Tracks:
    """Return the tracks of a perfect tracker, which follows hidden people too."""
    count = len(truth)
    return Tracks(
        truth.ids, truth.xyxy, np.ones(count, np.float32), np.zeros(count, np.int64), np.zeros(count, bool)
    )


def measure_counting(source: Source, detector: Detector) -> CountingError:
    """Count on a street with an end, by the tracker's tracks and by the true ones."""
    info = source.info
    if not isinstance(source, HasGroundTruth) or info.frame_count is None:
        raise InvalidInputError(
            f"{info.name} has no known walks: give a street with an end, as in synthetic:seed=5,frames=3000"
        )
    true_counter, counter = Counter(CONFIG, info.frame_size), Counter(CONFIG, info.frame_size)
    tracker = Tracker(TrackerConfig(frame_rate=info.frame_rate))
    occupancies: list[tuple[int, int]] = []
    counted = true = Counts()
    for result in Pipeline(source, detector, tracker, counter=counter):
        true_counter.update(true_tracks(source.truth(result.frame.index)), result.frame.time_s)
        counted, true = result.counts or counted, true_counter.counts
        occupancies.append((counted.zones["square"].occupancy, true.zones["square"].occupancy))
    zone_counted, zone_true = np.mean(occupancies, axis=0).tolist()
    return CountingError(counted.lines, true.lines, zone_counted, zone_true)


def report(spec: str, model: Path, runtime: str) -> None:
    """Print the counts of a street with an end."""
    with closing(open_source(spec)) as source, closing(open_runtime(model, runtime)) as opened:
        found = measure_counting(source, FairMotDetector(opened))
    print("line        counted in, out      true in, out")
    for name, line in found.true.items():
        ours = found.counted[name]
        print(f"{name:10}  {ours.inwards:10d} {ours.outwards:4d}  {line.inwards:14d} {line.outwards:4d}")
    off = (found.missed + found.invented) / max(1, found.crossings)
    print(
        f"{found.crossings} crossings: {found.missed} too few, {found.invented} too many, {off:.1%} off; "
        f"in the zone {found.zone_counted:.2f} at a time, truly {found.zone_true:.2f}"
    )


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m edge_fairmot.benchmarks.counting_error", description=__doc__
    )
    parser.add_argument("source", help="a street, as in synthetic:seed=5,frames=3000")
    parser.add_argument("-m", "--model", type=Path, help="[default: the bundled one]")
    parser.add_argument("--runtime", default="cpu", help="as for track [default: cpu]")
    arguments = parser.parse_args()
    try:
        report(arguments.source, arguments.model or bundled_model(), arguments.runtime)
    except EdgeFairmotError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
