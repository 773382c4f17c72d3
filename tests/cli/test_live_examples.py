"""The files of the service are what systemd, Docker and ``live`` take."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge_fairmot.bundled import bundled_model
from edge_fairmot.cli.run_config import read_run_config

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
SERVICE = ROOT / "examples" / "service"


@pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="needs systemd-analyze: apt-get install systemd"
)
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    text = (SERVICE / "edge-fairmot.service").read_text()
    program = re.search(r"^ExecStart=(\S+)", text, re.MULTILINE)
    assert program
    unit = tmp_path / "edge-fairmot.service"
    unit.write_text(text.replace(program[1], "/bin/true"))  # ours is not installed here
    result = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    # Its complaints about other units of this machine are not ours.
    ours = [line for line in result.stderr.splitlines() if "edge-fairmot" in line]
    assert (result.returncode, ours) == (0, [])


def test_the_unit_s_command_and_configuration_are_ours() -> None:
    text = (SERVICE / "edge-fairmot.service").read_text()
    command = "/opt/edge-fairmot/bin/edge-fairmot live --config ${CREDENTIALS_DIRECTORY}/live.toml"
    assert f"ExecStart={command}\n" in text
    assert "LoadCredential=live.toml:/etc/edge-fairmot/live.toml" in text
    settings = read_run_config(SERVICE / "live.toml", (), {})
    assert settings.source.startswith("rtsp://")
    assert settings.model_path == bundled_model()
    assert [line.name for line in settings.counted.lines] == ["door"]


def test_the_image_is_made_of_what_is_there() -> None:
    text = (ROOT / "Dockerfile").read_text()
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = [
        name for line in re.findall(r"^COPY (?!--)(.*) \S+$", text, re.MULTILINE) for name in line.split()
    ]
    assert len(copied) == 8
    for name in copied:
        assert (ROOT / name).exists()
        assert f"!{name}" in ignored
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (extras,) = re.findall(r"'\.\[(.*)\]'", text)
    assert set(extras.split(",")) <= set(project["project"]["optional-dependencies"])
    folders = {name.split("/")[0] for name in project["tool"]["setuptools"]["package-dir"].values()}
    assert folders <= set(copied)
