"""Lines and zones that are drawn on the page: the next run of the same source has them again."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_fairmot.counting import (
    Counter,
    CountingConfig,
    IgnoredZones,
    Line,
    Zone,
    parse_line,
    parse_zone,
)
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.service.web import WebConfig, saved_drawing
from edge_fairmot.service.web.drawing import ShapeEditor
from edge_fairmot.types import Detections

from .conftest import SIZE

DOOR = {"name": "door", "start": [0.2, 0.8], "end": [0.8, 0.8]}
GATE = {"name": "gate", "start": [0.5, 0.0], "end": [0.5, 1.0]}
FROM_CONFIG = CountingConfig((parse_line("door:0,0.5,1,0.5"),), memory_s=9.0)


def draw(run, *lines):
    """Draw these lines and no others; returns the answer."""
    revision = json.loads(run.ask("GET", "/api/counting")[2])["revision"]
    document = json.dumps({"revision": revision, "line": lines, "zone": []})
    status, _, body = run.ask("PUT", "/api/counting", document, content_type="application/json")
    answer = json.loads(body)
    assert (status, answer["line"]) == (200, list(lines))
    return answer


def counted(run):
    """Lines that the next frame is counted with."""
    run.show(1)
    return {line.name: line.start for line in run.counter.config.lines}


def test_a_renamed_line_keeps_its_id_and_a_new_one_of_the_old_name_has_its_own(serve, state):
    run = serve(counting=FROM_CONFIG)
    draw(run, DOOR)
    front = {**DOOR, "name": "Front door", "id": "door"}
    draw(run, front)
    revision = json.loads(run.ask("GET", "/api/counting")[2])["revision"]
    document = json.dumps({"revision": revision, "line": [front, DOOR], "zone": []})
    answer = json.loads(run.ask("PUT", "/api/counting", document, content_type="application/json")[2])
    assert answer["line"][0] == front
    assert answer["line"][1]["id"] not in ("", "door")
    run.show(1)
    assert set(run.counter.counts.lines) == {"Front door", "door"}


def test_a_drawing_replaces_the_lines_of_the_configuration_in_the_next_run(serve, state):
    run = serve(counting=FROM_CONFIG)
    assert json.loads(run.ask("GET", "/api/counting")[2])["line"][0]["start"] == [0, 0.5]
    answer = draw(run, DOOR, GATE)
    assert (answer["saved_to"], answer["not_saved"]) == (str(state / "drawing.json"), None)
    assert counted(run) == {"door": (0.2, 0.8), "gate": (0.5, 0)}
    run = serve(counting=FROM_CONFIG)
    assert json.loads(run.ask("GET", "/api/counting")[2])["line"] == [DOOR, GATE]
    assert counted(run) == {"door": (0.2, 0.8), "gate": (0.5, 0)}
    assert run.counter.config.memory_s == 9.0
    draw(run, GATE)
    assert counted(serve(counting=FROM_CONFIG)) == {"gate": (0.5, 0)}  # a deleted line stays deleted
    assert counted(serve(counting=FROM_CONFIG, source="other")) == {"door": (0, 0.5)}
    (state / "drawing.json").unlink()
    assert counted(serve(counting=FROM_CONFIG)) == {"door": (0, 0.5)}


def test_an_ignored_zone_that_is_drawn_applies_at_once_and_in_the_next_run(tmp_path):
    config = WebConfig(drawing_file=tmp_path / "drawing.json")
    usual = CountingConfig(ignore=(parse_zone("poster:0.9,0.9;1,0.9;1,1"),))
    left_half = {"name": "mirror", "polygon": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]}
    boxes = np.array([[10, 10, 20, 20], [80, 10, 90, 20]]) * (np.tile(SIZE, 2) / 100)
    people = Detections(boxes.astype(np.float32), np.ones(2, np.float32), np.ones((2, 1), np.float32))
    ignored = IgnoredZones(usual.ignore)
    editor = ShapeEditor(Counter(usual, SIZE), config, "street", ignored)
    assert [zone["name"] for zone in editor.document()["ignore"]] == ["poster"]
    assert editor.replace({"revision": 1, "line": [], "zone": [], "ignore": [left_half]})
    assert ignored.apply(people, SIZE).xyxy.tolist() == people.xyxy[1:].tolist()
    assert editor.replace({"revision": 2, "line": [DOOR], "zone": []})  # by a program that knows lines only
    assert editor.document()["ignore"] == [left_half]
    saved = saved_drawing(config, "street", usual)
    assert [zone.name for zone in saved.ignore] == ["mirror"]
    following = IgnoredZones(usual.ignore)
    ShapeEditor(Counter(usual, SIZE), config, "street", following)
    assert len(following.apply(people, SIZE)) == 1
    drawings = json.loads(config.drawing_file.read_text())
    del drawings["street"]["ignore"]  # as an older release wrote it
    config.drawing_file.write_text(json.dumps(drawings))
    assert saved_drawing(config, "street", usual).ignore == usual.ignore


def test_each_source_has_its_own_drawing_without_its_password(serve, state, tmp_path):
    config = WebConfig(drawing_file=tmp_path / "drawings.json")
    first, second = "rtsp://me:s3cret@one/stream", "rtsp://me:s3cret@two/stream"
    draw(serve(config, source=first), DOOR)
    draw(serve(config, source=second), GATE)
    assert saved_drawing(config, first).lines[0].name == "door"
    assert saved_drawing(config, second).lines[0].name == "gate"
    assert saved_drawing(config, "rtsp://three") is None
    assert saved_drawing(WebConfig(), first) is None
    assert "s3cret" not in config.drawing_file.read_text()
    assert [path.name for path in tmp_path.glob("*rawing*")] == ["drawings.json"]


def test_a_drawing_that_cannot_be_saved_counts_and_the_page_gets_the_reason(serve, tmp_path, caplog):
    path = tmp_path / "folder" / "drawing.json"
    run = serve(WebConfig(drawing_file=path))
    (tmp_path / "folder").write_text("not a folder")
    answer = draw(run, DOOR)
    assert answer["not_saved"].startswith(f"{path} cannot be written (")
    assert answer["not_saved"] in caplog.text
    assert list(counted(run)) == ["door"]
    (tmp_path / "folder").unlink()
    assert draw(run, GATE)["not_saved"] is None
    assert "gate" in path.read_text()


def test_a_full_disk_leaves_the_file_as_it_was(serve, state, monkeypatch):
    run = serve()
    draw(run, DOOR)
    before = (state / "drawing.json").read_text()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert "No space left on device" in draw(run, GATE)["not_saved"]
    assert (state / "drawing.json").read_text() == before
    assert {path.name for path in state.iterdir()} == {"drawing.json", "web-token"}


def test_a_link_stays_a_link(serve, tmp_path):
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    draw(serve(WebConfig(drawing_file=tmp_path / "link.json")), DOOR)
    assert (tmp_path / "link.json").is_symlink()
    assert "door" in (tmp_path / "real.json").read_text()


@pytest.mark.parametrize(
    "text", ["{", "[]", "\udcff", '{"street": 7}', '{"street": {"line": [{"name": "door"}]}}']
)
def test_a_file_that_is_not_a_drawing_is_named_and_left_alone(serve, state, text):
    state.mkdir()
    content = text.encode("utf-8", "surrogateescape")
    (state / "drawing.json").write_bytes(content)
    with pytest.raises(InvalidInputError, match=r"drawing\.json, .* cannot be read .*delete it"):
        serve()
    assert (state / "drawing.json").read_bytes() == content


def test_a_file_that_is_damaged_during_the_run_is_left_alone(serve, state):
    run = serve()
    state.mkdir(exist_ok=True)
    (state / "drawing.json").write_text("damaged")
    assert "that is not JSON" in draw(run, DOOR)["not_saved"]
    assert (state / "drawing.json").read_text() == "damaged"


POINT = st.tuples(st.floats(0, 1, allow_subnormal=False), st.floats(0, 1, allow_subnormal=False))
NAME = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)


def shapes(make, *parts):
    """Valid shapes with names of their own."""

    def made(values):
        try:
            return make(*values)
        except InvalidInputError:
            return None

    valid = st.tuples(NAME, *parts).map(made).filter(bool)
    return st.lists(valid, max_size=3, unique_by=lambda shape: shape.name).map(tuple)


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(
    lines=shapes(Line, POINT, POINT),
    zones=shapes(Zone, st.lists(POINT, min_size=3, max_size=4, unique=True).map(tuple)),
    source=st.text(),
)
def test_every_drawing_comes_back_as_it_was(tmp_path, lines, zones, source):
    config = WebConfig(drawing_file=tmp_path / "drawing.json")
    drawn = CountingConfig(lines, zones)
    editor = ShapeEditor(Counter(CountingConfig(), SIZE), config, source)
    document = ShapeEditor(
        Counter(drawn, SIZE), replace(config, drawing_file=tmp_path / "none"), ""
    ).document()
    wanted = {"revision": 1, "line": document["line"], "zone": document["zone"]}
    assert editor.replace(json.loads(json.dumps(wanted)))
    assert saved_drawing(config, source) == drawn
    config.drawing_file.unlink()
