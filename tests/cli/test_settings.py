"""The table that flags and keys come from, on a small one with every kind."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from edge_fairmot.cli.settings import flags, read_settings, setting
from edge_fairmot.errors import InvalidInputError


@dataclass(frozen=True, slots=True)
class Shop:
    name: str = setting("", "", "Over the door.")
    open: bool = setting(False, "door", "Whether one may come in.")
    count: int | None = setting(None, "door", "How many.", low=1)
    colors: tuple[str, ...] = setting((), "door", "One or more; repeat.")
    plan: Path | None = setting(None, "door", "Where the shelves are.")


def read(*arguments: str, path: Path | None = None) -> Shop:
    given: dict[str, Any] = {}
    app = typer.Typer()

    def capture(**values: Any) -> None:
        given.update(values)

    capture.__signature__ = inspect.Signature(flags(Shop, "name"))  # type: ignore[attr-defined]
    app.command()(capture)
    result = CliRunner().invoke(app, [*arguments])
    assert result.exit_code == 0, result.output
    shop, rest = read_settings(Shop, path, given)
    assert rest == {}
    return shop


def test_flags_of_every_kind() -> None:
    assert read() == Shop()
    assert read("corner", "--open", "--count", "3", "--plan", "a/b") == Shop(
        "corner", True, 3, (), Path("a/b")
    )
    assert read("--colors", "red", "--colors", "blue").colors == ("red", "blue")


def test_keys_of_every_kind_and_flags_go_before(tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    path.write_text('name = "corner"\n[door]\nopen = true\ncount = 3\ncolors = ["red"]\nplan = "a/b"\n')
    assert read(path=path) == Shop("corner", True, 3, ("red",), Path("a/b"))
    assert read("--no-open", "--colors", "blue", "--count", "1", path=path) == Shop(
        "corner", False, 1, ("blue",), Path("a/b")
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[door]\nopen = 1", "door.open = 1 must be true or false"),
        ("[door]\ncount = 0", "door.count = 0 must be a whole number from 1"),
        ("[door]\ncount = true", "door.count = true must be a whole number"),
        ('[door]\ncolors = "red"', 'door.colors = "red" must be a list of texts'),
        ("[door]\ncolors = [1]", r"door.colors = \[1\] must be a list of texts"),
        ("[door]\nplan = 1", "door.plan = 1 must be a text"),
        ("[door]\nclosed = 1", r"door.closed = 1 is not known: \[door\] has colors, count, open, plan"),
        ("shop = 1", "shop = 1 is not known: use door, name"),
    ],
)
def test_what_is_wrong_is_told_with_what_is_allowed(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "shop.toml"
    path.write_text(text)
    with pytest.raises(InvalidInputError, match=complaint):
        read(path=path)


def test_a_setting_of_a_kind_that_has_no_flag_is_a_mistake() -> None:
    @dataclass(frozen=True)
    class Odd:
        tally: dict[str, int] = setting(None, "", "Of what?")

    with pytest.raises(TypeError, match="tally: a setting is of a plain type"):
        read_settings(Odd, None, {})
