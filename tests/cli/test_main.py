"""The command itself: quick to start, helpful, and one line for every error."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import time
from collections import defaultdict

import pytest
from typer.main import get_command
from typer.testing import CliRunner

import edge_fairmot
from edge_fairmot.cli import console
from edge_fairmot.cli.help_pages import OTHERS, value_type
from edge_fairmot.cli.main import COMMANDS, app

from .command_line import assert_one_line_error, run, run_process

HEAVY = ("numpy", "cv2", "torch", "onnxruntime", "edge_fairmot.pipeline", "edge_fairmot.service")


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["-h"], []])
def test_the_overview_imports_no_command_and_nothing_heavy(arguments):
    code = (
        "import sys, contextlib\n"
        "from edge_fairmot.cli.main import app\n"
        f"with contextlib.suppress(SystemExit): app({arguments!r})\n"
        "print([name for name in sys.modules if name.startswith('edge_fairmot.cli.')], file=sys.stderr)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    commands, heavy = done.stderr.splitlines()[-2:]
    assert eval(commands) == [
        "edge_fairmot.cli.console",
        "edge_fairmot.cli.help_pages",
        "edge_fairmot.cli.main",
    ]
    assert heavy == "[]"
    assert f"edge-fairmot {edge_fairmot.__version__}" in done.stdout or all(
        name in done.stdout for name in COMMANDS
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_that_begins_as_the_overview_says(name):
    result = CliRunner().invoke(app, [name, "-h"], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    module, _, function = COMMANDS[name].target.partition(":")
    found = getattr(importlib.import_module(f"edge_fairmot.cli.{module}"), function)
    if callable(found) and hasattr(found, "__name__"):
        assert (found.__doc__ or "").splitlines()[0] == COMMANDS[name].help
    assert COMMANDS[name].help in " ".join(result.output.replace("│", " ").split())


def walk(name, command):
    """Yield every command with its name, those of groups too."""
    yield name, command
    for one, below in getattr(command, "commands", {}).items():
        yield from walk(f"{name} {one}", below)


def every_command():
    group = get_command(app)
    for name in COMMANDS:
        yield from walk(name, group.get_command(None, name))


KINDS = {"Path": "text", "str": "text"}

MORE_IN_SOME = {"--score-threshold"}
"""Flags that take a number everywhere, and classes too where there is a tracker."""


def test_a_flag_means_the_same_in_every_command():
    """A flag takes a value of one type everywhere, or none."""
    meanings = defaultdict(lambda: defaultdict(list))
    for name, command in every_command():
        for parameter in command.params:
            if parameter.param_type_name == "option":
                kind = "nothing" if parameter.is_flag else value_type(parameter)
                meanings[parameter.opts[0]][KINDS.get(kind, kind)].append(name)
    assert {
        flag: dict(kinds) for flag, kinds in meanings.items() if len(kinds) > 1 and flag not in MORE_IN_SOME
    } == {}


def test_help_pages_are_laid_out():
    for name, command in every_command():
        options = [one for one in command.params if one.param_type_name == "option"]
        assert {one.opts[0] for one in options if one.rich_help_panel == OTHERS} == set(), name
    shown = " ".join(CliRunner().invoke(app, ["track", "-h"], env={"COLUMNS": "80"}).output.split())
    assert "<bool>" not in shown
    assert "Model and runtime" in shown
    assert "Example: edge-fairmot track street.mp4" in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_of_a_command_is_understood(name):
    """Its arguments are parsed; nothing is run."""
    words = COMMANDS[name].example.partition(" > ")[0].split()
    assert words[0] == name
    command = get_command(app).get_command(None, name)
    command.make_context(name, words[1:])


def test_python_m_is_the_same_command():
    assert (
        run_process("--version").stdout
        == run("--version").stdout
        == f"edge-fairmot {edge_fairmot.__version__}\n"
    )
    assert_one_line_error(run_process("inspect", "absent.onnx", status=None), "absent.onnx")


def test_an_unknown_command_is_told():
    assert "No such command 'nosuch'" in run("nosuch", status=2).stderr


def test_the_flat_api_is_complete_and_lazy():
    for name in edge_fairmot.__all__:
        assert getattr(edge_fairmot, name) is not None
    assert set(edge_fairmot.__all__) <= set(dir(edge_fairmot))
    with pytest.raises(AttributeError, match="nothing"):
        _ = edge_fairmot.nothing
    code = "import sys, edge_fairmot; print([m for m in ('numpy', 'cv2', 'lap', 'av') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_a_terminal_a_line_tells_the_progress(monkeypatch, capsys):
    monkeypatch.setattr(console, "LINE_EVERY_S", 0.05)
    with console.frame_progress("tracking", 40) as on_frame:
        for _ in range(10):
            on_frame()
        time.sleep(0.2)
    with console.step_progress("starting") as on_step:
        for number in range(1, 4):
            on_step(f"measuring layer {number} of 40")
            time.sleep(0.1)
    lines = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"tracking: 10 of 40 frames, \d+\.\d frames/s, \d+ s left", lines[0])
    assert re.fullmatch(r"measuring layer 3 of 40, \d+ s left", lines[-1])


@pytest.mark.parametrize("words", [["-q", "synthesize"], ["synthesize", "-q"], ["synthesize", "--quiet"]])
def test_quiet_prints_errors_only(words, tmp_path, monkeypatch):
    monkeypatch.setattr(console.stdout, "quiet", console.stdout.quiet)  # tests after it are not quiet
    result = run(*words, "synthetic:frames=2,size=160x96", "-o", tmp_path / "street")
    assert (tmp_path / "street" / "gt" / "gt.txt").exists()
    assert (result.stdout, result.stderr) == ("", "")
    assert run("runtimes").stdout != ""
    assert "no.onnx" in run("-q", "inspect", "no.onnx", status=1).stderr
