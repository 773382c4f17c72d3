from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.sinks import Annotator
from edge_fairmot.sinks.drawing import LINE_COLOR, ZONE_COLOR, id_color
from edge_fairmot.types import Counts, LineCounts, Tracks, ZoneCounts

GREY = 60
PAPER = np.full((240, 320, 3), GREY, np.uint8)


def changed(image: np.ndarray) -> np.ndarray:
    return (image != GREY).any(axis=2)


def near(image: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    return np.abs(image.astype(int) - color).max(axis=2) < 40


def test_the_picture_given_is_not_changed(make_tracks: Callable[..., Tracks]) -> None:
    image = PAPER.copy()
    image.flags.writeable = False
    drawn = Annotator().draw(image, make_tracks([(1, 50, 60, 100, 200)]))
    assert drawn.shape == image.shape
    assert (image == GREY).all()
    assert changed(drawn).any()
    empty = Annotator().draw(image, make_tracks([]))
    assert not np.shares_memory(empty, image)


def test_a_box_is_drawn_where_it_is_in_the_colour_of_its_id(make_tracks: Callable[..., Tracks]) -> None:
    drawn = Annotator(0).draw(PAPER, make_tracks([(5, 50, 60, 100, 200)]))
    ys, xs = np.nonzero(near(drawn, id_color(5)))
    assert (xs.min(), xs.max()) == (50, 100)
    assert ys.max() == 200
    for x, y in [(50, 150), (100, 150), (75, 200), (75, 60)]:
        assert near(drawn, id_color(5))[y, x]
    assert not changed(drawn)[100:190, 60:90].any()


def test_a_label_stays_inside_the_picture_and_is_readable(make_tracks: Callable[..., Tracks]) -> None:
    for box in [(-20, -30, 60, 90), (280, -30, 400, 90), (-20, 200, 60, 400), (290, 210, 330, 300)]:
        drawn = Annotator(0).draw(PAPER, make_tracks([(1234, *box)]))
        tag = near(drawn, id_color(1234)).sum()
        assert tag > 150
        red_green_blue = drawn[changed(drawn)].astype(int)
        ink = (red_green_blue.max(axis=1) < 90) | (red_green_blue.min(axis=1) > 200)
        assert ink.sum() > 20


def test_a_label_begins_with_the_class_where_there_are_several(make_tracks: Callable[..., Tracks]) -> None:
    tracks = make_tracks([(7, 50, 60, 100, 200)])

    def label_width(*class_names: str) -> int:
        return int(changed(Annotator(0).draw(PAPER, tracks, class_names=class_names))[52].sum())

    assert label_width("bicycle") == label_width()
    assert label_width("bicycle", "car") > label_width("car", "bicycle") > label_width()


def test_a_predicted_box_is_dashed(make_tracks: Callable[..., Tracks]) -> None:
    sides = []
    for predicted in (False, True):
        drawn = Annotator(0).draw(PAPER, make_tracks([(1, 50, 60, 150, 200)], predicted=predicted))
        sides.append(changed(drawn)[100:190, 149:152].any(axis=1))
    assert sides[0].all()
    assert 0.3 < sides[1].mean() < 0.8
    assert np.abs(np.diff(sides[1].astype(int))).sum() > 6


def test_ids_have_colours_of_their_own_that_stay() -> None:
    colors = [id_color(track_id) for track_id in range(1, 60)]
    assert len(set(colors)) == len(colors)
    assert colors == [id_color(track_id) for track_id in range(1, 60)]
    distances = [np.abs(np.subtract(a, b)).max() for a, b in itertools.pairwise(colors)]
    assert min(distances) > 60


@pytest.mark.parametrize("track_id", range(1, 40))
def test_the_ink_of_a_label_stands_out_from_its_tag(
    track_id: int, make_tracks: Callable[..., Tracks]
) -> None:
    drawn = Annotator(0).draw(PAPER, make_tracks([(track_id, 50, 60, 100, 200)]))
    luma = drawn[47:58, 51:62] @ np.array([0.114, 0.587, 0.299])
    assert np.abs(luma - np.array([0.114, 0.587, 0.299]) @ id_color(track_id)).max() > 100


def test_a_trail_follows_fades_and_is_forgotten(make_tracks: Callable[..., Tracks]) -> None:
    annotator = Annotator(trail_length=10)
    for step in range(8):
        drawn = annotator.draw(PAPER, make_tracks([(1, 40 + 20 * step, 20, 60 + 20 * step, 200)]))
    strength = np.abs(drawn[190:211].astype(int) - GREY).max(axis=(0, 2))
    assert strength[70] > 0
    assert strength[70] < strength[130]
    for _ in range(5):
        drawn = annotator.draw(PAPER, make_tracks([]))
    assert changed(drawn).any()
    for _ in range(5):
        drawn = annotator.draw(PAPER, make_tracks([]))
    assert not changed(drawn).any()


@pytest.mark.parametrize(("absence", "bridged"), [(3, True), (15, False)])
def test_a_trail_bridges_a_short_absence_only(
    absence: int, bridged: bool, make_tracks: Callable[..., Tracks]
) -> None:
    annotator = Annotator(trail_length=40)
    annotator.draw(PAPER, make_tracks([(1, 10, 20, 30, 200)]))
    for _ in range(absence):
        annotator.draw(PAPER, make_tracks([]))
    for _ in range(3):
        drawn = annotator.draw(PAPER, make_tracks([(1, 250, 20, 270, 200)]))
    assert changed(drawn)[195:205, 60:120].any() == bridged


def test_no_trails_are_drawn_where_none_are_asked_for(make_tracks: Callable[..., Tracks]) -> None:
    annotator = Annotator(trail_length=0)
    annotator.draw(PAPER, make_tracks([(1, 10, 20, 60, 200)]))
    drawn = annotator.draw(PAPER, make_tracks([(1, 200, 20, 260, 200)]))
    assert not changed(drawn)[:, :150].any()
    with pytest.raises(InvalidInputError, match="trail_length must be 0 or more"):
        Annotator(trail_length=-1)


def test_what_is_remembered_is_bounded(make_tracks: Callable[..., Tracks]) -> None:
    annotator = Annotator(trail_length=5)
    image = np.zeros((48, 64, 3), np.uint8)

    def draw_many(first_id: int) -> None:
        for step in range(300):
            annotator.draw(image, make_tracks([(first_id + step, step % 50, 5, step % 50 + 9, 30)]))

    draw_many(1)
    tracemalloc.start()
    draw_many(1000)
    for step in range(1000):
        annotator.draw(image, make_tracks([(1, step * 7 % 50, 5, step * 7 % 50 + 9, 30)]))
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 20_000


@pytest.mark.parametrize(
    "row",
    [
        (1, np.nan, 0, 5, 5),
        (1, 0, 0, np.inf, 5),
        (1, -1e9, -1e9, 1e9, 1e9),
        (1, 1e9, 1e9, 2e9, 2e9),
        (1, 30, 30, 30, 30),
        (1, 40, 40, 20, 20),
        (2**60, -500, -500, 10, 10),
    ],
)
@pytest.mark.parametrize("predicted", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (3, 200), (64, 48)])
def test_no_box_and_no_picture_is_too_odd_to_draw(
    row: tuple[float, ...], predicted: bool, size: tuple[int, int], make_tracks: Callable[..., Tracks]
) -> None:
    annotator = Annotator()
    image = np.zeros((size[1], size[0], 3), np.uint8)
    for _ in range(3):
        tracks = make_tracks([row, (3, 2, 2, 20, 30)], predicted=predicted)
        assert annotator.draw(image, tracks).shape == image.shape


