"""The command itself: quick to start, helpful, and one line for every error."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest
from typer.testing import CliRunner

import edge_fairmot
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
    assert eval(commands) == ["edge_fairmot.cli.console", "edge_fairmot.cli.main"]
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
