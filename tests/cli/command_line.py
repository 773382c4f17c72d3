"""The command as a user types it, in a process of its own."""

import os
import subprocess
import sys

COMMAND = (sys.executable, "-c", "from edge_fairmot.cli.main import run; run()")


def run(*arguments, status: int | None = 0):
    """Run to the end; any exit status is right where ``status`` is None."""
    result = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"COLUMNS": "200", "NO_COLOR": "1"},
    )
    assert status in (None, result.returncode), result.stdout + result.stderr
    return result


def assert_one_line_error(result, *parts):
    """Hold that a run ended with one line that has all the parts, and give it."""
    lines = result.stderr.strip().splitlines()
    assert result.returncode == 1
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    for part in parts:
        assert part in lines[0]
    return lines[0]


def error_of(*arguments):
    """Give the one line that a run fails with."""
    return assert_one_line_error(run(*arguments, status=1))
