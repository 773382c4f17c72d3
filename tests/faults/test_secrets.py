"""A secret in a setting or an address is in no error, whatever is wrong with it."""

from __future__ import annotations

import pytest

from ..cli.command_line import error_of, run  # noqa: TID252

SECRET = "hunter2"


@pytest.mark.parametrize(
    "setting",
    [
        "mqtt.broker=user:hunter2@host",
        "mqtt.broker=mqtt:/user:hunter2@host",
        "mqtt.password=hunter2",
        "camera.password=hunter2",
        "password=hunter2",
        "web.token=hunter2",
        'source=["rtsp://u:hunter2@cam/s"]',
        'tracker.preset="rtsp://u:hunter2@cam/s"',
        'web.port="http://u:hunter2@cam/s"',
    ],
)
def test_a_wrong_setting_is_named_without_its_secret(setting, tmp_path):
    complaint = error_of("track", "--set", f"output.summary={tmp_path}/s.json", "--set", setting)
    assert SECRET not in complaint
    config = tmp_path / "shop.toml"
    table, _, rest = setting.partition(".")
    key, _, value = rest.partition("=")
    if key and not value.startswith(("[", '"')):
        config.write_text(f'[{table}]\n{key} = "{value}"\n')
        assert SECRET not in error_of("track", "--config", config)


@pytest.mark.parametrize(
    "source",
    [
        "rtsp:/u:hunter2@h",
        "rtsp://u:hunter2@127.0.0.1:1/x.npz",
        "synthetic:rtsp://u:hunter2@h/s",
        "http://127.0.0.1:1/snap?token=hunter2",
        "ftp://u:hunter2@h/x",
    ],
)
def test_a_wrong_address_is_shown_without_its_secret(source, tmp_path):
    for command in (("track", source, "-o", tmp_path / "out"), ("synthesize", source, "-o", tmp_path / "s")):
        result = run(*command, status=None)
        assert result.returncode != 0
        assert SECRET not in result.stdout + result.stderr
