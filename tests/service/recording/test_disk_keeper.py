"""What a recording gives up where the disk is smaller than its budget."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_fairmot.service.recording import RecordingConfig, RecordingSink
from edge_fairmot.service.recording.disk_keeper import ROOM_TO_GO_ON, DiskKeeper
from edge_fairmot.service.recording.names import recorded_files
from edge_fairmot.sinks import read_json_lines

from .conftest import people, picture


@settings(max_examples=150)
@given(
    files=st.lists(st.tuples(st.integers(0, 5000), st.booleans()), max_size=8),
    others_leave=st.integers(0, 12_000),
    budget=st.integers(4000, 40_000),
    keep_free=st.integers(0, 8000),
)
def test_no_more_is_given_up_than_is_needed_and_never_what_is_written(
    files: list[tuple[int, bool]],
    others_leave: int,
    budget: int,
    keep_free: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("recording")
    sizes = [size for size, _ in files]
    paths = [folder / f"tracks-2026010{day}T000000Z.mp4" for day in range(1, len(sizes) + 1)]
    for path, size in zip(paths, sizes, strict=True):
        path.write_bytes(bytes(size))
    held = {path for path, (_, writing) in zip(paths, files, strict=True) if writing}

    def taken() -> int:
        return sum(path.stat().st_size for path in recorded_files(folder, "tracks"))

    def free(total: int) -> int:
        return others_leave + sum(sizes) - total

    config = RecordingConfig(folder, file_bytes=1000, budget_bytes=budget, keep_free_bytes=keep_free)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free(taken())))
        keeper = DiskKeeper(config, lambda: held)
        keeper.close()

    def is_fine(total: int) -> bool:
        return total <= budget and free(total) >= ROOM_TO_GO_ON * keep_free

    left = set(recorded_files(folder, "tracks"))
    gone = [index for index, path in enumerate(paths) if path not in left]
    own = [index for index, path in enumerate(paths) if path not in held]
    assert gone == own[: len(gone)]
    if gone:
        assert not is_fine(taken() + sizes[gone[-1]])
    assert is_fine(taken()) or gone == own
    assert bool(keeper.trouble) == (free(taken()) < keep_free)


def test_a_recording_goes_on_for_ever_on_a_disk_smaller_than_its_budget(
    small_disk: Path, record: Callable[..., RecordingSink], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    sink = record(folder=small_disk, file_bytes=20_000, keep_free_bytes=200_000)
    for index in range(1500):
        sink.write(picture(index), people(20))
        sink._keeper.look()
    sink.close()
    files = recorded_files(small_disk, "tracks")
    numbers = [number for path in files for number, _, _ in read_json_lines(path)[1]]
    written = sum(path.stat().st_size for path in files) / len(numbers) * 1500
    assert written > 1.5 * 2**20
    assert (sink.trouble, sink.missed) == ("", 0)
    assert numbers == list(range(numbers[0], 1501))
    assert shutil.disk_usage(small_disk).free >= 200_000
    assert "the oldest: the disk has little room" in caplog.text


def test_a_recording_that_others_have_stopped_makes_room_to_go_on(
    small_disk: Path, record: Callable[..., RecordingSink]
) -> None:
    older = small_disk / "tracks-20200101T000000Z.mp4"
    (small_disk / "others").write_bytes(bytes(900_000))
    sink = record(folder=small_disk, keep_free_bytes=200_000)
    assert "MB are free" in sink.trouble
    (small_disk / "others").unlink()
    (small_disk / "others").write_bytes(bytes(700_000))
    older.write_bytes(bytes(100_000))
    sink._keeper.look()
    assert not older.exists()
    assert sink.trouble == ""
