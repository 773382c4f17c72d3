"""Temperature, throttling and locks of the system."""

import pytest

from edge_fairmot.errors import SinkError
from edge_fairmot.system import FileLock, describe_throttle_bits, read_throttle_bits, warmest_zone


@pytest.mark.parametrize(
    ("zones", "expected"),
    [
        ({}, None),
        ({"0": "48250"}, (48.25, "sensor-0")),
        (
            {"0": "48250", "1": "61000", "2": "-274000", "3": "999000", "4": "none", "5": ""},
            (61.0, "sensor-1"),
        ),
        ({"0": "-3000"}, (-3.0, "sensor-0")),
    ],
)
def test_the_warmest_plausible_zone(tmp_path, zones, expected):
    for name, text in zones.items():
        zone = tmp_path / "sys/class/thermal" / f"thermal_zone{name}"
        zone.mkdir(parents=True)
        (zone / "temp").write_text(text + "\n")
        (zone / "type").write_text(f"sensor-{name}\n")
    assert warmest_zone(tmp_path) == expected


@pytest.mark.parametrize(
    ("script", "bits"),
    [
        ("echo throttled=0x50005", 0x50005),
        ("echo no board", None),
        ("exit 1", None),
        ("exec sleep 60", None),  # not waited for
    ],
)
def test_the_bits_of_a_raspberry_pi(tmp_path, monkeypatch, script, bits):
    if "sleep" in script:
        monkeypatch.setattr("edge_fairmot.system.TOOL_TIMEOUT_S", 0.1)
    tool = tmp_path / "vcgencmd"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    assert read_throttle_bits(str(tool)) == bits


def test_throttle_bits_are_named_now_and_since_boot():
    assert describe_throttle_bits(0) == ()
    assert describe_throttle_bits(0x50009) == ("under-voltage", "soft temperature limit")
    assert describe_throttle_bits(0x60001 >> 16) == ("frequency capped", "throttled")


def test_a_lock_is_held_until_it_is_closed(tmp_path):
    first = FileLock(tmp_path / "new" / "lock", "the folder", "take another name")
    with pytest.raises(SinkError, match=r"the folder belongs to another run, process \d+: take another name"):
        FileLock(tmp_path / "new" / "lock", "the folder", "take another name")
    first.close()
    FileLock(tmp_path / "new" / "lock", "the folder", "").close()
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match=r"the folder cannot be used \(File exists|Not a directory"):
        FileLock(tmp_path / "file" / "lock", "the folder", "")
