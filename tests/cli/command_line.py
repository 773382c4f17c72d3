"""The command as a user types it: in this process, or in one of its own where that matters."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from typing import Any
from unittest import mock

# For processes of their own.
os.environ |= {"COLUMNS": "200", "NO_COLOR": "1"}

COMMAND = (sys.executable, "-m", "edge_fairmot")


def run(*arguments: Any, status: int | None = 0) -> subprocess.CompletedProcess[str]:
    """Run the command in this process; any exit status is right where ``status`` is None."""
    from edge_fairmot.cli import console
    from edge_fairmot.cli.main import run as run_command

    console.stdout.width = console.stderr.width = 200
    console.LINE_EVERY_S = 600  # tests compare all of stderr, however slow the machine is

    words = [str(argument) for argument in arguments]
    out, err, code = io.StringIO(), io.StringIO(), 0
    with (
        mock.patch.object(sys, "argv", ["edge-fairmot", *words]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            run_command()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    result = subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())
    assert status in (None, code), result.stdout + result.stderr
    return result


def run_process(*arguments: Any, status: int | None = 0) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    result = subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert status in (None, result.returncode), result.stdout + result.stderr
    return result


def assert_one_line_error(result: subprocess.CompletedProcess[str], *parts: str) -> str:
    """Hold that a run ended with one line that has all the parts, and return it."""
    lines = result.stderr.strip().splitlines()
    assert result.returncode == 1
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    for part in parts:
        assert part in lines[0]
    return lines[0]


def error_of(*arguments: Any) -> str:
    """Return the one line that a run fails with."""
    return assert_one_line_error(run(*arguments, status=1))
