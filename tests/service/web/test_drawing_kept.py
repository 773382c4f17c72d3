"""Where a run keeps what is drawn on its page and the page's token, also where its settings are read-only."""

import json
import os
import sys
from contextlib import ExitStack
from dataclasses import replace
from io import StringIO
from types import SimpleNamespace

import pytest

from edge_fairmot.cli.live_run import LiveRun, open_sinks
from edge_fairmot.cli.live_settings import drawing_file, read_live_settings
from edge_fairmot.counting import Counter
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.protocols import SourceState
from edge_fairmot.service.web import WebConfig
from edge_fairmot.service.web.token import default_token_file

from .conftest import SIZE, Run

DOOR = {"name": "door", "start": [0.2, 0.8], "end": [0.8, 0.8]}
GATE = {"name": "gate", "start": [0.5, 0.0], "end": [0.5, 1.0]}

SHOP = """\
source = "synthetic:"
[web]
serve = true
port = 0
[[line]]
name = "door"
start = [0, 0.5]
end = [1, 0.5]
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "etc" / "shop.toml"
    path.parent.mkdir()
    path.write_text(SHOP)
    return path


@pytest.fixture
def sealed(config, monkeypatch):
    """Settings that cannot be written, as a credential of systemd or in a container; root may write any."""

    def access(path, mode):
        return not (mode & os.W_OK and os.fspath(path).startswith(str(config.parent)))

    monkeypatch.setattr("os.access", access)
    return config


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def start():
    """Open the page of a run as the command does; takes settings, and the file of them."""
    with ExitStack() as stack:

        def start(config, **given):
            settings, counting = read_live_settings(config, given)
            source = SimpleNamespace(
                info=SimpleNamespace(name="street"), state=lambda: SourceState("running", 0)
            )
            counter = Counter(counting, SIZE)
            _, page = open_sinks(LiveRun(settings, source, None, None, counter, config))
            stack.callback(page.close)
            return Run(None, None, counter, page)

        yield start


def draw(run, *lines):
    """Draw these lines and no others; gives what is answered."""
    revision = json.loads(run.ask("GET", "/api/counting")[2])["revision"]
    document = json.dumps({"revision": revision, "line": lines, "zone": []})
    status, _, body = run.ask("PUT", "/api/counting", document, content_type="application/json")
    assert status == 200
    answer = json.loads(body)
    assert answer["line"] == list(lines)
    return answer


def counted(run):
    return {line.name: line.start for line in run.counter._drawn.lines}


def test_a_drawing_that_cannot_be_saved_counts_and_the_page_is_told_why(serve, tmp_path, caplog):
    (tmp_path / "folder").write_text("that is none")
    run = serve(WebConfig(counting_file=tmp_path / "folder" / "shop.toml"))
    answer = draw(run, DOOR)
    assert answer["not_saved"].startswith(f"cannot save to {tmp_path}/folder/shop.toml: ")
    assert answer["not_saved"] in caplog.text
    run.show(1)
    assert list(run.counter.lines) == ["door"]
    (tmp_path / "folder").unlink()
    assert draw(run, GATE)["not_saved"] is None
    assert "gate" in (tmp_path / "folder" / "shop.toml").read_text()


def test_what_is_drawn_is_kept_where_it_can_be(config, state, monkeypatch):
    settings, _ = read_live_settings(config, {})
    assert drawing_file(settings, config) == config
    assert drawing_file(settings, None) is None  # nobody asked for a file
    elsewhere = replace(settings, web_drawing_file=state / "my.toml")
    assert drawing_file(elsewhere, config) == drawing_file(elsewhere, None) == state / "my.toml"


def test_beside_settings_that_cannot_be_written_it_is_kept_with_the_state(sealed, state, monkeypatch):
    settings, _ = read_live_settings(sealed, {})
    assert drawing_file(settings, sealed) == state / "shop.drawing.toml"

    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("pathlib.Path.home", homeless)
    assert drawing_file(settings, sealed, {}) is None


@pytest.mark.parametrize("given", [{}, {"line": ["door:0,0.5,1,0.5"]}])
def test_a_drawing_beside_sealed_settings_is_back_after_a_restart_and_nothing_twice(
    sealed, state, start, given
):
    run = start(sealed, **given)
    assert counted(run) == {"door": (0, 0.5)}
    answer = draw(run, DOOR, GATE)
    assert (answer["saved_to"], answer["not_saved"]) == (str(state / "shop.drawing.toml"), None)
    run = start(sealed, **given)
    assert counted(run) == {"door": (0.2, 0.8), "gate": (0.5, 0)}
    draw(run, GATE)
    assert counted(start(sealed)) == {"gate": (0.5, 0)}  # what was deleted is not back
    assert sealed.read_text() == SHOP
    (state / "shop.drawing.toml").unlink()
    assert counted(start(sealed)) == {"door": (0, 0.5)}


def test_a_drawing_without_settings_is_kept_in_a_file_that_is_named(start, tmp_path):
    flags = {"source": "synthetic:", "web": True, "web_port": 0}
    assert draw(start(None, **flags), GATE)["saved_to"] is None
    assert counted(start(None, **flags)) == {}
    kept = {**flags, "web_drawing_file": tmp_path / "my.toml"}
    draw(start(None, **kept), GATE)
    assert counted(start(None, **kept)) == {"gate": (0.5, 0)}


@pytest.mark.parametrize("text", ["[[line", "[[line]]\nname = 'door'\n", "line = 7"])
def test_a_drawing_that_cannot_be_read_is_told_by_name(config, tmp_path, text):
    (tmp_path / "my.toml").write_text(text)
    with pytest.raises(InvalidInputError, match=r"my\.toml, .* cannot be read .*delete it"):
        read_live_settings(config, {"web_drawing_file": tmp_path / "my.toml"})


def test_the_token_lies_with_the_state_where_there_is_a_folder_for_it(state, monkeypatch):
    assert default_token_file() == state / "web-token"
    monkeypatch.setenv("STATE_DIRECTORY", f"{state}:/var/lib/other")
    assert default_token_file() == state / "web-token"
    monkeypatch.delenv("STATE_DIRECTORY")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(state))
    assert default_token_file() == state / "edge-fairmot" / "web-token"


@pytest.mark.parametrize("people_read", [True, False])
def test_the_token_is_printed_for_people_and_for_no_journal(state, start, monkeypatch, caplog, people_read):
    printed = StringIO()
    printed.isatty = lambda: people_read
    monkeypatch.setattr(sys, "stdout", printed)
    caplog.set_level("INFO")
    run = start(None, source="synthetic:", web=True, web_port=0, web_host="0.0.0.0")
    token = (state / "web-token").read_text().strip()
    assert (f"{run.web.address}?token={token}" in printed.getvalue()) == people_read
    assert token not in caplog.text
    assert (str(state / "web-token") in caplog.text) != people_read
