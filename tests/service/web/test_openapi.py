"""The served OpenAPI description against what is really answered."""

import json
import time

import jsonschema
import pytest
from starlette.routing import Route

from edge_fairmot.counting import CountingConfig, parse_line, parse_zone
from edge_fairmot.protocols import SourceState
from edge_fairmot.service.history import History
from edge_fairmot.service.run import RunView
from edge_fairmot.service.web import WebConfig
from edge_fairmot.service.web.frames import LatestFrame
from edge_fairmot.service.web.mosaic import Mosaic
from edge_fairmot.service.web.openapi import describe
from edge_fairmot.service.web.over_time import OverTime
from edge_fairmot.service.web.site import FILES, Site

from .conftest import NOTHING
from .test_mosaic import address_of, cameras  # noqa: F401

COUNTING = CountingConfig((parse_line("door:0.5,0,0.5,1"),), (parse_zone("left:0,0;0.5,0;0.5,1;0,1"),))


def description(run, place="/"):
    status, _, body = run.ask("GET", f"{place}api/openapi.json")
    assert status == 200
    return json.loads(body)


def check(document, path, run, place="/", *, method="GET", body=None):
    """Ask, and hold the answer against its description; returns its status."""
    headers = {} if body is None else {"content_type": "application/json"}
    status, given, content = run.ask(method, place.rstrip("/") + path, body, **headers)
    described = document["paths"][path.partition("?")[0]][method.lower()]["responses"][str(status)]
    ((media_type, kind),) = described["content"].items()
    assert given["content-type"].split(";")[0] == media_type
    if media_type == "application/json":
        whole = {**kind["schema"], "components": document["components"]}
        jsonschema.Draft202012Validator(whole).validate(json.loads(content))
    return status


def paths_of(document):
    """All but those without end and those of the history, which have tests of their own."""
    kept = {path for path in document["paths"] if path.startswith("/api/history/")}
    return set(document["paths"]) - kept - {"/ws", "/stream.mjpg"}


def test_every_answer_is_as_described(serve):
    run = serve(WebConfig(heat_map=True), counting=COUNTING)
    document = description(run)
    assert document["openapi"].startswith("3.1")
    assert document["servers"] == [{"url": "/"}]
    for path in ("/api/tracks", "/api/snapshot.jpg", "/stream.mjpg"):
        assert check(document, path, run) == 503
    run.state = SourceState("lost", time.monotonic())
    assert check(document, "/healthz", run) == 503
    run.state = SourceState("running", time.monotonic())
    run.show(1)
    assert {check(document, path, run) for path in paths_of(document)} == {200}
    assert check(document, "/api/snapshot.jpg?boxes", run) == 200
    put = {"method": "PUT", "path": "/api/counting", "document": document, "run": run}
    assert check(body='{"revision": 1, "line": [], "zone": []}', **put) == 200
    assert check(body='{"revision": 1, "line": [], "zone": []}', **put) == 409
    assert check(body="[]", **put) == 422


def test_every_answer_of_several_cameras_is_as_described(cameras):  # noqa: F811
    door = cameras[0]
    document = description(door)
    door.show(1)
    assert {check(document, path, door) for path in paths_of(document)} == {200}
    place = address_of("door")
    of_camera = description(door, place)
    assert of_camera["servers"] == [{"url": place.rstrip("/")}]
    answers = {path: check(of_camera, path, door, place) for path in paths_of(of_camera)}
    assert answers == dict.fromkeys(answers, 200) | {"/api/heat": 404}


@pytest.mark.parametrize("kind", ["camera", "mosaic"])
def test_every_route_is_described(kind, tmp_path):
    state = SourceState("running", 0.0)
    run = RunView(lambda: NOTHING, lambda: state)
    over_time = OverTime(History(tmp_path / "history.db"), "street")
    site = Site(WebConfig(), run, "street", LatestFrame(lambda _: b""), None, over_time=over_time)
    routes = (site if kind == "camera" else Mosaic({"a": site})).application().routes
    paths = {route.path.replace(":int", ""): route.methods for route in routes if isinstance(route, Route)}
    described = describe(kind)["paths"]
    assert set(paths) - set(described) == set(FILES) - {"/"}  # scripts and styles are not for programs
    assert set(described) - set(paths) <= {"/ws"}
    for path, methods in described.items():
        assert {name.upper() for name in methods} == paths.get(path, {"GET", "HEAD"}) - {"HEAD"}
