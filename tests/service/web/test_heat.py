"""The heat map: where feet were and for how long, in the answer and over the image."""

import json

import numpy as np
import pytest

from edge_fairmot.service.web import WebConfig
from edge_fairmot.service.web.heat import COLUMNS, HALF_LIFE_S, ROWS, HeatMap
from edge_fairmot.types import Frame, FrameResult

from .browser import open_live
from .conftest import SIZE, tracks_of

IMAGE = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)


def add(heat, time_s, *people):
    heat.add(FrameResult(Frame(IMAGE, 0, time_s), tracks_of([(1, *place) for place in people])))


def grid(heat):
    document = heat.document()
    cells = np.array(document["cells"], float).reshape(ROWS, COLUMNS)
    return cells * document["warmest_person_s"] / 255


def test_a_cell_has_the_seconds_that_people_stood_there():
    heat = HeatMap()
    assert not grid(heat).any()
    for tenth in range(31):  # three seconds; one stands there twice as long
        places = [(100, 80), (310, 180)] if tenth > 15 else [(100, 80)]
        add(heat, tenth / 10, *places)
    found = grid(heat)
    assert np.argwhere(found).tolist() == [[16, 20], [35, 62]]
    assert found[16, 20] == pytest.approx(3.0, abs=0.1)
    assert found[35, 62] == pytest.approx(1.5, abs=0.1)


def test_warmth_fades_and_a_gap_adds_no_time():
    heat = HeatMap()
    for second in range(11):
        add(heat, float(second), (100, 80))
    add(heat, 10 + HALF_LIFE_S, (100, 80))
    assert grid(heat)[16, 20] == pytest.approx(10 / 2 + 1, abs=0.1)
    add(heat, 5.0, (100, 80))  # a clock that went back
    add(heat, 6.0, (100, 80))
    assert grid(heat)[16, 20] == pytest.approx(7.0, abs=0.1)


def test_who_is_guessed_or_not_finite_is_left_out():
    heat = HeatMap()
    tracks = tracks_of([(1, 100, 80), (2, 200, 80), (3, 300, 80)])
    tracks.predicted[0] = True
    tracks.xyxy[1, 0] = np.nan
    for second in range(3):
        heat.add(FrameResult(Frame(IMAGE, 0, float(second)), tracks))
    assert np.argwhere(grid(heat)).tolist() == [[16, 60]]


def test_it_is_off_unless_it_is_asked_for(page):
    status, _, body = page.ask("GET", "/api/heat")
    assert (status, b"web.heat_map=true" in body) == (404, True)
    assert json.loads(page.ask("GET", "/api/status")[2])["heat_map"] is False


def test_it_is_shown_over_the_image(serve, browse):
    run = serve(WebConfig(heat_map=True))
    for number in range(1, 12):
        run.show(number)
    red = "document.querySelector('#heat').getContext('2d').getImageData(20, 16, 1, 1).data[3]"
    with open_live(browse, run) as tab:
        tab.wait("!document.querySelector('#heat-choice').hidden")
        assert tab.run("document.querySelector('#heat').hidden")
        tab.press("#show-heat")
        tab.wait("document.querySelector('#heat').dataset.warmest > 0")
        assert tab.run(red) == 210
        assert tab.run(red.replace("20, 16", "40, 16")) == 0
        tab.press("#show-heat")
        tab.wait("document.querySelector('#heat').hidden")
        assert tab.console == []
