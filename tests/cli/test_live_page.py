"""``edge-fairmot live --web``: the page of a run, what is drawn on it, and the next run."""

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


def ask(address: str, method: str = "GET", document: object = None, token: str = "") -> dict[str, object]:
    body = None if document is None else json.dumps(document).encode()
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"}, method=method)
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: dict[str, object] = json.loads(answer.read())
    return found


def test_what_is_drawn_on_the_page_is_counted_by_the_next_run(still_model: Path, tmp_path: Path) -> None:
    config = tmp_path / "shop.toml"
    config.write_text(
        f'# mine\nsource = "{STREET}"\nmodel = "{still_model}"\n\n[web]\nserve = true\nport = 0\n'
    )
    for run in range(2):
        with live("--config", config, "--line", "door:0,0.5,1,0.5") as process:
            address = process.wait_for("page at ").split()[-1]
            status = ask(f"{address}api/status")
            assert status["source"]["name"].startswith("synthetic:")  # type: ignore[index]
            drawn = ask(f"{address}api/counting")
            start = [0, 0.5] if run == 0 else [0.5, 0]  # the flag's, then what was moved since
            assert [line["start"] for line in drawn["line"]] == [start]  # type: ignore[attr-defined]
            ask(f"{address}api/counting", "PUT", {**DRAWING, "revision": drawn["revision"]})
            assert process.end() == 0
    assert config.read_text().startswith("# mine\nsource = ")
    assert config.read_text().count("[[line]]") == 1


@pytest.mark.parametrize("terminal", [True, False])
def test_other_devices_need_the_token_that_a_terminal_is_shown_once(
    still_model: Path, tmp_path: Path, terminal: bool
) -> None:
    web = ("--web", "--web-port", "0", "--web-host", "0.0.0.0", "--web-token-file", str(tmp_path / "token"))
    for run in range(2):
        shown, stdout = pty.openpty() if terminal else os.pipe()
        with subprocess.Popen(
            [*LIVE, STREET, "--model", str(still_model), *web], stdout=stdout, stderr=PIPE, text=True
        ) as process:
            os.close(stdout)
            assert process.stderr is not None
            log = ""
            while "page at " not in log:
                log += process.stderr.readline()
            address = log.split()[-1]
            token = (tmp_path / "token").read_text().strip()
            with pytest.raises(urllib.error.HTTPError, match="401"):
                ask(f"{address}api/status")
            assert "frames" in ask(f"{address}api/status", token=token)
            process.terminate()
            rest = process.stderr.read()  # not communicate, which loses what was read ahead
        is_told = terminal and run == 0
        assert (f"{address}?token={token}" in read_all(shown)) == is_told
        assert token not in log + rest
        assert ("the page's token is in" in log + rest) == (not is_told)


def read_all(descriptor: int) -> str:
    """Read a pipe or a terminal, and close it; that of a process that is gone ends in an error."""
    parts = []
    with suppress(OSError):
        while part := os.read(descriptor, 4096):
            parts.append(part)
    os.close(descriptor)
    return b"".join(parts).decode()
