"""Files that follow each other, events, and a disk that fills up."""

import json
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_fairmot.errors import InvalidInputError, SinkError
from edge_fairmot.service.recording import RecordingConfig, RecordingSink
from edge_fairmot.service.recording.files import FileNames, RotatingFile, recorded_files
from edge_fairmot.sinks import read_json_lines

from .conftest import EVENT, HEADER, fill, missed, recorded_numbers, result, trouble

BEGUN = datetime(2026, 11, 23, 14, 29, 20, tzinfo=timezone.utc)


@settings(max_examples=60)
@given(
    lines=st.lists(st.text("abc", min_size=20, max_size=60).map(lambda text: text + "\n")),
    steps_s=st.lists(st.floats(0, 5), min_size=100, max_size=100),
)
def test_files_follow_each_other_and_each_is_whole(lines, steps_s, tmp_path_factory):
    folder, now_s, begun_s = tmp_path_factory.mktemp("parts"), [0.0], [0.0]

    def next_path():
        begun_s.append(now_s[0])
        return folder / f"{len(begun_s):03}"

    file = RotatingFile(next_path, lambda: b"header\n", 100, 20, lambda: now_s[0])
    for line, step_s in zip(lines, steps_s, strict=False):
        now_s[0] += step_s
        file.write(line)
        assert now_s[0] - begun_s[-1] <= 20
    file.close()
    parts = [path.read_text() for path in sorted(folder.iterdir())]
    assert all(part.startswith("header\n") and len(part) <= 100 for part in parts)
    assert "".join(part.removeprefix("header\n") for part in parts) == "".join(lines[: len(steps_s)])


def test_a_line_that_does_not_fit_is_not_half_there(small_disk):
    file = RotatingFile(lambda: small_disk / "lines", bytes, 10**9, 10**9)

    def write_for_ever():
        while True:
            file.write("x" * 2999 + "\n")

    with pytest.raises(SinkError, match="No space left"):
        write_for_ever()
    assert file.path is None
    size = (small_disk / "lines").stat().st_size
    assert (size % 3000, size > 900_000) == (0, True)


def test_a_name_is_never_used_twice(tmp_path):
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


