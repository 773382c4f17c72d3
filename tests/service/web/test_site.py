"""What is answered at which address."""

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

from .conftest import Run, tracks_of

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


def test_every_file_of_the_page_is_served_and_nothing_else_is_needed(serve):
    run = serve()
    names = {path.name for path in files("edge_fairmot.service.web").joinpath("page").iterdir()}
    for name in names - {"index.html", "enter.html"}:
        status, headers, body = run.ask("GET", f"/{name}")
        assert status == 200
        assert headers["content-type"].split(";")[0] in ("text/css", "text/javascript", "image/svg+xml")
        used = re.findall(r'from "\./(.+?)"', body.decode()) if name.endswith(".js") else []
        assert names.issuperset(used)
        assert b"//" not in re.sub(rb'"?http://www\.w3\.org/\S+|/\*.*?\*/|// .*', b"", body, flags=re.DOTALL)
    status, _, page = run.ask("GET", "/")
    assert status == 200
    assert {link[1:] for link in re.findall(r'(?:src|href)="(.+?)"', page.decode())} <= {
        *names,
        "api/snapshot.jpg?boxes",
    }


@pytest.mark.parametrize(
    "path",
    [
        *("/page", "/page/", "/page/index.html", "/index.html", "/enter.html", "/api", "/docs"),
        *("/..", "/../web/token.py", "//etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/page.js/../../token.py"),
        *("/page.js%00", "/..%5c..%5cetc", "/static/../../../etc/passwd", "/page.css/..;/"),
    ],
)  # fmt: skip
def test_nothing_else_is_there(open_page, path):
    status, headers, body = open_page.ask("GET", path)
    assert status in (400, 404)
    assert b"root:" not in body
    assert b"secret" not in body
    assert headers["x-content-type-options"] == "nosniff"


def test_tracks_are_those_of_the_newest_frame(serve):
    run = serve(counting=DOOR)
    assert run.ask("GET", "/api/tracks")[0] == 503
    assert run.ask("GET", "/api/snapshot.jpg")[0] == 503
    run.show(1, [(4, 200, 80)])
    run.show(2, [(4, 100, 80), (5, 300, 100)])
    status, _, body = run.ask("GET", "/api/tracks")
    assert status == 200
    document = json.loads(body)
    assert document["frame"] == 2
    assert document["size"] == [320, 180]
    assert [(track["id"], track["xyxy"]) for track in document["tracks"]] == [
        (4, [92.0, 40.0, 108.0, 80.0]),
        (5, [292.0, 60.0, 308.0, 100.0]),
    ]
    assert document["lines"] == {"door": {"in": 1, "out": 0}}
    assert document["zones"]["left"]["occupancy"] == 1


def test_what_is_not_finite_does_not_reach_the_page(serve):
    run = serve()
    tracks = tracks_of([(1, 100, 80), (2, 150, 80)])
    tracks.xyxy[0, 2] = np.nan
    run.web.write(Frame(np.zeros((180, 320, 3), np.uint8), 0, float("nan")), tracks)
    document = json.loads(run.ask("GET", "/api/tracks")[2], parse_constant=pytest.fail)
    assert [track["id"] for track in document["tracks"]] == [2]
    assert document["time_s"] is None


def test_a_snapshot_is_the_newest_picture_with_boxes_where_asked_for(serve):
    run = serve(WebConfig(widest=160))
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


def test_figures_for_prometheus(serve):
    run = serve(counting=DOOR)
    run.summary = RunSummary(20, 15, 5, 7, 3, 60, 2.0, {"inference": 40.0, "sinks": 0.5})
    run.state = replace(run.state, reconnects=4)
    run.show(1, [(4, 200, 80)])
    run.show(2, [(4, 100, 80)])
    run.show(3, [(4, 200, 80), (5, 300, 80)])
    found = metrics_of(run)
    assert found["edge_fairmot_frames_total",] == 20
    assert found["edge_fairmot_frames_dropped_total",] == 7
    assert found["edge_fairmot_frames_predicted_total",] == 5
    assert found["edge_fairmot_stage_busy_seconds_total", "inference"] == pytest.approx(0.8)
    assert found["edge_fairmot_source_up",] == 1
    assert found["edge_fairmot_source_reconnects_total",] == 4
    assert found["edge_fairmot_people",] == 2
    assert found["edge_fairmot_line_crossings_total", "door", "in"] == 1
    assert found["edge_fairmot_line_crossings_total", "door", "out"] == 1
    assert found["edge_fairmot_zone_entries_total", "left"] == 1
    assert found["edge_fairmot_zone_occupancy", "left"] == 0
    assert found["edge_fairmot_zone_dwell_seconds_total", "left"] == pytest.approx(0.1)
    assert found["process_resident_memory_bytes",] > 1e6
    run.state = SourceState("lost", time.monotonic())
    assert metrics_of(run)["edge_fairmot_source_up",] == 0