def test_lines_and_labels_grow_with_the_frame(make_tracks: Callable[..., Tracks]) -> None:
    widths = []
    for scale in (1, 3):
        image = np.full((360 * scale, 640 * scale, 3), GREY, np.uint8)
        box = (1, 100 * scale, 100 * scale, 200 * scale, 300 * scale)
        drawn = Annotator(0).draw(image, make_tracks([box]))
        widths.append(int(changed(drawn)[250 * scale, : 150 * scale].sum()))
    assert widths[1] >= 2 * widths[0]


def test_counts_are_drawn_where_their_shapes_are(make_tracks: Callable[..., Tracks]) -> None:
    line = LineCounts("door", (0.5, 0.2), (0.5, 0.9), 3, 4)
    zone = ZoneCounts("hall", ((0.7, 0.5), (0.95, 0.5), (0.95, 0.9)), occupancy=2)
    drawn = Annotator(0).draw(PAPER, make_tracks([]), Counts({"door": line}, {"hall": zone}))
    assert near(drawn, LINE_COLOR)[100:200, 158:163].any(axis=1).all()
    assert near(drawn, ZONE_COLOR)[120, 230:300].all()
    assert changed(drawn)[130, 290]  # inside of the zone
    assert not changed(drawn)[200:, :100].any()
