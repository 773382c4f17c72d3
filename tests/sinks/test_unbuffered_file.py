"""Errors of a file, of which each is told once."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_fairmot.errors import SinkError
from edge_fairmot.sinks.files import UnbufferedFile

from .late_disk import late_disk


def test_what_the_disk_says_only_at_the_end_is_told_once(tmp_path: Path) -> None:
    with late_disk():
        file = UnbufferedFile(tmp_path / "lines")
    file.write(b"line\n")
    with pytest.raises(SinkError, match=r"lines cannot be written \(No space left on device\): free space"):
        file.close()
    assert file.closed
    file.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_closing_does_not_tell_again_what_a_write_has_told() -> None:
    with late_disk():
        file = UnbufferedFile("/dev/full")
    with pytest.raises(SinkError, match="No space left on device"):
        file.write(b"line\n")
    file.close()
    assert file.closed
