"""What a recording deletes beyond its budget, and on a disk that is smaller than that."""

import os
import shutil
import time
from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_fairmot.service.recording import RecordingConfig
from edge_fairmot.service.recording.files import recorded_files
from edge_fairmot.service.recording.retention import HYSTERESIS, Retention

from .conftest import missed, recorded_numbers, result, trouble


@settings(max_examples=150)
@given(
    files=st.lists(st.tuples(st.integers(0, 5000), st.booleans()), max_size=8),
    others_leave=st.integers(0, 12_000),
    budget=st.integers(4000, 40_000),
    keep_free=st.integers(0, 8000),
)
def test_no_more_than_needed_is_deleted_and_never_an_open_file(
    files, others_leave, budget, keep_free, tmp_path_factory
):
    folder = tmp_path_factory.mktemp("recording")
    sizes = [size for size, _ in files]
    paths = [folder / f"tracks-2026010{day}T000000Z.mp4" for day in range(1, len(sizes) + 1)]
    for path, size in zip(paths, sizes, strict=True):
        path.write_bytes(bytes(size))
    held = {path for path, (_, writing) in zip(paths, files, strict=True) if writing}

    def taken():
        return sum(path.stat().st_size for path in recorded_files(folder, "tracks"))

    def free(total):
        return others_leave + sum(sizes) - total

    config = RecordingConfig(folder, file_size="1KB", budget=f"{budget}B", keep_free=f"{keep_free}B")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free(taken())))
        retention = Retention(config, lambda: held)
        retention.close()

    def is_fine(total):
        return total <= budget and free(total) >= HYSTERESIS * keep_free

    left = set(recorded_files(folder, "tracks"))
    gone = [index for index, path in enumerate(paths) if path not in left]
    own = [index for index, path in enumerate(paths) if path not in held]
    assert gone == own[: len(gone)]
    if gone:
        assert not is_fine(taken() + sizes[gone[-1]])
    assert is_fine(taken()) or gone == own
    assert bool(retention.trouble) == (free(taken()) < keep_free)


def test_the_oldest_files_beyond_the_budget_are_deleted(record, tmp_path):
    older, foreign = tmp_path / "tracks-20200101T000000Z.mp4", tmp_path / "holiday.mp4"
    older.write_bytes(bytes(5000))
    foreign.write_bytes(bytes(100_000))
    sink = record(file_size="1KB", budget="6KB")
    sink._retention.check()
    assert older.exists()
    for index in range(200):
        sink.write(result(index, 3))
        sink._retention.check()
        assert sink._tracks.path.exists()
        assert sum(path.stat().st_size for path in recorded_files(tmp_path, "tracks")) <= 6000 + 1000
    sink.close()
    assert (older.exists(), foreign.exists()) == (False, True)
    numbers = recorded_numbers(tmp_path)
    assert numbers == list(range(numbers[0], 201))
    assert len(numbers) > 15


def test_the_oldest_is_by_what_was_recorded_when_and_not_by_names(record, tmp_path, caplog):
    """Names of 2099 were written first; what is dated in the future was still there before."""
    first, second, ahead = (
        tmp_path / f"tracks-{name}.mp4"
        for name in ("20990101T000000Z", "20200101T000000Z", "20980101T000000Z")
    )
    for path, age_s in ((first, 7200), (second, 3600), (ahead, -1e9)):
        path.write_bytes(bytes(1900))
        os.utime(path, (time.time() - age_s,) * 2)
    sink = record(file_size="1KB", budget="6KB")
    assert f"2 files of the recording are from the future, the last one is {first}" in caplog.text
    left = [{first, second, ahead}]
    for index in range(300):
        sink.write(result(index, 3))
        sink._retention.check()
        left.append({path for path in left[0] if path.exists()})
        if not left[-1]:
            break
        assert recorded_numbers(tmp_path)[0] == 1  # of this run nothing is deleted before them
    order = [gone for before, after in pairwise(left) for gone in before - after]
    assert order == [ahead, first, second]


def test_the_thread_checks_the_disk_by_itself(record, tmp_path, monkeypatch):
    monkeypatch.setattr("edge_fairmot.service.recording.retention.CHECK_S", 0.01)
    older = tmp_path / "tracks-20200101T000000Z.jsonl"
    older.write_bytes(bytes(5000))
    sink = record(file_size="1KB", budget="4KB")
    for _ in range(3000):
        if not older.exists():
            break
        sink._retention._closed.wait(0.01)
    assert not older.exists()


def test_a_recording_continues_for_ever_on_a_disk_smaller_than_its_budget(small_disk, record, caplog):
    caplog.set_level("INFO")
    sink = record(path=small_disk / "tracks.jsonl", file_size="20KB", keep_free="200KB")
    for index in range(1000):
        sink.write(result(index, 30))
        sink._retention.check()
    sink.close()
    files = recorded_files(small_disk, "tracks")
    numbers = recorded_numbers(small_disk)
    written = sum(path.stat().st_size for path in files) / len(numbers) * 1000
    assert written > 1.5 * 2**20
    assert (trouble(sink), missed(sink)) == ("", (0, 0))
    assert numbers == list(range(numbers[0], 1001))
    assert shutil.disk_usage(small_disk).free >= 200_000
    assert "the oldest file: the disk has little space" in caplog.text


def test_recording_pauses_with_some_space_left_and_continues_with_a_quarter_more(small_disk, record):
    others, older = small_disk / "others", small_disk / "tracks-20200101T000000Z.mp4"
    sink = record(path=small_disk / "tracks.jsonl", keep_free="500KB")
    sink.write(result(0))
    assert trouble(sink) == ""
    others.write_bytes(bytes(600_000))
    sink._retention.check()
    assert "MB are free" in trouble(sink)
    sink.write(result(1))
    assert missed(sink) == (1, 0)
    others.write_bytes(bytes(500_000))
    sink._retention.check()
    assert trouble(sink)  # more than keep_free, and not a quarter more
    others.write_bytes(bytes(350_000))
    older.write_bytes(bytes(100_000))
    sink._retention.check()
    assert not older.exists()  # makes the space
    sink.write(result(2))
    assert (trouble(sink), missed(sink)) == ("", (1, 0))
