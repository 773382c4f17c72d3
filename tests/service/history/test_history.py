"""The history: written, killed, cut from power, turned around, pruned, and read by the local day."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from edge_fairmot.counting import Counter, CountingConfig, parse_line
from edge_fairmot.errors import InvalidInputError, SinkError
from edge_fairmot.service.history import History, HistorySink, HistoryStore, history_path
from edge_fairmot.service.history.store import DAY, MINUTE, Batch, Event, Presence, Shape
from edge_fairmot.types import CountingEvent, Frame, FrameResult, Totals, Tracks

BERLIN = ZoneInfo("Europe/Berlin")
LINE, ZONE = ("line", "a1"), ("zone", "b2")
DOOR = Shape(*LINE, "door", ((0.1, 0.5), (0.9, 0.5)))
SHAPES = (DOOR, Shape(*ZONE, "queue"))


def microseconds(text: str) -> int:
    """Of a local time in Berlin."""
    return round(datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp() * 1e6)


def crossing(at: int, went: int = 0, track_id: int = 1) -> Event:
    return Event(at, LINE, "person", went, track_id, None)


@pytest.fixture
def store(tmp_path):
    with closing(HistoryStore(tmp_path / "history.db")) as store:
        yield store


def read(store: HistoryStore) -> History:
    return History(store.path, BERLIN)


def local(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN)


def test_totals_of_all_today_and_yesterday_turn_at_local_midnight(store):
    camera = store.camera("shop")
    store.begin(camera, SHAPES, microseconds("2026-07-01T08:00"))
    for moment in ("07-10T23:59:59", "07-11T00:00:00", "07-11T23:59:59", "07-12T00:00:00"):
        store.write(camera, Batch([crossing(microseconds(f"2026-{moment}"))]))
    left = Event(microseconds("2026-07-12T00:10"), ZONE, "person", 1, 4, 2500)
    store.write(camera, Batch([left._replace(went=0, dwell_ms=None), left]))
    door, queue = read(store).totals(local("2026-07-12T12:00"))
    assert (door.name, door.id, door.since) == ("door", "a1", local("2026-07-01T08:00"))
    assert (door.all, door.today, door.yesterday) == (Totals(4), Totals(1), Totals(2))
    assert queue.all == Totals(entries=1, stays=1, dwell_s=2.5, longest_s=2.5)


@pytest.mark.parametrize(
    ("day", "hours", "twice"),
    [("2026-03-29", 23, 0), ("2026-10-25", 25, 1), ("2026-07-11", 24, 0)],
)
def test_days_have_23_24_or_25_hours(store, day, hours, twice):
    camera = store.camera("shop")
    store.begin(camera, SHAPES, 0)
    begin = microseconds(f"{day}T00:00")
    store.write(camera, Batch([crossing(begin + hour * 60 * MINUTE + 30 * MINUTE) for hour in range(26)]))
    history, start = read(store), local(f"{day}T00:00")
    (today, _) = history.counts(start, start + timedelta(days=2), "day")
    assert (today.totals.inwards, today.start) == (hours, start)
    assert (today.end.date() - today.start.date()).days == 1
    assert (today.end.hour, today.end.minute) == (0, 0)
    rows = list(history.counts(start, today.end, "hour"))
    assert [row.totals.inwards for row in rows] == [1] * hours
    seconds = {row.end.timestamp() - row.start.timestamp() for row in rows}
    assert seconds == {3600.0}
    assert [row.start.hour for row in rows].count(2) == 1 + twice - (hours == 23)


def test_occupancy_is_a_mean_over_the_time_watched(store):
    camera = store.camera("shop")
    begin = microseconds("2026-07-11T09:00")
    store.begin(camera, SHAPES, begin)
    presence = {(begin // MINUTE + n, ZONE, "person"): Presence(60_000 * n, n) for n in range(1, 4)}
    store.write(camera, Batch(presence=presence, watched=(begin, begin + 10 * MINUTE)))
    store.write(camera, Batch(watched=(begin + 10 * MINUTE, begin + 12 * MINUTE)))
    (row,) = read(store).counts(local("2026-07-11T09:00"), local("2026-07-11T12:00"))
    assert row.mean_occupancy == pytest.approx(6 / 12)
    assert row.max_occupancy == 3


def test_renaming_moving_and_turning_around_keep_every_count_on_its_side(store):
    camera = store.camera("shop")
    store.begin(camera, SHAPES, 0)
    at = microseconds("2026-07-11T09:00")
    store.write(camera, Batch([crossing(at), crossing(at), crossing(at, went=1)]))
    turned = DOOR._replace(name="front", ends=DOOR.ends[::-1])
    store.write(camera, Batch([crossing(at)], shapes=(turned,)))
    history, when = read(store), local("2026-07-11T10:00")
    (door, _) = history.totals(when)
    assert (door.name, door.today) == ("front", Totals(inwards=2, outwards=2))
    words = [event.event for event in history.events(local("2026-07-11T00:00"), when)]
    assert words == ["in", "in", "out", "out"]  # the newest first
    moved = turned._replace(ends=((0.2, 0.2), (0.9, 0.9)))
    assert store.begin(camera, (moved,), 0)[LINE] == {"person": Totals(2, 2)}
    assert store.begin(camera, (DOOR._replace(ends=moved.ends[::-1]),), 0)[LINE] == {"person": Totals(2, 2)}
    assert [event.event for event in history.events(local("2026-07-11T00:00"), when)] == [
        *("out", "out", "in", "in"),
    ]


def test_events_of_one_microsecond_are_all_kept_and_pages_follow_each_other(store):
    camera = store.camera("shop")
    store.begin(camera, SHAPES, 0)
    at = microseconds("2026-07-11T09:00")
    store.write(camera, Batch([crossing(at, track_id=number) for number in range(250)]))
    store.add_clip(camera, Path("/kept/one.mp4"), at - MINUTE, at + MINUTE)
    other = store.camera("yard")
    store.begin(other, SHAPES, 0)
    store.write(other, Batch([crossing(at)]))
    history, span = read(store), (local("2026-07-11T00:00"), local("2026-07-12T00:00"))
    seen, before = [], None
    while page := history.events(*span, camera="shop", before=before):
        seen += page
        before = page[-1].id
    assert [event.track_id for event in seen] == list(range(249, -1, -1))
    assert {event.clip for event in seen} == {"/kept/one.mp4"}
    assert [event.camera for event in history.events(*span, limit=1)] == ["yard"]
    assert history.events(*span, limit=1)[0].clip is None


def test_keep_days_bounds_everything_but_the_totals(tmp_path):
    with closing(HistoryStore(tmp_path / "history.db", keep_days=30)) as store:
        camera = store.camera("shop")
        store.begin(camera, SHAPES, 0)
        now = microseconds("2026-07-11T09:00")
        for days in range(60):
            at = now - days * DAY
            store.write(camera, Batch([crossing(at) for _ in range(40)], watched=(at, at + MINUTE)))
            store.add_clip(camera, Path("one.mp4"), at, at + MINUTE)
        store.prune(now)
        history, when = read(store), local("2026-07-11T10:00")
        kept = history.events(when - timedelta(days=90), when, limit=10_000)
        assert len(kept) == 31 * 40
        assert sum(row.totals.inwards for row in history.counts(when - timedelta(days=90), when)) == 31 * 40
        assert history.totals(when)[0].all == Totals(60 * 40)
        store.sync()
        with sqlite3.connect(store.path) as connection:
            tables = [
                connection.execute(f"SELECT COUNT(*) FROM {one}").fetchone()[0] for one in ("watched", "clip")
            ]
        connection.close()
        assert max(tables) <= 31


def test_a_year_of_a_busy_door_fits_200_mb(store):
    """By the size of a row: 3,000 events a day, and a zone in which someone stays day and night."""
    camera = store.camera("shop")
    store.begin(camera, SHAPES, 0)
    begin, days = microseconds("2026-07-01T00:00"), 4
    for day in range(days):
        at = begin + day * DAY
        events = [crossing(at + number * DAY // 3000, number % 2, number) for number in range(3000)]
        minutes = range(at // MINUTE, at // MINUTE + 1440)
        presence = {(minute, ZONE, "person"): Presence(59_000, 12) for minute in minutes}
        store.write(camera, Batch(events, presence, (at, at + DAY - 1)))
        store.sync()
    assert store.path.stat().st_size / days * 365 < 200e6


WRITER = """
import sys, time
from pathlib import Path
from edge_fairmot.service.history import HistoryStore
from edge_fairmot.service.history.store import Batch, Event, Shape
store = HistoryStore(Path(sys.argv[1]))
camera = store.camera("shop")
store.write(camera, Batch(shapes=(Shape("line", "a1", "door", ((0, 0), (1, 1))),)))
for number in range(10 ** 9):
    at = time.time_ns() // 1000
    store.write(camera, Batch([Event(at, ("line", "a1"), "person", 0, number, None)]))
    print(number, flush=True)
