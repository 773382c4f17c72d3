"""Error of counts: lines and zones on synthetic streets, against where the people really walk.

``python -m edge_fairmot.benchmarks.counting_error synthetic:seed=5,frames=2000`` counts by the true boxes of
all people. ``--boxes losses`` tracks boxes with a detector's faults, ``--boxes model`` those of the bundled
model; ``-m`` and ``--runtime`` are as for ``track``. ``--detections FOLDER``, which ``track
--save-detections`` wrote, takes the place of the model. Several streets are added up.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import Counter as Tally
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import astuple, dataclass, field
from pathlib import Path

import cv2
import numpy as np

from edge_fairmot.benchmarks.simulated_detector import SimulatedDetector
from edge_fairmot.bundled import bundled_model
from edge_fairmot.counting import Counter, CountingConfig, Line, parse_line, parse_zone
from edge_fairmot.detection_cache import CachedDetector
from edge_fairmot.detector import FairMotDetector
from edge_fairmot.errors import EdgeFairmotError, InvalidInputError
from edge_fairmot.protocols import Detector, HasGroundTruth, Source, SourceInfo
from edge_fairmot.runtimes import open_runtime
from edge_fairmot.sinks.text import MIN_VISIBILITY
from edge_fairmot.sources import open_source
from edge_fairmot.tracking import Tracker, TrackerConfig
from edge_fairmot.types import Counts, Float64Array, Frame, GroundTruth, Tracks

LINES = (
    "across:0.02,0.55,0.98,0.55",
    "near:0.1,0.75,0.9,0.75",
    "door:0.3,0.45,0.3,0.95",
    "middle:0.6,0.45,0.6,0.95",
    "slant:0.2,0.9,0.8,0.5",
)
ZONES = (
    "square:0.3,0.5;0.7,0.5;0.7,0.8;0.3,0.8",
    "left:0.05,0.45;0.35,0.45;0.35,0.85;0.05,0.85",
    "back:0.35,0.4;0.65,0.4;0.65,0.7;0.35,0.7",
    "shop:0.7,0.45;0.98,0.45;0.98,0.8;0.7,0.8",
    "edge:0.4,0.7;1,0.6;1,1;0.5,1",
)
CONFIG = CountingConfig(tuple(map(parse_line, LINES)), tuple(map(parse_zone, ZONES)))

SWAY_S = 0.5
"""A body sways as it walks. A person who is out of a zone for no longer has not left it; one who is back over
a line as soon has not crossed it."""

NOBODY = GroundTruth(
    np.zeros(0, np.int64),
    np.zeros((0, 4), np.float32),
    np.zeros(0, np.float32),
    np.zeros((0, 2), np.float32),
)

BOXES = ("true", "losses", "model")


@dataclass(slots=True)
class ZoneFigures:
    """Sums over the frames of a street.

    Attributes
    ----------
    frames : int
    inside, seen : int
        Persons inside, and those of them who are seen, added up over the frames.
    entries, stays : int
        ``stays`` have ended.
    dwell_s : float
        Of the stays that ended, together.
    """

    frames: int = 0
    inside: int = 0
    seen: int = 0
    entries: int = 0
    stays: int = 0
    dwell_s: float = 0.0

    @property
    def mean_dwell_s(self) -> float:
        """Mean of the stays that ended, seconds."""
        return self.dwell_s / max(1, self.stays)


@dataclass(slots=True)
class Figures:
    """Crossings by line and direction, and figures by zone, of one street."""

    crossings: Tally[tuple[str, str]] = field(default_factory=Tally)
    zones: defaultdict[str, ZoneFigures] = field(default_factory=lambda: defaultdict(ZoneFigures))

    def add_frame(self, counts: Counts) -> None:
        """Add who is inside now."""
        for name, zone in counts.zones.items():
            figures = self.zones[name]
            figures.frames += 1
            figures.seen += zone.occupancy
            figures.inside += zone.occupancy + zone.unseen

    def take_totals(self, counts: Counts) -> None:
        """Take the totals at the end."""
        for name, line in counts.lines.items():
            self.crossings[name, "in"], self.crossings[name, "out"] = line.inwards, line.outwards
        for name, zone in counts.zones.items():
            figures = self.zones[name]
            figures.entries, figures.stays = zone.entries, zone.stays
            figures.dwell_s = zone.stays * zone.mean_dwell_s


class TrueCounts:
    """Counts the people of a street by the points where they stand, without a rule of the counter.

    A person is inside a zone while that point, clipped to the image, is in the polygon and the body's box is
    in the image. A crossing is a step of the point through a line. Swaying is neither: see ``SWAY_S``.
    """

    def __init__(self, config: CountingConfig, frame_size: tuple[int, int]) -> None:
        self._config, self._size = config, np.array(frame_size, np.float64)
        self._feet: dict[int, Float64Array] = {}
        self._crossed: dict[tuple[str, int], tuple[str, float]] = {}
        self._entered: dict[str, dict[int, float]] = defaultdict(dict)
        self._left: dict[tuple[str, int], tuple[float, float]] = {}
        self.figures = Figures()

    def update(self, truth: GroundTruth, time_s: float) -> None:
        """Count the people of the next frame."""
        ids = truth.ids.tolist()
        feet = dict(zip(ids, truth.foot_points.astype(np.float64), strict=True))
        for line in self._config.lines:
            for person in feet.keys() & self._feet.keys():
                if way := self._way(line, self._feet[person], feet[person]):
                    self._cross(line.name, person, way, time_s)
        self._feet = feet
        in_image = ((truth.xyxy[:, 2:] > 0) & (truth.xyxy[:, :2] < self._size)).all(axis=1)
        is_seen = dict(zip(ids, (truth.visibility >= MIN_VISIBILITY).tolist(), strict=True))
        places = {one: feet[one].clip(0, self._size) for one in truth.ids[in_image].tolist()}
        for zone in self._config.zones:
            polygon = (np.array(zone.polygon) * self._size).astype(np.float32)
            inside = {
                one for one, at in places.items() if cv2.pointPolygonTest(polygon, at.tolist(), False) >= 0
            }
            figures, entered = self.figures.zones[zone.name], self._entered[zone.name]
            figures.frames += 1
            figures.inside += len(inside)
            figures.seen += sum(is_seen[one] for one in inside)
            for person in inside - entered.keys():
                entered_s, left_s = self._left.pop((zone.name, person), (time_s, -math.inf))
                if time_s - left_s <= SWAY_S:
                    entered[person] = entered_s
                    figures.stays -= 1
                    figures.dwell_s -= left_s - entered_s
                else:
                    entered[person] = time_s
                    figures.entries += 1
            for person in entered.keys() - inside:
                self._leave(zone.name, person, time_s)

    def leave_all(self, time_s: float) -> None:
        """End all stays."""
        for zone, entered in self._entered.items():
            for person in list(entered):
                self._leave(zone, person, time_s)

    def _leave(self, zone: str, person: int, time_s: float) -> None:
        figures, entered_s = self.figures.zones[zone], self._entered[zone].pop(person)
        self._left[zone, person] = entered_s, time_s
        figures.stays += 1
        figures.dwell_s += time_s - entered_s

    def _cross(self, line: str, person: int, way: str, time_s: float) -> None:
        """Count a crossing, or take back the one before, if that was just now."""
        before, crossed_s = self._crossed.pop((line, person), ("", -math.inf))
        if time_s - crossed_s <= SWAY_S:
            self.figures.crossings[line, before] -= 1
        else:
            self.figures.crossings[line, way] += 1
            self._crossed[line, person] = way, time_s

    def _way(self, line: Line, before: Float64Array, after: Float64Array) -> str | None:
        """Return the direction of a step through a line, or None."""
        start, end = (np.array(point) * self._size for point in (line.start, line.end))
        side = _on_right(start, end, after)
        if _on_right(start, end, before) == side or (
            _on_right(before, after, start) == _on_right(before, after, end)
        ):
            return None
        return "in" if side else "out"


def _on_right(start: Float64Array, end: Float64Array, point: Float64Array) -> bool:
    """Whether a point is on the right of a directed line, in an image whose y points down."""
    (along_x, along_y), (x, y) = (end - start).tolist(), (point - start).tolist()
    return bool(along_x * y - along_y * x >= 0)


def true_tracks(truth: GroundTruth) -> Tracks:
    """Return the tracks of a perfect tracker, which follows hidden people too."""
    count = len(truth)
    return Tracks(
        truth.ids, truth.xyxy, np.ones(count, np.float32), np.zeros(count, np.int64), np.zeros(count, bool)
    )


def blank_frames(info: SourceInfo) -> Iterator[Frame]:
    """Yield frames of a source with an end, not drawn, for what does not look at them."""
    image = np.zeros((1, 1, 3), np.uint8)
    return (Frame(image, index, index / info.frame_rate) for index in range(info.frame_count or 0))


def measure_counting(
    source: Source, detector: Detector | None, frames: Iterable[Frame] | None = None
) -> tuple[Figures, Figures]:
    """Return what is counted on a street with an end, and what is true.

    Without a detector the true boxes are counted, else what the tracker makes of the detections.
    """
    info = source.info
    if not isinstance(source, HasGroundTruth) or info.frame_count is None:
        raise InvalidInputError(
            f"{info.name} has no known walks: give a street with an end, as in synthetic:seed=5,frames=2000"
        )
    counter, true = Counter(CONFIG, info.frame_size), TrueCounts(CONFIG, info.frame_size)
    tracker = Tracker(TrackerConfig(frame_rate=info.frame_rate))
    counted, last_s = Figures(), 0.0
    for frame in blank_frames(info) if frames is None else frames:
        truth = source.truth(frame.index)
        true.update(truth, frame.time_s)
        if detector is None:
            tracks = true_tracks(truth)
        elif (detections := detector.detect(frame)) is None:
            tracks = tracker.predict(frame.time_s)
        else:
            tracks = tracker.update(detections, frame.time_s)
        counter.update(tracks, frame.time_s)
        counted.add_frame(counter.counts)
        last_s = frame.time_s
    # All leave, so that the stays of both have ended.
    true.leave_all(last_s + 1 / info.frame_rate)
    counter.update(true_tracks(NOBODY), last_s + CONFIG.memory_s + 1)
    counted.take_totals(counter.counts)
    return counted, true.figures


@dataclass(frozen=True, slots=True)
class CountingError:
    """Errors over streets: crossings too few and too many; for zones, shares of the truth.

    Errors do not cancel each other between streets, between lines and their directions, or between zones.
    ``seen`` is the error of those who are seen inside, ``inside`` of all, seen or not.
    """

    crossings: int
    missed: int
    invented: int
    seen: float
    inside: float
    entries: float
    dwell: float


def error_of(streets: Sequence[tuple[Figures, Figures]]) -> CountingError:
    """Compare what is counted and what is true, a pair for each street."""
    crossings = [
        (counted.crossings[key], true.crossings[key])
        for counted, true in streets
        for key in counted.crossings.keys() | true.crossings.keys()
    ]
    zones = [(counted.zones[name], zone) for counted, true in streets for name, zone in true.zones.items()]

    def off(figure: Callable[[ZoneFigures], float], weight: Callable[[ZoneFigures], float]) -> float:
        wrong = sum(abs(figure(counted) - figure(true)) * weight(true) for counted, true in zones)
        return wrong / max(1e-9, sum(figure(true) * weight(true) for _, true in zones))

    return CountingError(
        sum(true for _, true in crossings),
        sum(max(0, true - counted) for counted, true in crossings),
        sum(max(0, counted - true) for counted, true in crossings),
        off(lambda zone: zone.seen, lambda zone: 1),
        off(lambda zone: zone.inside, lambda zone: 1),
        off(lambda zone: zone.entries, lambda zone: 1),
        off(lambda zone: zone.mean_dwell_s, lambda zone: zone.stays),
    )


def report(streets: Sequence[tuple[Figures, Figures]]) -> None:
    """Print what is counted beside what is true: sums over the streets, then the errors."""
    print("line          in  true   out  true")
    for line in CONFIG.lines:
        cells = [
            sum(figures.crossings[line.name, way] for figures in both)
            for way in ("in", "out")
            for both in zip(*streets, strict=True)
        ]
        print(f"{line.name:10}" + "".join(f"{cell:6d}" for cell in cells))
    print("zone        seen  true  inside  true  entries  true  stay s  true")
    for zone in CONFIG.zones:
        counted, true = (
            _added([figures.zones[zone.name] for figures in both]) for both in zip(*streets, strict=True)
        )
        print(
            f"{zone.name:10}{counted.seen / counted.frames:6.2f}{true.seen / true.frames:6.2f}"
            f"{counted.inside / counted.frames:8.2f}{true.inside / true.frames:6.2f}"
            f"{counted.entries:9d}{true.entries:6d}{counted.mean_dwell_s:8.2f}{true.mean_dwell_s:6.2f}"
        )
    found = error_of(streets)
    lines = (found.missed + found.invented) / max(1, found.crossings)
    print(
        f"{found.crossings} crossings: {found.missed} too few, {found.invented} too many, {lines:.1%} off; "
        f"zones: seen {found.seen:.1%} off, inside {found.inside:.1%}, entries {found.entries:.1%}, "
        f"stay {found.dwell:.1%}"
    )


def _added(zones: Sequence[ZoneFigures]) -> ZoneFigures:
    """Add up the figures of one zone on several streets."""
    return ZoneFigures(*(sum(column) for column in zip(*map(astuple, zones), strict=True)))


def _measured(
    spec: str, boxes: str, cache: Path | None, model: Path, runtime: str
) -> tuple[Figures, Figures]:
    """Return what is counted on a street, and what is true."""
    with ExitStack() as stack:
        source = stack.enter_context(closing(open_source(spec)))
        if cache is not None:
            cached = CachedDetector(cache, TrackerConfig().lowest_score)
            cached.require_source(source.info.frame_size)
            return measure_counting(source, cached)
        if boxes == "model":
            opened = stack.enter_context(closing(open_runtime(model, runtime)))
            return measure_counting(source, FairMotDetector(opened), source)
        simulated = None
        if boxes == "losses" and isinstance(source, HasGroundTruth):
            simulated = SimulatedDetector(source.truth, source.info.frame_size)
        return measure_counting(source, simulated)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m edge_fairmot.benchmarks.counting_error", description=__doc__
    )
    parser.add_argument("streets", nargs="+", help="as in synthetic:seed=5,frames=2000")
    parser.add_argument("--boxes", choices=BOXES, default="true", help="[default: true]")
    parser.add_argument("--detections", type=Path, nargs="+", default=[], help="one folder for each street")
    parser.add_argument("-m", "--model", type=Path, help="[default: the bundled one]")
    parser.add_argument("--runtime", default="cpu", help="as for track [default: cpu]")
    arguments = parser.parse_args()
    caches: list[Path | None] = [*arguments.detections] or [None] * len(arguments.streets)
    if len(caches) != len(arguments.streets):
        parser.error("give as many folders to --detections as there are streets")
    model = arguments.model or bundled_model()
    try:
        found = [
            _measured(spec, arguments.boxes, cache, model, arguments.runtime)
            for spec, cache in zip(arguments.streets, caches, strict=True)
        ]
    except EdgeFairmotError as error:
        sys.exit(f"error: {error}")
    report(found)


if __name__ == "__main__":
    main()
