"""What is read of heat; what is made of it is tested with the doctor and the benchmark."""

import pytest

from edge_fairmot.system import read_throttle_bits, warmest_zone


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
def test_the_warmest_zone_that_makes_sense(tmp_path, zones, expected):
    for name, text in zones.items():
        zone = tmp_path / "sys/class/thermal" / f"thermal_zone{name}"
        zone.mkdir(parents=True)
        (zone / "temp").write_text(text + "\n")
        (zone / "type").write_text(f"sensor-{name}\n")
    assert warmest_zone(tmp_path) == expected


@pytest.mark.parametrize(
    ("script", "bits"), [("echo throttled=0x50005", 0x50005), ("echo no board", None), ("exit 1", None)]
)
def test_what_a_raspberry_pis_tool_says(tmp_path, script, bits):
    tool = tmp_path / "vcgencmd"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    assert read_throttle_bits(str(tool)) == bits


def test_a_tool_that_never_answers_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr("edge_fairmot.system.TOOL_TIMEOUT_S", 0.1)
    tool = tmp_path / "vcgencmd"
    tool.write_text("#!/bin/sh\nexec sleep 60\n")
    tool.chmod(0o755)
    assert read_throttle_bits(str(tool)) is None
