"""Every setting of ``live`` is a flag and a key of the file, both ways; what is wrong is told by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from edge_fairmot.bundled import bundled_model
from edge_fairmot.cli.live import live
from edge_fairmot.cli.live_settings import SHAPES, LiveSettings, read_live_settings
from edge_fairmot.cli.settings import Entry, entries
from edge_fairmot.counting import CountingConfig
from edge_fairmot.errors import InvalidInputError

TABLE = entries(LiveSettings)
PLAIN = [entry for entry in TABLE if entry.name not in SHAPES]
LEAST = {"source": "synthetic:", "model": Path("m.onnx")}
USUAL = LiveSettings(**LEAST)

SHOP = """
source = "rtsp://camera/stream"
model = "fairmot.onnx"

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


def unusual(entry: Entry) -> Any:
    """A value that is allowed and not the default."""
    about = entry.setting
    if about.choices:
        return next(choice for choice in about.choices if choice and choice != entry.default)
    if entry.kind is bool:
        return not entry.default
    if entry.kind in (int, float):
        value = (entry.default or 1) + 0.25 if entry.kind is float else 7
        return entry.kind(min(about.high, max(about.low, value)))
    return Path("some/file.json") if entry.kind is Path else "something: else"


def parse(*arguments: str) -> Mapping[str, Any]:
    """Give what the command's function would be given."""
    given: dict[str, Any] = {}
    app = typer.Typer()

    def capture(**values: Any) -> None:
        given.update(values)

    capture.__signature__ = live.__signature__  # type: ignore[attr-defined]
    app.command()(capture)
    result = CliRunner().invoke(app, [*arguments])
    assert result.exit_code == 0, result.output
    return given


def read(tmp_path: Path, text: str, **given: Any) -> tuple[LiveSettings, CountingConfig]:
    path = tmp_path / "shop.toml"
    path.write_text(text)
    return read_live_settings(path, given)


@pytest.mark.parametrize("entry", PLAIN, ids=lambda entry: entry.key)
def test_every_setting_has_a_flag_and_a_key_that_mean_the_same(entry: Entry, tmp_path: Path) -> None:
    value = unusual(entry)
    expected = replace(USUAL, **{entry.name: value})
    assert expected != USUAL

    flag = [str(value)] if entry.name == "source" else [entry.flag, str(value)]
    flag = [entry.flag] if value is True else flag
    by_flag, _ = read_live_settings(None, {**LEAST, **{k: v for k, v in parse(*flag).items() if v}})
    assert by_flag == expected

    shown = json.dumps(str(value) if isinstance(value, str | Path) else value)
    table, _, key = entry.key.rpartition(".")
    text = f"[{table}]\n{key} = {shown}\n" if table else f"{key} = {shown}\n"
    least = {name: given for name, given in LEAST.items() if name != entry.name}
    by_file, _ = read(tmp_path, text, **least)
    assert by_file == expected

    usual = USUAL if entry.default in (None, "") else replace(USUAL, **{entry.name: entry.default})
    if getattr(usual, entry.name) not in (None, ""):
        over, _ = read(tmp_path, text, **{**LEAST, entry.name: getattr(usual, entry.name)})
        assert getattr(over, entry.name) == getattr(usual, entry.name)  # a flag goes before the file


def test_lines_and_zones_are_added_up(tmp_path: Path) -> None:
    given = parse("--line", "gate:0,0.5,1,0.5", "--zone", "hall:0,0;1,0;1,1", "--hysteresis", "0.3")
    settings, counting = read(tmp_path, SHOP, **given)
    assert [line.name for line in counting.lines] == ["door", "gate"]
    assert [zone.name for zone in counting.zones] == ["queue", "hall"]
    assert (settings.score_threshold, counting.hysteresis) == (0.5, 0.3)
    assert settings.source == "rtsp://camera/stream"


def test_a_file_s_counting_is_taken(tmp_path: Path) -> None:
    _, counting = read(tmp_path, SHOP)
    assert counting.hysteresis == 0.2
    assert counting.memory_s == CountingConfig().memory_s


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[trakcer]\nscore_threshold = 0.5", r"shop.toml: trakcer = .* is not known: use .*tracker"),
        (
            "[tracker]\nscore_treshold = 0.5",
            r"tracker.score_treshold = 0.5 is not known: \[tracker\] has crowded, score_threshold, "
            "track_buffer",
        ),
        (
            '[tracker]\nscore_threshold = "high"',
            r'shop.toml: tracker.score_threshold = "high" must be a number from 0 up to 1',
        ),
        (
            "[tracker]\nscore_threshold = 1.5",
            r"tracker.score_threshold = 1.5 must be a number from 0 up to 1",
        ),
        ("[tracker]\nscore_threshold = true", r"tracker.score_threshold = true must be a number"),
        ("[tracker]\ntrack_buffer = 1.5", r"tracker.track_buffer = 1.5 must be a whole number from 0"),
        ("[camera]\nstall_s = 0", r"camera.stall_s = 0 must be a number above 0 up to 600"),
        ('[camera]\ntransport = "smoke"', r'camera.transport = "smoke" must be one of tcp, udp'),
        ("[camera]\nstall_s = nan", r"camera.stall_s = nan must be a number"),
        ("tracker = 3", r"shop.toml: tracker = 3 must be a table: write \[tracker\]"),
        ("model = 3", r"shop.toml: model = 3 must be a text"),
        ("[[line]]\nname = 'door'", r"shop.toml: a \[\[line\]\] lacks 'end'"),
        ("line = 3", r"shop.toml: write \[\[line\]\], with two brackets"),
        ("[tracker\n", r"shop.toml is not TOML"),
    ],
)
def test_what_is_wrong_in_the_file_is_told_by_name(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(InvalidInputError, match=complaint) as caught:
        read(tmp_path, text, **LEAST)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"score_threshold": 1.5}, "--score-threshold = 1.5 must be a number from 0 up to 1"),
        ({"transport": "smoke"}, '--transport = "smoke" must be one of tcp, udp'),
        ({"line": ["door"]}, "write name:x1,y1,x2,y2"),
        ({"source": None}, "source is missing: give SOURCE on the command line, or source = "),
    ],
)
def test_what_is_wrong_in_a_flag_is_told_by_name(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidInputError, match=complaint):
        read_live_settings(None, LEAST | given)


def test_the_bundled_model_stands_in_for_none() -> None:
    settings, _ = read_live_settings(None, LEAST | {"model": None})

    assert settings.model == bundled_model()


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"absent.toml cannot be read \(No such file"):
        read_live_settings(tmp_path / "absent.toml", LEAST)


def test_a_misspelt_source_does_not_show_its_password(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"sorce = .* is not known") as caught:
        read(tmp_path, 'sorce = "rtsp://admin:hunter2@camera/live"', **LEAST)
    assert "hunter2" not in str(caught.value)


def test_no_two_settings_share_a_key_or_a_flag() -> None:
    assert len({entry.key for entry in TABLE}) == len({entry.flag for entry in TABLE}) == len(TABLE)
