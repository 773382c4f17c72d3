"""The pages of several cameras: totals, metrics with their names, one page each, and a browser that looks."""

import json
import time
from contextlib import contextmanager
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge_fairmot.counting import Counter, CountingConfig, parse_line, parse_zone
from edge_fairmot.pipeline import RunSummary
from edge_fairmot.protocols import SourceState
from edge_fairmot.service import slug
from edge_fairmot.service.history import History, HistoryStore
from edge_fairmot.service.history.store import Batch, Event, Shape
from edge_fairmot.service.run import RunView
from edge_fairmot.service.web import CameraHistory, CameraPage, WebConfig, WebMosaic
from edge_fairmot.service.web.drawing import saved_drawing

from .browser import Tab, opened_browser
from .conftest import NOTHING, SIZE, Run

ODD = "Tür 2/../\"x'"
NAMES = ("door", ODD)
DOOR = CountingConfig((parse_line("gate:0.5,0,0.5,1"),), (parse_zone("left:0,0;0.5,0;0.5,1;0,1"),))


class Feeding(Run):
    """One camera of the mosaic."""

    def write(self, frame, tracks):
        mosaic, self.web = self.web, self.web.feeds[self.name]
        try:
            super().write(frame, tracks)
        finally:
            self.web = mosaic


@contextmanager
def shown(config=None, counting=DOOR, history=None):
    runs = []
    for name in NAMES:
        run = Feeding(NOTHING, SourceState("running", time.monotonic()), Counter(counting, SIZE), None)
        run.name = name
        runs.append(run)
    pages = [
        CameraPage(
            run.name,
            "rtsp://admin:hunter2@camera/stream",
            RunView(lambda run=run: run.summary, lambda run=run: run.state, lambda run=run: run.outputs),
            run.counter,
            history=None if history is None else CameraHistory(history, run.name),
        )
        for run in runs
    ]
    with WebMosaic(replace(config or WebConfig(), port=0), pages) as web:
        for run in runs:
            run.web = web
        web.start()
        yield runs


@pytest.fixture
def cameras():
    with shown() as runs:
        yield runs


def read(run, path):
    status, _, body = run.ask("GET", path)
    return status, json.loads(body, parse_constant=pytest.fail)


def address_of(name):
    return f"/camera/{slug(name)}/"


def test_totals_are_those_of_all_cameras_that_run(cameras):
    door, odd = cameras
    door.summary = RunSummary(20, 15, 5, 7, 3, 60, 2.0, {"inference": 40.0})
    odd.summary = RunSummary(10, 10, 0, 1, 2, 30, 2.0, {"inference": 40.0})
    for run in cameras:
        run.show(1, [(4, 200, 80)])
        run.show(2, [(4, 100, 80), (5, 300, 100)])
    odd.state = replace(odd.state, status="lost", message="unplugged")
    status, document = read(door, "/api/status")
    assert status == 200
    expected = {"cameras": 2, "running": 1, "people": 2, "identities": 5, "frames": 30, "dropped": 8}
    assert document["totals"].items() >= (expected | {"in": 2, "out": 0, "occupancy": 2}).items()
    assert [(one["camera"], one["path"], one["people"]) for one in document["cameras"]] == [
        ("door", "camera/door/", 2),
        (ODD, f"camera/{slug(ODD)}/", None),
    ]
    assert "hunter2" not in json.dumps(document)


def test_each_camera_has_its_page_and_its_own_figures(cameras):
    for number, run in enumerate(cameras, 3):
        run.show(number, [(number, 100, 80)])
    for number, run in enumerate(cameras, 3):
        path = address_of(run.name)
        assert run.ask("GET", path)[0] == 200
        assert b"editor" in run.ask("GET", f"{path}page.js")[2]
        status, document = read(run, f"{path}api/status")
        assert (status, document["camera"]) == (200, run.name)
        assert [track["id"] for track in read(run, f"{path}api/tracks")[1]["tracks"]] == [number]
        assert run.ask("GET", f"{path}api/snapshot.jpg?boxes")[0] == 200
    assert cameras[0].ask("GET", "/camera/other/")[0] == 404
    assert cameras[0].ask("GET", "/api/tracks")[0] == 404


def test_every_page_needs_the_token_and_says_so(cameras):
    (door, _) = cameras
    for path in ("/", "/camera/door/"):
        status, _, body = door.ask("GET", path, login=False)
        assert (status, b"This page needs its token" in body) == (401, True)
    for path in ("/metrics", "/api/status", "/camera/door/api/status", "/camera/door/api/snapshot.jpg"):
        status, _, body = door.ask("GET", path, login=False)
        assert (status, b"door" in body) == (401, False)
    assert json.loads(door.ask("GET", "/healthz", login=False)[2]).keys() == {"healthy", "running", "cameras"}