def test_outputs_in_trouble_are_told_to_whoever_looks_after_it(serve):
    run = serve()
    run.show(1)
    run.outputs = {
        "recording": {"trouble": "12 MB are free", "missed_frames": 7, "missed_events": 2},
        "mqtt": {"trouble": ""},
    }
    found = metrics_of(run)
    assert (found["edge_fairmot_output_up", "recording"], found["edge_fairmot_output_up", "mqtt"]) == (0, 1)
    assert found["edge_fairmot_output_missed_total", "frames", "recording"] == 7
    assert found["edge_fairmot_output_missed_total", "events", "recording"] == 2
    assert json.loads(run.ask("GET", "/api/status")[2])["outputs"] == run.outputs
    assert run.ask("GET", "/healthz")[0] == 200  # starting it again would mend nothing


@pytest.mark.parametrize("status", ["starting", "lost", "ended"])
def test_a_run_without_frames_is_not_healthy(serve, status):
    run = serve()
    run.show(1)
    assert run.ask("GET", "/healthz")[0] == 200
    run.state = SourceState(status, time.monotonic())
    code, _, body = run.ask("GET", "/healthz")
    assert (code, json.loads(body)) == (503, {"healthy": False, "source": status})


def test_a_run_that_stands_still_is_not_healthy(serve):
    run = serve()
    run.state = SourceState("running", time.monotonic() - 3600)
    assert json.loads(run.ask("GET", "/healthz")[2]) == {"healthy": False, "source": "stalled"}
    run.show(1)
    assert run.ask("GET", "/healthz")[0] == 200


def test_credentials_in_names_stay_on_the_device(serve):
    run = serve(source="rtsp://admin:hunter2@camera/stream")
    run.state = SourceState("lost", time.monotonic(), 2, "rtsp://admin:hunter2@camera/stream: no answer")
    run.show(1)
    for path in ("/api/status", "/metrics", "/healthz", "/api/tracks"):
        assert b"hunter2" not in run.ask("GET", path)[2]
    source = json.loads(run.ask("GET", "/api/status")[2])["source"]
    assert source["name"] == "rtsp://camera/stream"
    assert source["reconnects"] == 2


def test_where_nothing_is_counted_nothing_is_drawn():
    state = SourceState("running", time.monotonic())
    with WebSink(WebConfig(port=0), lambda: RunSummary(0, 0, 0, 0, 0, 0, 0.0, {}), lambda: state) as web:
        web.write(Frame(np.zeros((90, 160, 3), np.uint8), 0, 0.0), tracks_of([(1, 20, 60)]))
        run = Run(None, state, None, web)
        assert run.ask("GET", "/api/counting")[0] == 404
        assert run.ask("PUT", "/api/counting", "{}", content_type="application/json")[0] == 404
        assert json.loads(run.ask("GET", "/api/status")[2])["counting"] is None
        assert json.loads(run.ask("GET", "/api/tracks")[2])["lines"] == {}


def test_a_port_that_is_taken_is_told_in_one_line(serve):
    run = serve()
    with pytest.raises(SinkError, match=r"port \d+: another program has it.* choose another port") as raised:
        WebSink(WebConfig(port=run.port), lambda: run.summary, lambda: run.state)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("203.0.113.7", "no such address"),
        ("no-such-host.invalid", "check the host"),
        ("a" * 300, "check the host"),
    ],
)
def test_a_host_that_is_not_here_is_told_in_one_line(tmp_path, host, reason):
    with pytest.raises(SinkError, match=reason):
        WebSink(WebConfig(host=host, port=0, token_file=tmp_path / "token"), lambda: None, lambda: None)


@pytest.mark.parametrize("package", ["starlette", "uvicorn", "websockets", "prometheus_client"])
def test_a_missing_package_gives_its_pip_line(monkeypatch, package):
    for name in list(sys.modules):
        if name.split(".")[0] == package or name.startswith(("edge_fairmot.service.web.", "uvicorn")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=rf"^{package} is needed .*edge-fairmot\[web\]"):
        WebSink(WebConfig(port=0), lambda: None, lambda: None)


@pytest.mark.parametrize(
    "setting", [{"host": ""}, {"port": 70_000}, {"port": -1}, {"jpeg_quality": 0}, {"widest": 8}]
)
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(InvalidInputError, match=next(iter(setting))):
        WebConfig(**setting)


def test_it_ends_when_it_is_closed_and_the_port_is_free_again(serve):
    run = serve()
    run.show(1)
    port = run.port
    run.web.close()
    run.web.close()
    with pytest.raises(ConnectionRefusedError):
        run.ask("GET", "/healthz")
    for _ in range(2):  # also without a start
        WebSink(WebConfig(port=port), lambda: run.summary, lambda: run.state).close()
