"""What is answered at which path: files, tracks, images, status, metrics."""

import json
import re
import sys
import time
from dataclasses import replace
from importlib.resources import files

import cv2
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge_fairmot.counting import CountingConfig, parse_line, parse_zone
from edge_fairmot.errors import InvalidInputError, MissingDependencyError, SinkError
from edge_fairmot.pipeline import RunSummary
from edge_fairmot.protocols import SourceState
from edge_fairmot.service.web import WebConfig, WebSink
from edge_fairmot.types import Frame

from .conftest import NOTHING, Run, tracks_of

DOOR = CountingConfig((parse_line("door:0.5,0,0.5,1"),), (parse_zone("left:0,0;0.5,0;0.5,1;0,1"),))


def metrics_of(run):
    status, headers, body = run.ask("GET", "/metrics")
    assert status == 200
    assert headers["content-type"].startswith("text/plain")
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def read(run, path):
    status, _, body = run.ask("GET", path)
    return status, json.loads(body, parse_constant=pytest.fail)


def test_every_file_of_the_page_is_served_and_loads_nothing_from_elsewhere(page):
    names = {path.name for path in files("edge_fairmot.service.web").joinpath("page").iterdir()}
    for name in names - {"index.html", "mosaic.html", "login.html"}:
        status, headers, body = page.ask("GET", f"/{name}")
        assert status == 200
        assert headers["content-type"].split(";")[0] in ("text/css", "text/javascript", "image/svg+xml")
        used = re.findall(r'from "\./(.+?)"', body.decode()) if name.endswith(".js") else []
        assert names.issuperset(used)
        assert b"//" not in re.sub(rb'"?http://www\.w3\.org/\S+|/\*.*?\*/|// .*', b"", body, flags=re.DOTALL)
    status, _, body = page.ask("GET", "/")
    linked = {link.lstrip("/") for link in re.findall(r'(?:src|href)="(.+?)"', body.decode())}
    assert (status, linked <= {*names, "", "api/snapshot.jpg?boxes"}) == (200, True)


@pytest.mark.parametrize(
    "path",
    [
        *("/page", "/page/index.html", "/index.html", "/login.html", "/api", "/docs"),
        *("/..", "/../web/auth.py", "//etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/page.js/../../auth.py"),
        *("/page.js%00", "/..%5c..%5cetc", "/page.css/..;/"),
    ],
)
def test_nothing_else_is_served(page, path):
    status, headers, body = page.ask("GET", path)
    assert status in (400, 404)
    assert b"root:" not in body
    assert b"secret" not in body
    assert headers["x-content-type-options"] == "nosniff"


def test_tracks_and_counts_are_those_of_the_newest_frame(serve):
    run = serve(counting=DOOR)
    assert run.ask("GET", "/api/tracks")[0] == 503
    assert run.ask("GET", "/api/snapshot.jpg")[0] == 503
    run.show(1, [(4, 200, 80)])
    run.show(2, [(4, 100, 80), (5, 300, 100)])
    status, document = read(run, "/api/tracks")
    assert (status, document["frame"], document["size"]) == (200, 2, [320, 180])
    assert [(track["id"], track["xyxy"]) for track in document["tracks"]] == [
        (4, [92.0, 40.0, 108.0, 80.0]),
        (5, [292.0, 60.0, 308.0, 100.0]),
    ]
    assert document["lines"] == {"door": {"in": 1, "out": 0}}
    assert document["zones"]["left"]["occupancy"] == 1


def test_values_that_are_not_finite_do_not_reach_the_page(serve):
    run = serve()
    run.counter = None
    tracks = tracks_of([(1, 100, 80), (2, 150, 80)])
    tracks.xyxy[0, 2] = np.nan
    run.write(Frame(np.zeros((180, 320, 3), np.uint8), 0, float("nan")), tracks)
    _, document = read(run, "/api/tracks")
    assert ([track["id"] for track in document["tracks"]], document["time_s"]) == ([2], None)


def test_a_snapshot_is_the_newest_image_with_or_without_boxes(serve):
    run = serve(WebConfig(max_width=160))
    run.show(1, shade=30)
    run.show(2, shade=200)
    plain, boxed = (
        cv2.imdecode(
            np.frombuffer(run.ask("GET", f"/api/snapshot.jpg{query}")[2], np.uint8), cv2.IMREAD_COLOR
        )
        for query in ("", "?boxes")
    )
    assert plain.shape == (90, 160, 3)
    assert np.abs(plain.astype(int) - 200).max() <= 2
    assert np.abs(boxed.astype(int) - 200).max() > 50


def test_metrics(serve):
    run = serve(counting=DOOR)
    run.summary = RunSummary(20, 15, 5, 7, 3, 60, 2.0, {"inference": 40.0, "sinks": 0.5})
    run.state = replace(run.state, reconnects=4)
    run.outputs = {
        "recording": {"trouble": "12 MB are free", "missed_frames": 7, "missed_events": 2},
        "mqtt": {"trouble": ""},
    }
    right = [(4, 200, 80), (5, 300, 80)]
    for number, people in ((1, [(4, 200, 80)]), (2, [(4, 100, 80)]), (3, right), (12, right)):
        run.show(number, people)
    found = metrics_of(run)
    expected = {
        ("frames_total",): 20,
        ("frames_dropped_total",): 7,
        ("frames_predicted_total",): 5,
        ("identities_total",): 3,
        ("stage_busy_seconds_total", "inference"): 0.8,
        ("source_up",): 1,
        ("source_reconnects_total",): 4,
        ("viewers",): 0,
        ("people",): 2,
        ("line_crossings_total", "door", "in"): 1,
        ("line_crossings_total", "door", "out"): 1,
        ("zone_entries_total", "left"): 1,
        ("zone_stays_total", "left"): 1,
        ("zone_occupancy", "left"): 0,
        ("zone_unseen", "left"): 0,
        ("zone_dwell_seconds_total", "left"): 0.1,
        ("output_up", "recording"): 0,
        ("output_up", "mqtt"): 1,
        ("output_missed_total", "frames", "recording"): 7,
        ("output_missed_total", "events", "recording"): 2,
    }
    for (name, *labels), value in expected.items():
        assert found[(f"edge_fairmot_{name}", *labels)] == pytest.approx(value), name
    assert 0 <= found["edge_fairmot_frame_age_seconds",] < 60
    assert found["process_resident_memory_bytes",] > 0
    assert read(run, "/api/status")[1]["outputs"] == run.outputs
    assert run.ask("GET", "/healthz")[0] == 200  # a restart would not help an output