def test_only_files_of_the_recording_are_its_own(tmp_path):
    own = ["shop-20261123T142920Z.txt", "shop-20261123T142921Z.events.jsonl", "shop-20261124T000000Z.mp4"]
    others = ["shop.jsonl", "shop-20261123T142920Z.bak", "other-20261123T142920Z.txt"]
    for name in (*own, *others, "shop-2-20261123T142920Z.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in recorded_files(tmp_path, "shop")] == own


def test_every_file_can_be_read_alone_and_nothing_is_missing(record, tmp_path):
    pytest.importorskip("av", reason="a folder has clips, which PyAV writes")
    sink = record(path=tmp_path, file_size="1KB")
    for index in range(60):
        sink.write(result(index, 1 + index % 2, events=(EVENT,) if index == 58 else ()))
    sink.close()
    files = recorded_files(tmp_path, "tracks")
    headers = []
    for path in files:
        assert re.fullmatch(r"tracks-\d{8}T\d{6}Z(-\d+)?\.(jsonl|txt|events\.jsonl|mp4)", path.name)
        assert path.suffix == ".mp4" or path.stat().st_size <= 1000
        if path.suffixes == [".jsonl"]:
            header, frames = read_json_lines(path)
            headers.append(header)
            recording = header.settings["recording"]
            assert recording["time_s"] == next(frames)[1]
            assert datetime.fromisoformat(recording["begun"].replace("Z", "+00:00")).tzinfo is not None
    assert len(headers) > 5
    assert {header.settings["score_threshold"] for header in headers} == {0.4}
    assert recorded_numbers(tmp_path) == list(range(1, 61))
    text = b"".join(path.read_bytes() for path in files if path.suffix == ".txt")
    assert [int(line.split(b",")[0]) for line in text.splitlines()] == [
        number for number in range(1, 61) for _ in range(1 + (number - 1) % 2)
    ]
    (events,) = tmp_path.glob("*.events.jsonl")
    told, event = map(json.loads, events.read_text().splitlines())
    assert (told["schema_version"], told["camera"], told["model"]) == (1, HEADER.source, HEADER.model)
    assert event == {
        "frame": 59,
        "time_s": 105.9,
        "event": "in",
        "line": "door",
        "track_id": 7,
    }
    assert sink.health == {"recording": {"trouble": "", "missed_frames": 0, "missed_events": 0}}


def test_events_of_a_live_run_have_the_time_of_day(tmp_path):
    header = replace(HEADER, settings={"clock": {"utc": "", "time_s": 0.0}})
    seen_s, now = time.monotonic() - 2, datetime.now(timezone.utc)
    with RecordingSink(RecordingConfig(path=tmp_path / "tracks.jsonl", keep_free="0B"), header) as sink:
        sink.write(result(0, events=(replace(EVENT, time_s=seen_s),)))
    (path,) = tmp_path.glob("*.events.jsonl")
    event = json.loads(path.read_text().splitlines()[1])
    assert event["time"].endswith("Z")
    away = datetime.fromisoformat(event["time"].replace("Z", "+00:00")) - (now - timedelta(seconds=2))
    assert abs(away) < timedelta(seconds=1)
    assert event["time_s"] == seen_s


def test_another_frame_size_begins_another_file(record, tmp_path):
    sink = record()
    for index, size in enumerate([(64, 48), (64, 48), (32, 24), (64, 48)]):
        sink.write(result(index, size=size))
    sink.close()
    read = [read_json_lines(path) for path in recorded_files(tmp_path, "tracks")]
    assert [(header.frame_size, len(list(frames))) for header, frames in read] == [
        ((64, 48), 2),
        ((32, 24), 1),
        ((64, 48), 1),
    ]


def test_a_full_disk_pauses_the_recording_and_not_the_run(small_disk, record, caplog):
    sink = record(path=small_disk)
    for index in range(5):
        sink.write(result(index, 20))
    fill(small_disk / "others")
    for index in range(5, 100):
        sink.write(result(index, 20, events=(EVENT,) if index == 90 else ()))
        sink._retention.check()  # as its thread does; there is no space yet
    assert "No space left" in trouble(sink)
    assert caplog.text.count("recording is paused, tracking continues") == 1
    before = missed(sink)
    assert before[0] > 50
    assert before[1] == 1
    (small_disk / "others").unlink()
    sink._retention.check()
    assert trouble(sink) == ""
    assert caplog.text.count("recording continues") == 1
    for index in range(100, 105):
        sink.write(result(index, 20))
    sink.close()
    assert missed(sink) == before
    numbers = recorded_numbers(small_disk)
    assert numbers[:5] == [1, 2, 3, 4, 5]
    assert numbers[-5:] == [101, 102, 103, 104, 105]
    assert len(numbers) >= 105 - before[0]
    for path in small_disk.glob("*.txt"):
        assert path.read_bytes().endswith(b",-1,-1,-1\n")  # no half line
    assert not list(small_disk.glob(".*probe"))


def test_a_folder_that_is_gone_pauses_the_recording_until_it_is_back(record, tmp_path, caplog):
    folder = tmp_path / "stick"
    sink = record(path=folder / "tracks.jsonl", file_size="1KB")
    sink.write(result(0))
    folder.rename(tmp_path / "elsewhere")
    folder.write_text("in the way")
    for index in range(1, 50):
        sink.write(result(index))
    sink._retention.check()
    assert trouble(sink)
    assert caplog.text.count("recording is paused") == 1
    folder.unlink()
    (tmp_path / "elsewhere").rename(folder)
    sink._retention.check()
    sink.write(result(50))
    assert trouble(sink) == ""


def test_nan_and_a_closed_recording_are_errors(record):
    sink = record()
    bad = result(0)
    bad.tracks.xyxy[0, 0] = np.nan
    with pytest.raises(SinkError, match="not finite"):
        sink.write(bad)
    sink.close()
    sink.close()
    with pytest.raises(SinkError, match="is closed"):
        sink.write(result(0))


def test_two_runs_need_two_names(record, tmp_path):
    record()
    with pytest.raises(SinkError, match=r"belongs to another run, process \d+: give each run another name"):
        record()
    record(path=tmp_path / "other.jsonl")
    with pytest.raises(SinkError, match="cannot be used"):
        record(path=Path("/proc/recording/tracks.jsonl"))


KILLED = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from conftest import EVENT, HEADER, result
from edge_fairmot.service.recording import RecordingConfig, RecordingSink

config = RecordingConfig(Path(sys.argv[1]), before_s=1, after_s=100, longest_s=1000, file_size="5KB")
sink = RecordingSink(config, HEADER)
for index in range(10**9):
    sink.write(result(index, size=(128, 96), events=(EVENT,) if index == 20 else ()))
    print(index + 1, flush=True)
    time.sleep(0.005)
"""


def test_a_killed_run_leaves_everything_readable(tmp_path):
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
    for _ in range(3000):  # until the encoder is in its third second
        if sum(path.read_bytes().count(b"moof") for path in folder.glob("*.mp4")) >= 3:
            break
        said.append(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate()
    written = int([line for line in [*said, *rest.splitlines(keepends=True)] if line.endswith("\n")][-1])
    numbers = recorded_numbers(folder)
    assert len(list(folder.glob("*.jsonl"))) >= 3 + 1  # and the one of events
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) in (written, written + 1)
    (clip,) = folder.glob("*.mp4")
    seen = 0
    try:
        with VideoSource(clip) as source:
            for _ in source:
                seen += 1
    except SourceError as error:
        assert "cut off" in str(error)  # noqa: PT017
    assert seen >= 10


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("out/shop.jsonl", ("out", "shop", True, False, False)),
        ("shop.txt", (".", "shop", False, True, False)),
        ("out", ("out", "tracks", True, True, True)),
    ],
)
def test_the_path_says_what_is_recorded(path, expected):
    config = RecordingConfig(Path(path))
    found = str(config.folder), config.stem, config.json_lines, config.mot_text, config.has_clips
    assert found == expected
    assert RecordingConfig(Path(path), clips=True).has_clips


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"path": Path("tracks.csv")}, r"path must be NAME\.jsonl"),
        ({"path": Path("a b.jsonl")}, "path must have a name of letters"),
        ({"file_s": 0}, "file_s must be between 1 and"),
        ({"longest_s": 3}, "longest_s must be between 6 and"),
        ({"rate": 0}, "rate must be"),
        ({"before_s": -1}, "before_s must be"),
        ({"before_s": float("nan")}, "before_s must be"),
        ({"file_size": "10B"}, "file_size must be between 1KB and 100GB, not 10B"),
        ({"budget": "1KB"}, "budget must be between 256MB and"),
        *(({"keep_free": text}, "keep_free must be a size") for text in ("500", "MB", "-1MB", "1TB", "")),
    ],
)
def test_settings_out_of_range_are_refused(setting, message):
    with pytest.raises(InvalidInputError, match=f"^{message}"):
        RecordingConfig(**{"path": Path("tracks.jsonl")} | setting)


def test_sizes_are_read():
    config = RecordingConfig(Path("a.jsonl"), file_size="1.5 mb", budget="2GB", keep_free="64 B")
    assert [config.bytes_of(name) for name in ("file_size", "budget", "keep_free")] == [
        1_500_000,
        2_000_000_000,
        64,
    ]
