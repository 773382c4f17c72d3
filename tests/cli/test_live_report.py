"""What an operator reads of a run that goes on though its answers go nowhere."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from .test_live import PATIENCE_S, STREET, live

HALL = '[[zone]]\nname = "hall"\npolygon = [[0, 0], [1, 0], [1, 1], [0, 1]]\n'


def test_trouble_is_in_the_log_in_the_summary_and_told_to_systemd(still_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("paho.mqtt", reason="needs the mqtt extra")
    config = tmp_path / "shop.toml"
    config.write_text(
        f'source = "{STREET}"\nmodel = "{still_model}"\n'
        '[log]\nformat = "json"\nevery_s = 0.3\n'
        f'[mqtt]\nbroker = "mqtt://127.0.0.1:1"\noutbox = "{tmp_path}/events.db"\n'
        f'[record]\npath = "{tmp_path}/kept/shop.jsonl"\nkeep_free = "900000GB"\n'
        f'[output]\nsummary = "{tmp_path}/summary.json"\n' + HALL
    )
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(address))
        receiver.settimeout(PATIENCE_S)
        with live("--config", config, NOTIFY_SOCKET=str(address)) as run:
            run.wait_for("cannot be reached")
            told = json.loads(run.wait_for('"missed_frames"'))
            while not told["recording"]["missed_events"]:
                told = json.loads(run.wait_for('"missed_frames"'))
            said = ""
            while "; recording: " not in said:
                said = receiver.recv(4096).decode()
            assert run.end() == 0
    recording = told["recording"]
    assert recording["missed_events"] == 1
    assert "MB are free" in recording["trouble"]
    words = (
        f"; mqtt: {told['mqtt']['trouble']}; recording: {recording['trouble']}, "
        f"missed frames {recording['missed_frames']}, missed events 1"
    )
    assert words in told["message"]
    assert "STATUS=running: " in said
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["complete"], summary["outputs"]["recording"]["missed_frames"]) == (
        True,
        summary["frames"],
    )
    assert summary["outputs"]["recording"]["missed_events"] == 1
    assert "cannot be reached" in summary["outputs"]["mqtt"]["trouble"]


def test_of_outputs_that_are_well_the_log_says_nothing(still_model: Path, tmp_path: Path) -> None:
    record = ("--record", tmp_path / "kept" / "shop.jsonl")
    with live(STREET, "-m", still_model, "--set", "log.every_s=0.2", *record) as run:
        line = run.wait_for("frames")
        assert run.end() == 0
    assert "recording" not in line
