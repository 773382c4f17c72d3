"""The compiled kernel is there where nothing that was compiled can be kept."""

import os
import shutil
import subprocess
import sys

import pytest

pytest.importorskip("numba", reason="needs the fast extra")

from edge_fairmot.runtimes import im2col_kernel


@pytest.mark.parametrize("kept", [False, True])
def test_a_service_that_can_write_nowhere_has_the_kernel(tmp_path, kept):
    shutil.copy(im2col_kernel.__file__, tmp_path / "kernel.py")
    if not kept:
        # What is not a folder cannot be written by root either.
        (tmp_path / "__pycache__").write_text("")
    program = "import kernel; print(type(kernel._sample_at_once._cache).__name__)"
    nowhere = dict.fromkeys(("HOME", "XDG_CACHE_HOME"), "/dev/null")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environment | nowhere,
    )
    assert (done.returncode, done.stdout) == (0, "FunctionCache\n" if kept else "NullCache\n"), done.stderr
