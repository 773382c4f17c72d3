"""A recording on a disk that reports only when a file is closed that it is full."""

from contextlib import suppress

import pytest

from edge_fairmot.errors import SinkError
from edge_fairmot.service.recording.files import RotatingFile, recorded_files
from edge_fairmot.sinks import read_json_lines

from ...sinks.late_disk import late_disk  # noqa: TID252
from .conftest import EVENT, missed, result, trouble


def test_it_pauses_the_recording_and_not_the_run(record, caplog):
    with late_disk():
        sink = record(file_size="1KB")
        for index in range(20):
            sink.write(result(index))
    assert "recording is paused, tracking continues" in caplog.text
    assert "No space left on device" in caplog.text
    before, _ = missed(sink)
    assert 0 < before < 20
    for index in range(20, 60):
        sink._retention.check()
        sink.write(result(index))
    assert trouble(sink) == ""
    assert missed(sink)[0] <= before + 1  # of the file that was open


def test_it_pauses_where_the_frame_size_changes(record, tmp_path):
    with late_disk():
        sink = record()
        sink.write(result(0))
    sink.write(result(1, size=(32, 24)))
    assert missed(sink) == (1, 0)
    sink._retention.check()
    sink.write(result(2, size=(32, 24)))
    sink.close()
    newest, frames = read_json_lines(recorded_files(tmp_path, "tracks")[-1])
    assert newest.frame_size == (32, 24)
    assert [number for number, _, _ in frames] == [3]


@pytest.mark.parametrize("clips", [False, True])
def test_everything_is_closed_before_the_error_at_the_end(record, *, clips):
    if clips:
        pytest.importorskip("av", reason="video is written with PyAV")
    with late_disk():
        sink = record(clips=clips)
        sink.write(result(0, events=(EVENT,)))
        with pytest.raises(SinkError, match="No space left on device"):
            sink.close()
    assert sink._writing() == set()
    assert not sink._retention._thread.is_alive()
    sink.close()
    record()  # its name is free


def test_the_next_line_begins_another_file(tmp_path):
    paths = iter([tmp_path / "a", tmp_path / "b"])
    file = RotatingFile(lambda: next(paths), bytes, 5, 10**9)
    with late_disk():
        file.write("one\n")
    with pytest.raises(SinkError, match="a cannot be written"):
        file.write("two\n")
    assert file.path is None
    file.write("three\n")
    file.close()
    assert (tmp_path / "b").read_bytes() == b"three\n"


def test_lost_events_are_counted(record):
    with late_disk():
        sink = record(file_size="1KB")
        for index in range(30):
            sink.write(result(index, 0, events=(EVENT,)))
    _, before = missed(sink)
    assert 0 < before < 30
    with suppress(SinkError):  # of the file of tracks
        sink.close()
