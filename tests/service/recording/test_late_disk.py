"""A recording on a disk that says only when a file is closed that it has not got it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edge_fairmot.counting import Event
from edge_fairmot.errors import SinkError
from edge_fairmot.service.recording import ClipConfig, RecordingSink
from edge_fairmot.service.recording.names import recorded_files
from edge_fairmot.service.recording.rotating_file import RotatingFile
from edge_fairmot.sinks import read_json_lines

from ..sinks.late_disk import late_disk  # noqa: TID252
from .conftest import people, picture


def test_it_stops_the_recording_and_not_the_run(
    record: Callable[..., RecordingSink], caplog: pytest.LogCaptureFixture
) -> None:
    with late_disk():
        sink = record(mot_text=True, file_bytes=1000)
        for index in range(20):
            sink.write(picture(index), people())
    assert "recording has stopped, tracking goes on" in caplog.text
    assert "No space left on device" in caplog.text
    assert 0 < sink.missed < 20
    missed = sink.missed
    for index in range(20, 60):
        sink._keeper.look()
        sink.write(picture(index), people())
    assert sink.trouble == ""
    assert sink.missed <= missed + 2  # for the two files that were begun there


def test_it_does_so_where_the_picture_changes_its_size(
    record: Callable[..., RecordingSink], tmp_path: Path
) -> None:
    with late_disk():
        sink = record()
        sink.write(picture(0), people())
    sink.write(picture(1, (32, 24)), people())
    assert sink.missed == 1
    sink._keeper.look()
    sink.write(picture(2, (32, 24)), people())
    sink.close()
    newest, frames = read_json_lines(recorded_files(tmp_path, "tracks")[-1])
    assert newest.frame_size == (32, 24)
    assert [number for number, _, _ in frames] == [3]


@pytest.mark.parametrize("clips", [False, True])
def test_everything_is_closed_before_it_is_told_of_the_end(
    record: Callable[..., RecordingSink], *, clips: bool
) -> None:
    if clips:
        pytest.importorskip("av", reason="video is written with PyAV")
    with late_disk():
        sink = record(mot_text=True, clips=ClipConfig() if clips else None)
        sink.write(picture(0), people())
        sink.take_event(picture(0), Event("in", "door", 1, 100.0))
        with pytest.raises(SinkError, match="No space left on device"):
            sink.close()
    assert sink._writing() == set()
    assert not sink._keeper._thread.is_alive()
    sink.close()
    record()  # its name is free


def test_the_next_line_begins_another_file(tmp_path: Path) -> None:
    paths = iter([tmp_path / "a", tmp_path / "b"])
    file = RotatingFile(lambda: next(paths), bytes, 5, 10**9)
    with late_disk():
        file.write(b"one\n")
    with pytest.raises(SinkError, match="a cannot be written"):
        file.write(b"two\n")
    assert file.path is None
    file.write(b"three\n")
    file.close()
    assert (tmp_path / "b").read_bytes() == b"three\n"


def test_events_of_a_recording_that_has_stopped_are_counted(record: Callable[..., RecordingSink]) -> None:
    with late_disk():
        sink = record(file_bytes=1000)
        for index in range(30):
            sink.take_event(picture(index), Event("in", "door", 1, 100.0))
    assert 0 < sink.missed_events < 30
    before = sink.missed_events
    sink._keeper.stop(SinkError("unplugged"))
    sink.take_event(picture(30), Event("in", "door", 1, 100.0))
    sink.write(picture(30), people())
    assert (sink.missed_events, sink.missed) == (before + 1, 1)