def test_a_run_that_sees_too_few_frames_says_so(serve):
    run = serve()
    assert read(run, "/api/status")[1]["too_slow"] == ""
    run.summary = replace(NOTHING, frames=1, dropped=200)
    time.sleep(0.5)
    found = read(run, "/api/status")[1]["too_slow"]
    assert re.fullmatch(
        r"Too slow to count: [012](\.\d)? of \d+ frames/s; try --runtime openvino or .*", found
    )
    run.state = SourceState("lost", time.monotonic())
    assert read(run, "/api/status")[1]["too_slow"] == ""
    run.state = SourceState("running", time.monotonic())
    run.summary = replace(NOTHING, frames=1_000_000, dropped=2_000_000)  # drops alone do not harm
    assert read(run, "/api/status")[1]["too_slow"] == ""


def test_a_run_without_frames_is_not_healthy(serve):
    run = serve()
    run.state = SourceState("running", time.monotonic() - 3600)
    assert read(run, "/healthz") == (503, {"healthy": False, "source": "stalled"})
    run.show(1)
    assert read(run, "/healthz") == (200, {"healthy": True, "source": "running"})
    for status in ("starting", "lost", "ended"):
        run.state = SourceState(status, time.monotonic())
        assert read(run, "/healthz") == (503, {"healthy": False, "source": status})


def test_credentials_in_addresses_are_not_shown(serve):
    run = serve(source="rtsp://admin:hunter2@camera/stream?pwd=hunter2")
    run.state = SourceState(
        "lost", time.monotonic(), 2, "no answer from rtsp://admin:hunter2@camera/stream: try"
    )
    run.outputs = {"mqtt": {"trouble": "mqtt://me:hunter2@broker is away"}}
    run.show(1)
    for path in ("/api/status", "/metrics", "/healthz", "/api/tracks", "/api/counting"):
        assert b"hunter2" not in run.ask("GET", path)[2]
    source = read(run, "/api/status")[1]["source"]
    assert source["name"] == "rtsp://***@camera/stream?***"
    assert source["message"] == "no answer from rtsp://***@camera/stream: try"
    assert source["reconnects"] == 2


def test_without_a_counter_nothing_can_be_drawn():
    state = SourceState("running", time.monotonic())
    with WebSink(WebConfig(port=0), lambda: NOTHING, lambda: state) as web:
        run = Run(NOTHING, state, None, web)
        run.write(Frame(np.zeros((90, 160, 3), np.uint8), 0, 0.0), tracks_of([(1, 20, 60)]))
        assert run.ask("GET", "/api/counting")[0] == 404
        assert run.ask("PUT", "/api/counting", "{}", content_type="application/json")[0] == 404
        assert read(run, "/api/status")[1]["counting"] is None
        assert read(run, "/api/tracks")[1]["lines"] == {}
        assert ("edge_fairmot_people",) in metrics_of(run)


@pytest.mark.parametrize("package", ["starlette", "uvicorn", "websockets", "prometheus_client"])
def test_a_missing_package_is_told_with_its_pip_line(monkeypatch, package):
    for name in list(sys.modules):
        if name.split(".")[0] == package or name.startswith(("edge_fairmot.service.web.", "uvicorn")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=rf"^{package} is needed .*edge-fairmot\[web\]"):
        WebSink(WebConfig(port=0), lambda: None, lambda: None)


@pytest.mark.parametrize(
    "setting", [{"host": ""}, {"port": 70_000}, {"port": -1}, {"quality": 0}, {"max_width": 8}]
)
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(InvalidInputError, match=f"^{next(iter(setting))} must"):
        WebConfig(**setting)


def test_a_port_is_told_while_it_is_in_use_and_free_after_close(serve):
    run = serve()
    run.show(1)
    port = run.port
    with pytest.raises(SinkError, match=r"port \d+: another program uses it.* choose another port") as raised:
        WebSink(WebConfig(port=port), lambda: NOTHING, lambda: run.state)
    assert "\n" not in str(raised.value)
    run.web.close()
    run.web.close()
    with pytest.raises(ConnectionRefusedError):
        run.ask("GET", "/healthz")
    for _ in range(2):  # also without a start
        WebSink(WebConfig(port=port), lambda: NOTHING, lambda: run.state).close()


@pytest.mark.parametrize(
    ("host", "reason"), [("203.0.113.7", "no such address"), ("no-such-host.invalid", "check host")]
)
def test_a_host_that_is_not_here_is_told(host, reason):
    with pytest.raises(SinkError, match=reason):
        WebSink(WebConfig(host=host, port=0), lambda: None, lambda: None)