"""


def ids_in(path: Path) -> list[int]:
    """The track ids of all events, the oldest first; the totals and the minutes agree with them."""
    now = datetime.now(timezone.utc)
    history, span = History(path), (now - timedelta(days=2), now + timedelta(days=2))
    (door,) = history.totals(now)
    ids = [event.track_id for event in history.events(*span, limit=10**9)][::-1]
    assert door.all.inwards == len(ids)
    assert sum(row.totals.inwards for row in history.counts(*span, by="minute")) == len(ids)
    return ids


def test_a_power_cut_at_any_moment_loses_and_doubles_no_acknowledged_event(tmp_path):
    """A file and its log, copied while a writing process is stopped, are what a disk then has."""
    path, rng, copies = tmp_path / "history.db", random.Random(1), []
    with subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        until_s, acknowledged = time.monotonic() + 20, -1
        for line in writer.stdout:
            acknowledged = int(line)
            if rng.random() < 0.01:
                writer.send_signal(signal.SIGSTOP)
                os.waitpid(writer.pid, os.WUNTRACED)
                folder = tmp_path / f"cut{len(copies)}"
                folder.mkdir()
                for part in ("", "-wal"):
                    shutil.copyfile(f"{path}{part}", folder / f"history.db{part}")
                copies.append((folder / "history.db", acknowledged))
                writer.send_signal(signal.SIGCONT)
            if len(copies) == 20 or time.monotonic() > until_s:
                break
        writer.kill()
    assert len(copies) > 3
    for copy, acknowledged in copies:
        ids = ids_in(opened_again(copy))
        assert ids == list(range(len(ids)))
        assert len(ids) > acknowledged
    killed = ids_in(opened_again(path))
    assert killed == list(range(len(killed)))
    assert len(killed) > acknowledged


def opened_again(path: Path) -> Path:
    HistoryStore(path).close()
    return path


def test_a_damaged_file_is_set_aside(tmp_path, caplog):
    path = tmp_path / "history.db"
    path.write_bytes(b"no database" * 1000)
    with closing(HistoryStore(path)) as store:
        store.begin(store.camera("shop"), SHAPES, 0)
    assert "counts begin anew" in caplog.text
    assert len(list(tmp_path.glob("history.db.damaged-*"))) == 1


def test_a_file_that_cannot_be_read_is_an_error_that_names_it(tmp_path):
    with pytest.raises(InvalidInputError, match=r"no history yet, in .*none\.db: run live with a --line"):
        History(tmp_path / "none.db").cameras()
    (tmp_path / "text.db").write_text("no database")
    with pytest.raises(InvalidInputError, match=r"text\.db cannot be read as a history"):
        History(tmp_path / "text.db").cameras()
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match=r"history\.folder"):
        HistoryStore(tmp_path / "file" / "history.db")


def test_two_runs_write_to_one_file(tmp_path):
    with (
        closing(HistoryStore(tmp_path / "history.db")) as one,
        closing(HistoryStore(tmp_path / "history.db")) as two,
    ):
        for store, name in ((one, "a"), (two, "b")):
            store.begin(store.camera(name), SHAPES, 0)
            for _ in range(20):
                store.write(store.camera(name), Batch([crossing(1_000_000)]))
        assert [shape.all.inwards for shape in History(one.path).totals(datetime.now(timezone.utc))[::2]] == [
            20,
            20,
        ]


def test_this_machines_zone_is_the_usual_one(tmp_path):
    """In a process of its own: a zone is read when Python begins."""
    path = tmp_path / "history.db"
    with closing(HistoryStore(path)) as store:
        camera = store.camera("shop")
        store.begin(camera, SHAPES, 0)
        begin = microseconds("2026-10-25T00:00")
        store.write(camera, Batch([crossing(begin + hour * 60 * MINUTE) for hour in range(25)]))
    code = (
        "import sys; from pathlib import Path; from datetime import *\n"
        "from edge_fairmot.service.history import History\n"
        "start = datetime(2026, 10, 24, tzinfo=timezone.utc)\n"
        "history, span = History(Path(sys.argv[1])), (start, start + timedelta(days=3))\n"
        "print([row.totals.inwards for row in history.counts(*span, 'day')],"
        " len(list(history.counts(*span, 'hour'))))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, path],
        env=os.environ | {"TZ": "Europe/Berlin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert told.stdout.strip() == "[25] 25"


def test_a_full_disk_stops_nothing_and_loses_nothing(disk_of):
    """Events wait in memory, and those of the next run too."""
    folder = disk_of("8m")
    config = CountingConfig((parse_line("door:0,0.5,1,0.5"),))

    def crossings(sink: HistorySink, counter: Counter, numbers: range) -> None:
        for number in numbers:
            event = CountingEvent("in", "door", number, time.monotonic())
            frame = Frame(np.zeros((8, 8, 3), np.uint8), number, time.monotonic())
            sink.write(FrameResult(frame, Tracks.empty(), (event,), counter.counts, ("person",)))

    for begun in (0, 200):
        with (
            closing(HistoryStore(history_path(folder))) as store,
            closing(HistorySink(store, "shop")) as sink,
        ):
            counter = Counter(config, (8, 8), earlier=sink.begin(config))
            assert counter.counts.lines["door"].inwards == begun
            crossings(sink, counter, range(begun, begun + 50))
            with (folder / "others").open("wb", buffering=0) as others, suppress(OSError):
                while others.write(bytes(4096)):
                    pass
            crossings(sink, counter, range(begun + 50, begun + 150))
            if begun:
                assert "cannot be written" in sink.health["history"]["trouble"]
            (folder / "others").unlink()
            time.sleep(1.1)  # a write that failed is tried again after a second
            crossings(sink, counter, range(begun + 150, begun + 200))
            assert sink.health == {"history": {"trouble": "", "missed_events": 0}}
    assert sorted(ids_in(history_path(folder))) == list(range(400))


def test_what_the_counter_shows_and_what_is_kept_agree_after_every_change_and_restart(tmp_path):
    """A line is renamed, turned around, left out, drawn again, and kept by the next run."""
    door = parse_line("door:0,0.5,1,0.5")
    changes = (
        [door],
        [replace(door, name="front", id="door")],
        [replace(door, name="front", id="door", start=door.end, end=door.start)],
        [],
        [replace(door, name="back", id="door", start=door.end, end=door.start)],
    )
    begun_s = time.monotonic() - 1000
    drawn, walked = CountingConfig((door,)), 1
    for _ in range(2):
        with (
            closing(HistoryStore(history_path(tmp_path))) as store,
            closing(HistorySink(store, "shop")) as sink,
        ):
            counter = Counter(drawn, (100, 100), live=True, earlier=sink.begin(drawn))
            for lines in changes:
                counter.redraw(lines, ())
                for step in range(10):  # five walks in one direction, each of another person
                    walked += 1
                    y, second = ((20, 90)[step % 2], 10.0 * (walked // 2) + 0.5 * (step % 2))
                    xyxy = np.array([[40, y - 10, 60, y]], np.float32)
                    tracks = replace(Tracks.empty(), **ONE, xyxy=xyxy, track_id=np.array([walked // 2]))
                    frame = Frame(np.zeros((100, 100, 3), np.uint8), walked, begun_s + second)
                    events = counter.update(tracks, frame.time_s)
                    sink.write(FrameResult(frame, tracks, events, counter.counts, ("person",)))
                (kept,) = History(store.path).totals(datetime.now(timezone.utc))
                for shown in counter.counts.lines.values():
                    assert (kept.all.inwards, kept.all.outwards) == (shown.inwards, shown.outwards)
                    assert kept.name == shown.name
            assert kept.all.inwards + kept.all.outwards > 15
            drawn, changes = counter.config, changes[::-1]


ONE = {
    "score": np.ones(1, np.float32),
    "class_id": np.zeros(1, np.int64),
    "predicted": np.zeros(1, bool),
}
