"""``edge-fairmot live --web``: the page of a run, its token, what is drawn on it, and the next run."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE

import pytest

from .test_live import LIVE, STREET, live

DRAWING = {"line": [{"name": "door", "start": [0.5, 0.0], "end": [0.5, 1.0]}], "zone": []}


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    return tmp_path / "state"


def ask(address: str, method: str = "GET", document: object = None, token: str = "") -> dict[str, object]:
    body = None if document is None else json.dumps(document).encode()
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"}, method=method)
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: dict[str, object] = json.loads(answer.read())
    return found


def test_what_is_drawn_on_the_page_is_counted_by_the_next_run(
    still_model: Path, tmp_path: Path, state: Path
) -> None:
    config = tmp_path / "shop.toml"
    text = f'# mine\nsource = "{STREET}"\nmodel = "{still_model}"\n\n[web]\nserve = true\nport = 0\n'
    config.write_text(text)
    for run in range(2):
        with live("--config", config, "--line", "door:0,0.5,1,0.5") as process:
            address = process.wait_for("page at ").split()[-1]
            token = (state / "web-token").read_text().strip()
            status = ask(f"{address}api/status", token=token)
            assert status["source"]["name"].startswith("synthetic:")  # type: ignore[index]
            drawn = ask(f"{address}api/counting", token=token)
            start = [0, 0.5] if run == 0 else [0.5, 0]  # that of the flag, then that of the drawing
            assert [line["start"] for line in drawn["line"]] == [start]  # type: ignore[attr-defined]
            ask(f"{address}api/counting", "PUT", {**DRAWING, "revision": drawn["revision"]}, token)
            assert process.end() == 0
    assert config.read_text() == text


@pytest.mark.parametrize("terminal", [True, False])
def test_the_token_is_printed_on_a_terminal_and_never_logged(
    still_model: Path, state: Path, terminal: bool
) -> None:
    shown, stdout = pty.openpty() if terminal else os.pipe()
    with subprocess.Popen(
        [*LIVE, STREET, "--model", str(still_model), "--web", "--web-port", "0"],
        stdout=stdout,
        stderr=PIPE,
        text=True,
    ) as process:
        os.close(stdout)
        assert process.stderr is not None
        log = ""
        while "page at " not in log:
            log += process.stderr.readline()
        address = log.split()[-1]
        token = (state / "web-token").read_text().strip()
        with pytest.raises(urllib.error.HTTPError, match="401"):
            ask(f"{address}api/status")
        assert "frames" in ask(f"{address}api/status", token=token)
        process.terminate()
        log += process.stderr.read()  # not communicate, which loses what was read ahead
    assert (f"{address}?token={token}" in read_all(shown)) == terminal
    assert token not in log
    assert (str(state / "web-token") in log) != terminal


def test_web_open_needs_no_token_and_warns(still_model: Path, state: Path) -> None:
    with live(STREET, "--model", still_model, "--web", "--web-open", "--web-port", "0") as process:
        process.wait_for("the page needs no token")
        address = process.wait_for("page at ").split()[-1]
        assert "frames" in ask(f"{address}api/status")
        assert process.end() == 0
    assert not (state / "web-token").exists()


def read_all(descriptor: int) -> str:
    """Read a pipe or a terminal, and close it; the terminal of a process that has ended is an error."""
    parts = []
    with suppress(OSError):
        while part := os.read(descriptor, 4096):
            parts.append(part)
    os.close(descriptor)
    return b"".join(parts).decode()
