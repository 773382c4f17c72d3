"""Ignored zones: who stands in one takes no part, before ids are spent."""

import numpy as np
import pytest

from edge_fairmot import Detections, Frame, Pipeline, Tracker
from edge_fairmot.counting import CountingConfig, IgnoredZones, parse_counting, parse_zone
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.protocols import SourceInfo

SIZE = (200, 100)
RIGHT = parse_zone("mirror:0.5,0;1,0;1,1;0.5,1")


def people(*places: tuple[float, float]) -> Detections:
    """People 10 x 20 who stand at these places, source pixels."""
    feet = np.array(places, np.float32).reshape(-1, 2)
    boxes = np.hstack((feet - np.array((5, 20)), feet + np.array((5, 0)))).astype(np.float32)
    return Detections(boxes, np.ones(len(feet), np.float32), np.eye(len(feet), 8, dtype=np.float32))


@pytest.mark.parametrize(
    ("zones", "kept"),
    [
        ([], [20, 99, 101, 180]),
        ([RIGHT], [20, 99]),
        ([RIGHT, parse_zone("corner:0,0;0.2,0;0.2,1;0,1")], [99]),
        ([parse_zone("notch:0,0;1,0;1,1;0.85,1;0.85,0.2;0,0.2")], [20, 99, 101]),  # not convex
    ],
)
def test_who_stands_in_a_zone_is_left_out(zones, kept):
    found = IgnoredZones(zones).apply(people(*((x, 60) for x in (20, 99, 101, 180))), SIZE)
    assert ((found.xyxy[:, 0] + found.xyxy[:, 2]) / 2).tolist() == kept


def test_feet_count_not_the_middle_and_feet_below_the_image_are_on_its_edge():
    below = IgnoredZones([parse_zone("floor:0,0.9;1,0.9;1,1;0,1")])
    assert len(below.apply(people((50, 89), (50, 91), (50, 130)), SIZE)) == 1


class Walkers:
    """One person at the left; one at the right, whose place is ignored for a while."""

    def __init__(self) -> None:
        self.info = SourceInfo("walkers", SIZE, 10.0, 12)

    def __iter__(self):
        for index in range(12):
            yield Frame(np.zeros((100, 200, 3), np.uint8), index, index / 10)

    def close(self) -> None:
        pass

    def detect(self, frame: Frame) -> Detections:
        return people((30, 60), (150, 60))


def test_an_ignored_person_spends_no_id_and_is_tracked_when_the_zone_goes():
    ignored, cached, shown = IgnoredZones([RIGHT]), [], []
    walkers = Walkers()
    pipeline = Pipeline(
        walkers, walkers, Tracker(), ignored=ignored, on_detections=lambda _, found: cached.append(len(found))
    )
    for result in pipeline:
        shown.append(result.tracks.track_id.tolist())
        if result.frame.index == 5:
            ignored.redraw(())
    assert shown == [[1]] * 7 + [[1, 2]] * 5
    assert cached == [2] * 12  # a cache can be tracked again with other zones
    assert pipeline.summary().detections == 6 + 2 * 6


def test_ignored_zones_are_read_from_a_document():
    polygon = [[0.5, 0], [1, 0], [1, 1], [0.5, 1]]
    read = parse_counting({"ignore": [{"name": "mirror", "polygon": polygon}]})
    assert read == CountingConfig(ignore=(RIGHT,))
    with pytest.raises(InvalidInputError, match="two ignored zones are called 'mirror'"):
        CountingConfig(ignore=(RIGHT, RIGHT))
