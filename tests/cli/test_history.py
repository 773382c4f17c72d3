"""Counts of ``live`` outlive it."""

from __future__ import annotations

import os
import signal
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

from edge_fairmot.service.history import History, history_path

from .test_live import STREET, live

BUSY = "synthetic:size=64x64,people=6,fps=20"
DOOR = ("--line", "door:0,0.7,1,0.7", "--zone", "all:0,0;1,0;1,1;0,1", "--set", "log.every_s=0.2")


def counted(since: datetime) -> tuple[int, int]:
    """Entries by the totals and by the events, which must agree."""
    history, now = History(history_path()), datetime.now(timezone.utc)
    (zone,) = (shape for shape in history.totals(now) if shape.kind == "zone")
    events = history.events(since, now + timedelta(minutes=1), limit=10**9)
    entries = sum(event.event == "enter" for event in events)
    assert zone.all.entries == entries
    minutes = history.counts(since, now + timedelta(minutes=1), by="minute")
    assert sum(row.totals.entries for row in minutes) == entries
    assert len({event.id for event in events}) == len(events)
    return zone.all.entries, len(events)


def entries_told(line: str) -> int:
    return int(line.split('entries": ')[1].split(",", maxsplit=1)[0])


def test_a_killed_run_goes_on_counting_where_it_was(still_model: Path) -> None:
    begun, before = datetime.now(timezone.utc) - timedelta(seconds=1), 0
    for _ in range(3):
        with live(BUSY, "-m", still_model, *DOOR, "--log-format", "json") as run:
            first = entries_told(run.wait_for('"entries": '))
            assert first >= before
            until_s = time.monotonic() + 30
            told = first
            while told == first and time.monotonic() < until_s:
                told = entries_told(run.wait_for('"entries": '))
            run.end(signal.SIGKILL)
        entries, _ = counted(begun)
        assert entries >= told > before
        before = entries


def test_the_second_run_of_a_camera_and_one_that_keeps_nothing_write_no_history(still_model: Path) -> None:
    with live(BUSY, "-m", still_model, *DOOR) as one:
        one.wait_for("frames")
        with live(BUSY, "-m", still_model, *DOOR) as two:
            assert "belongs to another run" in two.wait_for("end with this run")
            assert two.end() == 0
        assert one.end() == 0
    os.remove(history_path())
    with live(BUSY, "-m", still_model, *DOOR, "--keep-days", "0") as none:
        none.wait_for("frames")
        assert none.end() == 0
    assert not history_path().exists()


def test_a_run_without_a_place_for_its_history_goes_on(still_model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with live(STREET, "-m", still_model, *DOOR, XDG_STATE_HOME=str(tmp_path / "file")) as run:
        run.wait_for("counts end with this run")
        run.wait_for("frames")
        assert run.end() == 0
