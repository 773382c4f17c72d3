"""A file, ``--set`` and flags make the library's own dataclasses; what is wrong is named."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fairmot.cli.config import config_text
from edge_fairmot.cli.config_file import build, field_types, help_of, read_document
from edge_fairmot.cli.run_config import RunConfig, read_run_config
from edge_fairmot.counting import CountingConfig
from edge_fairmot.errors import EdgeFairmotError, InvalidInputError
from edge_fairmot.tracking import TrackerConfig

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SHOP = """
source = "rtsp://camera/stream"

[tracker]
score_threshold = 0.5

[counting]
hysteresis = 0.2

[[line]]
name = "door"
start = [0.2, 0.8]
end = [0.8, 0.8]

[[zone]]
name = "queue"
polygon = [[0.1, 0.5], [0.4, 0.5], [0.4, 0.9]]
"""


def read(tmp_path: Path, text: str, *overrides: str, **flags: object) -> RunConfig:
    path = tmp_path / "shop.toml"
    path.write_text(text)
    return read_run_config(path, overrides, {key.replace("__", "."): value for key, value in flags.items()})


def test_flags_go_before_set_and_set_before_the_file(tmp_path):
    text = 'source = "a"\n[schedule]\nevery = 2\n[tracker]\ntrack_buffer = 7\nscore_threshold = 0.3\n'
    config = read(
        tmp_path,
        text,
        *("tracker.score_threshold=0.6", "schedule.every=5", "log.level=debug"),
        schedule__every=9,
        source=None,
    )
    assert config.source == "a"
    assert (config.tracker.track_buffer, config.tracker.score_threshold) == (7, 0.6)
    assert (config.schedule.every, config.log.level) == (9, "debug")


def test_lines_and_zones_of_file_and_flags_are_joined(tmp_path):
    (tmp_path / "shop.toml").write_text(SHOP)
    lines, zones = ["gate:0,0.5,1,0.5"], ["hall:0,0;1,0;1,1"]
    config = read_run_config(tmp_path / "shop.toml", (), {}, lines, zones)
    assert [line.name for line in config.counted.lines] == ["door", "gate"]
    assert [zone.name for zone in config.counted.zones] == ["queue", "hall"]
    assert config.counted.hysteresis == 0.2
    assert config.counted.memory_s == CountingConfig().memory_s
    assert config.tracker_config(10.0) == TrackerConfig(score_threshold=0.5, frame_rate=10.0)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[trakcer]\nscore_threshold = 0.5", r"shop.toml: trakcer = .* is not known: use .*tracker"),
        ("[tracker]\nscore_treshold = 0.5", r"tracker.score_treshold = 0.5 is not known: \[tracker\] has .*"),
        ('[tracker]\nscore_threshold = "high"', r'tracker.score_threshold = "high" must be a number'),
        ("[tracker]\nscore_threshold = 1.5", r"tracker.score_threshold must be between 0 and 1, not 1.5"),
        ("[tracker]\nscore_threshold = true", r"tracker.score_threshold = true must be a number"),
        ("[tracker]\ntrack_buffer = 1.5", r"tracker.track_buffer = 1.5 must be a whole number"),
        ("[camera]\nstall_s = 0", r"camera.stall_s must be above 0"),
        ('[camera]\ntransport = "smoke"', r"camera.transport must be one of tcp, udp, not 'smoke'"),
        ("[camera]\nstall_s = nan", r"camera.stall_s must be"),
        ("tracker = 3", r"shop.toml: tracker = 3 must be a table: write \[tracker\]"),
        ("model = 3", r"shop.toml: model = 3 must be a path"),
        ("[[line]]\nname = 'door'\nstart = [0, 0]", r"line lacks end"),
        ("line = 3", r"line = 3 must be a list"),
        (
            "[[line]]\nname = 'door'\nstart = [0, 0, 1]\nend = [1, 1]",
            r"line.start = \[0, 0, 1\] must be a list of 2",
        ),
        ("[record]\npath = 'x'\nmemory = '12 pounds'", r"record.memory must be a size such as 500MB"),
        ("[mqtt]\npassword = 'hunter2'", r"mqtt.password = \.\.\. is not known"),
        ("[tracker\n", r"shop.toml is not TOML"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(tmp_path, text, complaint):
    with pytest.raises(InvalidInputError, match=complaint) as caught:
        read(
            tmp_path, f'source = "x"\n{text}' if not text.startswith(("model", "line", "tracker =")) else text
        )
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("override", ["web.port", "=3", "web..port=3", "source.x=3"])
def test_a_set_that_is_none_is_refused(tmp_path, override):
    with pytest.raises(InvalidInputError, match="--set"):
        read(tmp_path, 'source = "x"', override)


def test_a_source_is_needed_and_a_file_must_be_there(tmp_path):
    with pytest.raises(InvalidInputError, match="source is missing"):
        read(tmp_path, "")
    with pytest.raises(InvalidInputError, match="check --config"):
        read_run_config(tmp_path / "absent.toml", (), {})


KEYS = st.sampled_from([*field_types(RunConfig), "name", "every", "host", "preset", "path"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner),
    max_leaves=6,
)


@given(st.dictionaries(KEYS, VALUES))
def test_no_document_gives_anything_but_settings_or_one_clear_error(document):
    with contextlib.suppress(EdgeFairmotError):
        build(RunConfig, document)


def test_values_of_set_are_toml_or_else_text():
    document = read_document(None, ["a.b=1", "a.c=[1, 2]", "a.d=true", "a.e=mqtt://host", 'a.f="3"'])
    assert document == {"a": {"b": 1, "c": [1, 2], "d": True, "e": "mqtt://host", "f": "3"}}


def test_the_printed_configuration_has_every_key_and_is_toml_when_uncommented():
    text = config_text()
    usable = [line.removeprefix("# ").split("  #")[0] for line in text.splitlines() if " = ..." not in line]
    document = tomllib.loads("\n".join(line for line in usable if not line.startswith("polygon")))
    for table in ("zone", "ignore", "mqtt", "record"):  # these need a key without a default
        document.pop(table)
    assert build(RunConfig, document | {"source": "x"}).tracker == RunConfig().tracker
    for name, hint in field_types(RunConfig).items():
        if dataclasses.is_dataclass(hint):
            assert f"\n[{name}]\n" in text


def test_every_key_is_described():
    for hint in field_types(RunConfig).values():
        if dataclasses.is_dataclass(hint):
            described = {name for cls in hint.__mro__ for name in help_of(cls)}
            assert set(field_types(hint)) <= described | {"polygon", "name"}, hint
