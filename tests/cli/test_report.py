"""``edge-fairmot report``: how many between 9 and 10."""

from __future__ import annotations

import csv
import json
import subprocess
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path

import pytest

from edge_fairmot.service.history import HistoryStore, history_path
from edge_fairmot.service.history.store import MINUTE, Batch, Event, Presence, Shape

from .command_line import COMMAND

LINE, ZONE = ("line", "a1"), ("zone", "b2")


def report(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "report", *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False
    )


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp() * 1e6)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Three in and one out between 9 and 10, one in at 10; someone in the zone for half of the first hour."""
    with closing(HistoryStore(history_path(tmp_path))) as store:
        shapes = (Shape(*LINE, "door, front", ((0, 0), (1, 1))), Shape(*ZONE, "queue"))
        for name in ("shop", "yard"):
            camera = store.camera(name)
            moments = ("09:00", "09:30", "09:59:59.999", "10:00")
            events = [Event(at(f"2026-11-02T{one}"), LINE, "person", 0, 1, None) for one in moments]
            events.append(Event(at("2026-11-02T09:40"), LINE, "person", 1, 1, None))
            minute = at("2026-11-02T09:00") // MINUTE
            presence = {(minute + n, ZONE, "person"): Presence(60_000, 1) for n in range(30)}
            watched = (at("2026-11-02T08:00"), at("2026-11-02T12:00"))
            store.write(camera, Batch(events, presence, watched, shapes, watched[0]))
    return tmp_path


def test_how_many_between_9_and_10(state: Path, tmp_path: Path) -> None:
    path = tmp_path / "new" / "counts.csv"
    hours = ("--from", "2026-11-02T09:00Z", "--to", "2026-11-02T10:00Z", "--utc", "--camera", "shop")
    made = report(state, *hours, "-o", path)
    assert (made.returncode, made.stderr) == (0, "")
    with path.open(newline="") as file:
        door, queue = csv.DictReader(file)
    assert (door["start"], door["end"]) == ("2026-11-02T09:00:00+00:00", "2026-11-02T10:00:00+00:00")
    assert (door["camera"], door["name"], door["in"], door["out"]) == ("shop", "door, front", "3", "1")
    assert (queue["mean_occupancy"], queue["max_occupancy"], queue["in"]) == ("0.5", "1", "")
    again = report(state, *hours, "-o", path)
    assert again.returncode == 1
    assert "--overwrite" in again.stderr


def test_a_day_of_all_cameras_in_every_form(state: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    day = ("--from", "2026-11-02", "--to", "2026-11-02", "--by", "day", "--utc")
    for suffix in ("jsonl", "parquet"):
        assert report(state, *day, "-o", tmp_path / f"counts.{suffix}").returncode == 0
    rows = [json.loads(line) for line in (tmp_path / "counts.jsonl").read_text().splitlines()]
    assert [(row["camera"], row["kind"], row.get("in")) for row in rows] == [
        *(("shop", "line", 4), ("shop", "zone", None), ("yard", "line", 4), ("yard", "zone", None)),
    ]
    table = parquet.read_table(tmp_path / "counts.parquet").to_pylist()
    assert [{name: one for name, one in row.items() if one is not None} for row in table] == rows
    shown = report(state / "history.db", *day).stdout
    assert "door, front" in shown
    assert "nothing was counted" in report(state, "--from", "2027-01-01", "--to", "2027-01-01").stdout


def test_a_file_of_events_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    events = [
        {"time": f"2026-11-02T{time}.000Z", "time_s": 1.0, "event": event, **shape, "track_id": 1}
        for time, event, shape in (
            ("09:10:00", "in", {"line": "door"}),
            ("09:59:59", "out", {"line": "door"}),
            ("10:00:00", "leave", {"zone": "queue", "dwell_s": 3.0}),
        )
    ]
    header = {"schema_version": 1, "camera": "shop", "model": {}}
    path.write_text("".join(json.dumps(one) + "\n" for one in (header, *events)))
    out = tmp_path / "counts.jsonl"
    assert report(tmp_path, "--utc", "-o", out).returncode == 0
    door, queue = map(json.loads, out.read_text().splitlines())
    assert (door["in"], door["out"], door["camera"]) == (1, 1, "shop")
    assert (queue["start"][11:16], queue["stays"], queue["mean_dwell_s"]) == ("10:00", 1, 3.0)
    del events[0]["time"]
    path.write_text(json.dumps(events[0]) + "\n")
    failed = report(path)
    assert failed.returncode == 1
    assert "--start-time" in failed.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("none",), "cannot be read"),
        (("--from", "soon"), "'soon' is no time"),
        (("--from", "2026-11-02", "--to", "2026-11-01"), "not after"),
        (("-o", "counts.xls"), "must end in .csv"),
        ((), "there is no history yet"),
    ],
)
def test_what_cannot_be_reported_is_one_line(arguments: tuple[str, ...], words: str) -> None:
    failed = report(*arguments)
    assert failed.returncode == 1
    assert words in failed.stderr
    assert failed.stderr.count("\n") == 1


def test_events_of_a_video_have_the_time_of_day_that_it_is_given(still_model: Path, tmp_path: Path) -> None:
    source = "synthetic:size=64x64,people=6,fps=20,frames=60"
    video = (*COMMAND, "track", source, "-m", still_model, "--zone", "all:0,0;1,0;1,1;0,1", "--no-video")
    for start in ("2026-11-02T09:59:59Z", "noon"):
        command = [*map(str, video), "-o", str(tmp_path / "out"), "--start-time", start]
        made = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert made.returncode == (start == "noon")
    assert "'noon' is no time" in made.stderr
    events = [json.loads(line) for line in (tmp_path / "out" / "events.jsonl").read_text().splitlines()]
    assert events
    for event in events:
        time = datetime.fromisoformat(event["time"].replace("Z", "+00:00"))
        away = time - datetime(2026, 11, 2, 9, 59, 59, tzinfo=timezone.utc)
        assert away.total_seconds() == pytest.approx(event["time_s"], abs=0.001)
    assert report(tmp_path / "out", "--by", "minute", "--utc").stdout.count("all") >= 1