def test_metrics_have_the_camera_as_a_label_and_each_family_once(cameras):
    door, odd = cameras
    door.summary = RunSummary(20, 15, 5, 7, 3, 60, 2.0, {"inference": 40.0})
    odd.summary = RunSummary(10, 10, 0, 1, 2, 30, 2.0, {"inference": 40.0})
    door.show(1, [(4, 200, 80)])
    text = door.ask("GET", "/metrics")[2].decode()
    families = list(text_string_to_metric_families(text))
    assert len({one.name for one in families}) == len(families)
    found = {
        (sample.name, sample.labels.get("camera")): sample.value
        for family in families
        for sample in family.samples
    }
    assert found["edge_fairmot_frames_total", "door"] == 20
    assert found["edge_fairmot_frames_dropped_total", ODD] == 1
    assert found["edge_fairmot_people", "door"] == 1
    assert ("edge_fairmot_people", ODD) not in found  # no frame yet
    assert found["process_open_fds", None] > 0


def test_one_camera_that_is_away_is_no_ill_run(cameras):
    door, odd = cameras
    odd.state = replace(odd.state, status="lost")
    assert read(door, "/healthz") == (200, {"healthy": True, "running": 1, "cameras": 2})
    door.state = replace(door.state, status="stalled")
    assert read(door, "/healthz") == (503, {"healthy": False, "running": 0, "cameras": 2})


def test_what_is_drawn_belongs_to_its_camera_though_their_sources_look_alike(cameras, state):
    door, odd = cameras
    drawing = {"revision": 1, "line": [{"name": "new", "start": [0, 0.5], "end": [1, 0.5]}], "zone": []}
    body = json.dumps(drawing).encode()
    answer = odd.ask("PUT", f"{address_of(ODD)}api/counting", body, content_type="application/json")
    assert answer[0] == 200
    for run in (door, odd):
        run.show(1)
    assert list(odd.counter.counts.lines) == ["new"]
    assert list(door.counter.counts.lines) == ["gate"]
    assert saved_drawing(WebConfig(), "door") is None
    kept = saved_drawing(WebConfig(), ODD)
    assert kept is not None
    assert [line.name for line in kept.lines] == ["new"]


def test_a_browser_sees_all_cameras_and_opens_one():
    with shown(WebConfig(open_access=True)) as runs, opened_browser() as browser:
        door, odd = runs
        for run in runs:
            run.show(1, [(4, 200, 80)])
        with browser(door.web.address) as tab:
            watch(tab, runs)
            assert tab.faults() == []
            tab.press("a.tile:nth-child(2)")
            tab.wait(f"document.querySelector('#source')?.textContent === {json.dumps(ODD)}")
            odd.show(9, [(4, 100, 80)])
            tab.wait("document.querySelector('#frame').dataset.frame === '9'")
            assert tab.run("location.pathname") == address_of(ODD)
            assert tab.run("document.querySelector('#all').hidden") is False
            tab.press("#all")
            tab.wait("document.querySelectorAll('a.tile').length === 2")
            assert tab.console == []


def watch(tab: Tab, runs):
    """Each tile draws the frames of its camera, and tells its state."""
    tab.wait("document.querySelectorAll('a.tile').length === 2")
    for number in (2, 3):
        for place, run in enumerate(runs, 1):
            run.show(number + place, [(4, 100, 80)])
        for place in (1, 2):
            canvas = f"document.querySelector('a.tile:nth-child({place}) canvas')"
            tab.wait(f"{canvas}.dataset.frame === '{number + place}'")
    tab.wait("document.querySelector('#people').textContent === '2'")
    assert tab.run("[...document.querySelectorAll('.tile .name')].map((one) => one.textContent)") == [*NAMES]
    assert tab.run("document.querySelector('#source').textContent") == "2 of 2 cameras running"


def test_a_camera_is_chosen_for_its_counts_over_time_and_for_its_page(tmp_path, browse):
    store = HistoryStore(tmp_path / "history.db")
    gate = Shape("line", "gate", "gate", ((0.5, 0.0), (0.5, 1.0)))
    for count, name in enumerate(NAMES, 1):
        camera, now = store.camera(name), time.time_ns() // 1000
        store.begin(camera, (gate,), now)
        events = [Event(now + one, ("line", "gate"), "person", 0, one, None) for one in range(count)]
        store.write(camera, Batch(events=events))
    since = "document.querySelector('#over-time .since').textContent"
    with shown(history=History(store.path)) as runs, browse(runs[0].web.login_address) as tab:
        tab.wait("document.querySelector('#over-time').dataset.shown")
        assert "1 in, 0 out" in tab.run(since)
        tab.page.get_by_label("Camera", exact=True).select_option(label=ODD)
        tab.wait(f"{since}.includes('2 in, 0 out')")
        for run in runs:
            run.show(1)
        tab.open(runs[0].web.address.rstrip("/") + address_of(NAMES[0]))
        tab.wait("!document.querySelector('#cameras').hidden")
        tab.page.get_by_label("Camera", exact=True).select_option(label=ODD)
        tab.page.wait_for_url(f"**{address_of(ODD)}")
        tab.wait("document.querySelector('#over-time')?.dataset.shown")
        assert "2 in, 0 out" in tab.run(since)
        assert tab.console == []
    store.close()
