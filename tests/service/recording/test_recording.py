"""Files that follow each other, a budget, and a disk that fills up."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_fairmot.counting import Event
from edge_fairmot.errors import InvalidInputError, SinkError
from edge_fairmot.service.recording import (
    ClipConfig,
    RecordingConfig,
    RecordingSink,
    parse_recording,
    parse_size,
)
from edge_fairmot.service.recording.disk_keeper import DiskKeeper
from edge_fairmot.service.recording.names import FileNames, recorded_files
from edge_fairmot.service.recording.rotating_file import RotatingFile
from edge_fairmot.sinks import read_json_lines
from edge_fairmot.types import Tracks

from .conftest import HEADER, fill, people, picture

BEGUN = datetime(2026, 11, 23, 14, 29, 20, tzinfo=timezone.utc)


@settings(max_examples=60)
@given(
    lines=st.lists(st.binary(min_size=20, max_size=60).map(lambda data: data.replace(b"\n", b".") + b"\n")),
    steps_s=st.lists(st.floats(0, 5), min_size=100, max_size=100),
)
def test_files_follow_each_other_and_each_is_whole(
    lines: list[bytes], steps_s: list[float], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, now_s, begun_s = tmp_path_factory.mktemp("parts"), [0.0], [0.0]

    def next_path() -> Path:
        begun_s.append(now_s[0])
        return folder / f"{len(begun_s):03}"

    file = RotatingFile(next_path, lambda: b"header\n", 100, 20, lambda: now_s[0])
    for line, step_s in zip(lines, steps_s, strict=False):
        now_s[0] += step_s
        file.write(line)
        assert now_s[0] - begun_s[-1] <= 20
    file.close()
    parts = [path.read_bytes() for path in sorted(folder.iterdir())]
    assert all(part.startswith(b"header\n") for part in parts)
    assert all(len(part) <= 100 for part in parts)
    assert b"".join(part.removeprefix(b"header\n") for part in parts) == b"".join(lines[: len(steps_s)])


def test_a_name_is_never_taken_twice(tmp_path: Path) -> None:
    moments = [BEGUN] * 11 + [BEGUN - timedelta(hours=1)] * 3 + [BEGUN + timedelta(seconds=1)]
    (tmp_path / "shop-20261123T142920Z.jsonl").touch()
    names = FileNames(tmp_path, "shop", lambda: moments.pop(0))
    given = []
    while moments:
        given.append(names.next(".jsonl"))
        given[-1].touch()
    assert given[0].name == "shop-20261123T142920Z-2.jsonl"
    assert given[-1].name == "shop-20261123T142921Z.jsonl"
    assert recorded_files(tmp_path, "shop")[1:] == given


def test_only_files_of_the_recording_are_its_own(tmp_path: Path) -> None:
    own = ["shop-20261123T142920Z.txt", "shop-20261123T142921Z.events.jsonl", "shop-20261124T000000Z.mp4"]
    others = [
        "shop.jsonl",
        "shop-20261123T142920Z.bak",
        "other-20261123T142920Z.txt",
        "shop-2-20261123T142920Z.txt",
    ]
    for name in (*own, *others):
        (tmp_path / name).touch()
    assert [path.name for path in recorded_files(tmp_path, "shop")] == own


def test_every_file_is_read_alone_and_none_is_missing(
    record: Callable[..., RecordingSink], tmp_path: Path
) -> None:
    sink = record(mot_text=True, file_bytes=1000)
    for index in range(60):
        sink.write(picture(index), people(1 + index % 2))
    sink.take_event(picture(59), Event("in", "door", 7, 105.9))
    sink.close()
    files = recorded_files(tmp_path, "tracks")
    numbers, headers = [], []
    for path in files:
        assert re.fullmatch(r"tracks-\d{8}T\d{6}Z(-\d+)?\.(jsonl|txt|events\.jsonl)", path.name)
        assert path.stat().st_size <= 1000
        if re.search(r"Z(-\d+)?\.jsonl", path.name):
            header, frames = read_json_lines(path)
            read = list(frames)
            numbers += [number for number, _, _ in read]
            headers.append(header)
            recording = header.settings["recording"]
            assert recording["time_s"] == read[0][1]
            assert datetime.fromisoformat(recording["begun"].replace("Z", "+00:00")).tzinfo is not None
    assert numbers == list(range(1, 61))
    assert len(headers) > 5
    assert {header.settings["score_threshold"] for header in headers} == {0.4}
    text = b"".join(path.read_bytes() for path in files if path.suffix == ".txt")
    assert [int(line.split(b",")[0]) for line in text.splitlines()] == [
        number for number in range(1, 61) for _ in range(1 + (number - 1) % 2)
    ]
    (events,) = tmp_path.glob("*.events.jsonl")
    assert json.loads(events.read_text())["track_id"] == 7


def test_another_size_of_pictures_begins_another_file(
    record: Callable[..., RecordingSink], tmp_path: Path
) -> None:
    sink = record()
    for index, size in enumerate([(64, 48), (64, 48), (32, 24), (64, 48)]):
        sink.write(picture(index, size), people())
    sink.close()
    read = [read_json_lines(path) for path in recorded_files(tmp_path, "tracks")]
    assert [(header.frame_size, len(list(frames))) for header, frames in read] == [
        ((64, 48), 2),
        ((32, 24), 1),
        ((64, 48), 1),
    ]


def test_the_oldest_go_beyond_the_budget_and_never_what_is_written(
    record: Callable[..., RecordingSink], tmp_path: Path
) -> None:
    older = tmp_path / "tracks-20200101T000000Z.mp4"
    older.write_bytes(bytes(5000))
    foreign = tmp_path / "holiday.mp4"
    foreign.write_bytes(bytes(100_000))
    sink = record(file_bytes=1000, budget_bytes=6000)
    sink._keeper.look()
    assert older.exists()
    for index in range(200):
        sink.write(picture(index), people(3))
        sink._keeper.look()
        assert sink._tracks.path.exists()
        assert sum(path.stat().st_size for path in recorded_files(tmp_path, "tracks")) <= 6000 + 1000
    assert not older.exists()
    assert foreign.exists()
    sink.close()
    last = [list(read_json_lines(path)[1]) for path in recorded_files(tmp_path, "tracks")]
    kept = [number for frames in last for number, _, _ in frames]
    assert kept == list(range(kept[0], 201))
    assert len(kept) > 15


def test_a_file_that_is_written_stays_though_it_is_the_oldest(tmp_path: Path) -> None:
    names = [f"tracks-2020010{day}T000000Z.mp4" for day in (1, 2, 3)]
    for name in names:
        (tmp_path / name).write_bytes(bytes(3000))
    config = RecordingConfig(tmp_path, file_bytes=1000, budget_bytes=4000, keep_free_bytes=0)
    DiskKeeper(config, lambda: {tmp_path / names[0]}).close()
    assert [path.name for path in recorded_files(tmp_path, "tracks")] == names[:1]


def test_a_line_that_does_not_fit_is_not_half_there(small_disk: Path) -> None:
    file = RotatingFile(lambda: small_disk / "lines", bytes, 10**9, 10**9)
    with pytest.raises(SinkError, match="No space left"):
        write_for_ever(file, b"x" * 2999 + b"\n")
    assert file.path is None
    size = (small_disk / "lines").stat().st_size
    assert (size % 3000, size > 900_000) == (0, True)


def write_for_ever(file: RotatingFile, line: bytes) -> None:
    while True:
        file.write(line)


def test_the_thread_looks_after_the_budget_by_itself(
    record: Callable[..., RecordingSink], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_fairmot.service.recording.disk_keeper.CHECK_S", 0.01)
    older = tmp_path / "tracks-20200101T000000Z.jsonl"
    older.write_bytes(bytes(5000))
    sink = record(file_bytes=1000, budget_bytes=4000)
    for _ in range(3000):
        if not older.exists():
            break
        sink._keeper._closed.wait(0.01)
    assert not older.exists()


def test_a_full_disk_stops_the_recording_and_not_the_run(
    small_disk: Path, record: Callable[..., RecordingSink], caplog: pytest.LogCaptureFixture
) -> None:
    sink = record(folder=small_disk, mot_text=True, keep_free_bytes=0)
    for index in range(5):
        sink.write(picture(index), people(20))
    fill(small_disk / "others")
    for index in range(5, 100):
        sink.write(picture(index), people(20))
        sink._keeper.look()  # as the thread does, and there is no room yet
    assert "No space left" in sink.trouble
    assert caplog.text.count("recording has stopped, tracking goes on") == 1
    before = sink.missed
    assert before > 50
    (small_disk / "others").unlink()
    sink._keeper.look()
    assert sink.trouble == ""
    assert caplog.text.count("recording goes on") == 1
    for index in range(100, 105):
        sink.write(picture(index), people(20))
    sink.close()
    assert sink.missed == before
    read = [
        list(read_json_lines(path)[1])
        for path in recorded_files(small_disk, "tracks")
        if path.suffix == ".jsonl"
    ]
    numbers = [number for frames in read for number, _, _ in frames]
    assert numbers[:5] == [1, 2, 3, 4, 5]
    assert numbers[-5:] == [101, 102, 103, 104, 105]
    assert len(numbers) >= 105 - before
    for path in small_disk.glob("*.txt"):
        assert path.read_bytes().endswith(b",-1,-1,-1\n")  # no half line
    assert not list(small_disk.glob(".*probe"))


def test_recording_stops_while_there_is_still_some_room(
    small_disk: Path, record: Callable[..., RecordingSink]
) -> None:
    sink = record(folder=small_disk, keep_free_bytes=500_000)
    sink.write(picture(0), people())
    assert sink.trouble == ""
    (small_disk / "others").write_bytes(bytes(600_000))
    sink._keeper.look()
    assert "MB are free" in sink.trouble
    sink.write(picture(1), people())
    assert sink.missed == 1
    (small_disk / "others").write_bytes(bytes(500_000))
    sink._keeper.look()
    assert sink.trouble  # enough to stop by, not yet to go on
    (small_disk / "others").unlink()
    sink._keeper.look()
    sink.write(picture(2), people())
    assert (sink.trouble, sink.missed) == ("", 1)


def test_a_folder_that_is_gone_stops_the_recording_until_it_is_back(
    record: Callable[..., RecordingSink], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "stick"
    sink = record(folder=folder, file_bytes=1000)
    sink.write(picture(0), people())
    folder.rename(tmp_path / "elsewhere")
    (tmp_path / "stick").write_text("in the way")
    for index in range(1, 50):
        sink.write(picture(index), people())
    sink._keeper.look()
    assert sink.trouble
    assert caplog.text.count("recording has stopped") == 1
    (tmp_path / "stick").unlink()
    (tmp_path / "elsewhere").rename(folder)
    sink._keeper.look()
    sink.write(picture(50), people())
    assert sink.trouble == ""


def test_nan_is_refused_and_a_closed_recording_too(record: Callable[..., RecordingSink]) -> None:
    sink = record()
    bad = people()
    bad.xyxy[0, 0] = np.nan
    with pytest.raises(SinkError, match="not finite"):
        sink.write(picture(0), bad)
    sink.close()
    sink.close()
    with pytest.raises(SinkError, match="is closed"):
        sink.write(picture(0), people())


def test_two_runs_need_two_names(record: Callable[..., RecordingSink], tmp_path: Path) -> None:
    record()
    with pytest.raises(SinkError, match="belongs to another run: give each a name of its own"):
        record()
    record(stem="other")
    with pytest.raises(SinkError, match="cannot be used"):
        record(folder=Path("/proc/recording"))


KILLED = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from conftest import HEADER, people, picture
from edge_fairmot.counting import Event
from edge_fairmot.service.recording import ClipConfig, RecordingConfig, RecordingSink

clips = ClipConfig(before_s=1, after_s=1e2, longest_s=1000)
sink = RecordingSink(RecordingConfig(Path(sys.argv[1]), mot_text=True, clips=clips, file_bytes=5000), HEADER)
for index in range(10**9):
    sink.write(picture(index, (128, 96)), people())
    if index == 20:
        sink.take_event(picture(index), Event("in", "door", 1, 0.0))
    print(index + 1, flush=True)
    time.sleep(0.005)
"""


