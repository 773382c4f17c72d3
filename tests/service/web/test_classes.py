"""A run of several classes on its page: names, counts by class, and lines that count some of them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from edge_fairmot.counting import CountingConfig, parse_line, parse_zone
from edge_fairmot.types import Frame

from .browser import opened_browser, wait_until
from .conftest import SIZE, tracks_of
from .test_site import metrics_of, read

COUNTED = CountingConfig((parse_line("door:0.5,0,0.5,1"),), (parse_zone("left:0,0;0.5,0;0.5,1;0,1"),))
CARS = {"name": "cars", "start": [0.5, 0.0], "end": [0.5, 1.0], "classes": ["car"]}


@pytest.fixture
def run(serve):
    """A page on which two cars and a bus drive to the left, and a person stays."""
    made = serve(counting=COUNTED, class_names=("car", "bus", "person"))
    drive(made)
    return made


def drive(run, start=0):
    for index in range(start, start + 20):
        x = 300 - 14 * (index - start)
        tracks = tracks_of([(1, x, 60), (2, x, 90), (3, x, 120), (4, 280, 150)])
        image = np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)
        run.write(Frame(image, index, index / 10), replace(tracks, class_id=np.int64([0, 0, 1, 2])))


def put(run, **document):
    body = json.dumps({"revision": run.revision, "line": [], "zone": [], **document})
    status, _, answer = run.ask("PUT", "/api/counting", body, content_type="application/json")
    return status, json.loads(answer)


def test_tracks_and_metrics_say_the_class(run):
    _, document = read(run, "/api/tracks")
    assert document["class_names"] == ["car", "bus", "person"]
    assert [track["class_id"] for track in document["tracks"]] == [0, 0, 1, 2]
    assert document["lines"]["door"]["classes"]["car"] == {"in": 2, "out": 0}
    found = metrics_of(run)
    assert found["edge_fairmot_tracks", "car"] == 2
    assert found["edge_fairmot_line_crossings_total", "bus", "door", "in"] == 1
    assert found["edge_fairmot_line_crossings_total", "door", "in", "person"] == 0
    assert found["edge_fairmot_zone_occupancy", "car", "left"] == 2
    assert sum(value for key, value in found.items() if "line_crossings_total" in key[0]) == 3


def test_a_line_keeps_its_classes_and_a_class_that_is_not_there_is_refused(run, state):
    status, answer = put(run, line=[CARS])
    assert (status, answer["line"]) == (200, [CARS])
    drive(run, 20)
    assert read(run, "/api/tracks")[1]["lines"]["cars"] == {
        "in": 2,
        "out": 0,
        "classes": {"car": {"in": 2, "out": 0}},
    }
    status, answer = put(run, line=[{**CARS, "classes": ["lorry"]}])
    assert status == 422
    assert "'lorry', which the model does not have: use 'car', 'bus', 'person'" in answer["error"]
    assert json.loads((state / "drawing.json").read_text())["street"]["line"] == [CARS]


def test_the_page_shows_and_changes_classes(run):
    with (
        opened_browser() as open_tab,
        open_tab(run.web.login_address) as tab,
    ):
        text = "document.querySelector('{}').textContent"
        tab.wait(text.format("#in-view") + " === 'car 2 · bus 1 · person 1'")
        assert tab.run(text.format("#people-title")) == "In view now"
        assert "car 2/0 · bus 1/0" in tab.run(text.format("#counts"))
        field = "document.querySelector('#counts input.classes')"
        enter = f"{field}.value = '{{}}'; {field}.dispatchEvent(new Event('change'))"
        tab.run(enter.format("car"))
        wait_until(lambda: read(run, "/api/counting")[1]["line"][0].get("classes") == ["car"])
        tab.run(enter.format("lorry"))
        tab.wait(text.format("#toast") + ".includes(\"'lorry', which the model does not have\")")
        tab.wait(f"{field}.value === 'car'")
        (refused,) = tab.console  # nothing else went wrong
        assert "422" in refused
