"""What the settings of a live run ask of MQTT and of the recording."""

from dataclasses import replace
from pathlib import Path

import pytest

from edge_fairmot.cli.live_answers import mqtt_config, recording_config, state_folder
from edge_fairmot.cli.live_settings import LiveSettings
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.service.mqtt import Broker, Credentials
from edge_fairmot.service.recording import ClipConfig

USUAL = LiveSettings()


def test_nothing_is_published_or_recorded_unasked():
    assert (mqtt_config(USUAL), recording_config(USUAL)) == (None, None)


def test_a_broker_is_told_of_with_the_environments_password(tmp_path):
    environment = {
        "EDGE_FAIRMOT_MQTT_USER": "me",
        "EDGE_FAIRMOT_MQTT_PASSWORD": "s3cret",
        "STATE_DIRECTORY": str(tmp_path),
    }
    config = mqtt_config(replace(USUAL, mqtt="mqtts://broker", mqtt_device="shop"), environment)
    assert (config.broker, config.credentials) == (
        Broker("broker", 8883, tls=True),
        Credentials("me", "s3cret"),
    )
    assert config.spool == tmp_path / "shop.events.db"
    assert mqtt_config(replace(USUAL, mqtt="mqtt://broker"), environment).device


def test_state_is_kept_where_the_system_wants_it():
    assert state_folder({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}) == Path("/var/lib/a")
    assert state_folder({"XDG_STATE_HOME": "/home/me/state"}) == Path("/home/me/state/edge-fairmot")
    assert state_folder({}).parts[-3:] == (".local", "state", "edge-fairmot")


def test_a_recording_is_what_its_path_and_flags_say(tmp_path):
    lines = recording_config(replace(USUAL, record=tmp_path / "shop.jsonl", record_budget="1GB"))
    assert (lines.stem, lines.json_lines, lines.mot_text, lines.clips) == ("shop", True, False, None)
    assert lines.budget_bytes == 10**9
    clips = recording_config(replace(USUAL, record=tmp_path / "shop.jsonl", record_clips=True)).clips
    assert clips == ClipConfig()
    everything = recording_config(replace(USUAL, record=tmp_path, record_after_s=9.0))
    assert (everything.mot_text, everything.clips.after_s) == (True, 9.0)
    with pytest.raises(InvalidInputError, match="--record-budget: a size is written"):
        recording_config(replace(USUAL, record=tmp_path, record_budget="much"))