def test_a_killed_run_leaves_everything_readable(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="video is written with PyAV")
    from edge_fairmot.errors import SourceError
    from edge_fairmot.sources import VideoSource

    folder = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(folder), str(Path(__file__).parent)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(100)]
    for _ in range(3000):  # until the encoder has come to its third second
        if sum(path.read_bytes().count(b"moof") for path in folder.glob("*.mp4")) >= 3:
            break
        said.append(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate()
    written = int([line for line in [*said, *rest.splitlines(keepends=True)] if line.endswith("\n")][-1])
    files = recorded_files(folder, "tracks")
    read = [read_json_lines(path)[1] for path in files if re.search(r"Z(-\d+)?\.jsonl", path.name)]
    numbers = [number for frames in read for number, _, _ in frames]
    assert len(read) >= 3
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) in (written, written + 1)
    (clip,) = (path for path in files if path.suffix == ".mp4")
    seen = []
    try:
        with VideoSource(clip) as source:
            for frame in source:
                seen.append(frame.time_s)  # noqa: PERF401
    except SourceError as error:
        assert "is cut off" in str(error)  # noqa: PT017
    assert len(seen) >= 10


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("out/tracks.jsonl", RecordingConfig(Path("out"), "tracks")),
        ("shop.txt", RecordingConfig(Path(), "shop", json_lines=False, mot_text=True)),
        ("out", RecordingConfig(Path("out"), mot_text=True, clips=ClipConfig())),
    ],
)
def test_a_path_says_what_is_recorded(path: str, expected: RecordingConfig) -> None:
    assert parse_recording(Path(path)) == expected


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"a recording is NAME\.jsonl"):
        parse_recording(Path("tracks.csv"))
    for wrong, message in (
        ({"stem": "../x"}, "the names of a recording"),
        ({"json_lines": False}, "nothing to record"),
        ({"file_s": 0}, "file_s must be between"),
        ({"budget_bytes": 1000}, "budget_bytes must be between"),
        ({"keep_free_bytes": -1}, "keep_free_bytes must be"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            RecordingConfig(tmp_path, **wrong)
    for wrong, message in (
        ({"longest_s": 3}, "longest_s"),
        ({"rate": 0}, "rate"),
        ({"before_s": -1}, "before_s"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            ClipConfig(**wrong)


@pytest.mark.parametrize(("text", "size"), [("500MB", 500_000_000), ("1.5 gb", 1_500_000_000), ("64 B", 64)])
def test_a_size_is_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["500", "MB", "-1MB", "1TB", ""])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="a size is written 500MB"):
        parse_size(text)


def test_no_people_is_a_frame_too(record: Callable[..., RecordingSink], tmp_path: Path) -> None:
    sink = record()
    sink.write(picture(0), people(0))
    sink.close()
    (path,) = recorded_files(tmp_path, "tracks")
    ((number, _, tracks),) = read_json_lines(path)[1]
    assert (number, len(tracks)) == (1, 0)
    assert isinstance(tracks, Tracks)
    assert HEADER.source == read_json_lines(path)[0].source
