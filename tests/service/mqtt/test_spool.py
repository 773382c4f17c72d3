"""Events on disk: in order, bounded, and there after whatever happens."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_fairmot.errors import SinkError
from edge_fairmot.service.mqtt.spool import IN_MEMORY, Spool

STEPS = st.lists(
    st.one_of(st.just("add"), st.just("reopen"), st.tuples(st.just("remove"), st.integers(0, 5))), max_size=40
)


@settings(max_examples=40)
@given(steps=STEPS, limit=st.integers(1, 6))
def test_it_holds_the_newest_that_were_not_removed(
    steps: list[object], limit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("spool") / "events.db"
    spool, expected, added, dropped = Spool(path, limit), dict[int, str](), 0, 0
    name = spool.name
    for step in steps:
        if step == "add":
            added += 1
            spool.add(f"event {added}")
            expected[added] = f"event {added}"
            dropped += len(expected.keys() - set(range(added - limit + 1, added + 1)))
            expected = {number: text for number, text in expected.items() if number > added - limit}
        elif step == "reopen":
            spool.close()
            spool = Spool(path, limit)
        else:
            gone = list(expected)[: step[1]]  # type: ignore[index]
            spool.remove(gone)
            for number in gone:
                del expected[number]
        assert spool.after(0, 100) == list(expected.items())
        assert spool.count() == (len(expected), dropped)
    assert spool.name == name
    spool.close()


def test_what_is_asked_for_begins_after_a_number(tmp_path: Path) -> None:
    with closing(Spool(tmp_path / "events.db", 10)) as spool:
        for text in "abcd":
            spool.add(text)
        assert spool.after(1, 2) == [(2, "b"), (3, "c")]
        assert spool.after(1, 0) == []


def test_a_damaged_file_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "events.db"
    path.write_bytes(b"no database " * 1000)
    with closing(Spool(path, 10)) as spool:
        spool.add("new")
        assert spool.after(0, 10) == [(1, "new")]
    assert (tmp_path / "events.db.damaged").read_bytes().startswith(b"no database")
    assert "is damaged" in caplog.text


@pytest.mark.parametrize("place", ["/proc/events.db", "a file/events.db", "a folder"])
def test_a_place_that_takes_no_file_is_named(place: str, tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("in the way")
    (tmp_path / "a folder").mkdir()
    with pytest.raises(SinkError, match="or choose another place") as caught:
        Spool(tmp_path / place, 10)
    assert place in str(caught.value)


@pytest.fixture
def small_disk(disk_of: Callable[[str], Path]) -> Path:
    """A disk of 16 MiB."""
    return disk_of("16m")


def fill(path: Path) -> None:
    with path.open("wb", 0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass


def test_a_full_disk_keeps_events_in_memory_until_there_is_room(small_disk: Path) -> None:
    with closing(Spool(small_disk / "events.db", 10_000)) as spool:
        spool.add("on disk")
        fill(small_disk / "full")
        for number in range(IN_MEMORY + 300):
            spool.add(f"{number:04} {'x' * 100}")
        written = len(spool.after(0, 10_000))
        assert 1 <= written < 300
        waiting, dropped = spool.count()
        assert waiting + dropped == 1 + IN_MEMORY + 300
        assert waiting - written == IN_MEMORY
        oldest = spool.take_unwritten(2)
        assert [text[:4] for text in oldest] == [f"{written - 1 + dropped:04}", f"{written + dropped:04}"]
        (small_disk / "full").unlink()
        spool.sync()
        spool.add("there is room")
        numbers, texts = zip(*spool.after(0, 10_000), strict=True)
        assert texts[-1] == "there is room"
        assert list(numbers) == sorted(numbers)
        assert spool.count() == (waiting - 2 + 1, dropped)


def log_of(path: Path) -> tuple[bytes, bytes]:
    """SQLite's log: what it is begun anew with (its salts), and all of it."""
    log = path.with_name(path.name + "-wal").read_bytes()
    return log[16:24], log


def test_who_syncs_begins_the_next_log_for_which_the_disk_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    Spool(path, 10).close()
    with closing(Spool(path, 10)) as spool:
        begun, _ = log_of(path)
        for number in range(3):
            spool.add(f"event {number}")
            assert log_of(path)[0] == begun
            spool.sync()
            assert log_of(path)[0] != begun
            begun, _ = log_of(path)
        assert [text for _, text in spool.after(0, 10)] == ["event 0", "event 1", "event 2"]
        assert spool.count() == (3, 0)


def test_of_nothing_new_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    with closing(Spool(path, 10)) as spool:
        spool.add("event")
        spool.sync()
        before = log_of(path)
        spool.sync()
        assert log_of(path) == before
        spool.remove([1])
        spool.sync()
        assert log_of(path)[0] != before[0]


SYNCED = """
import os, sys, threading
from pathlib import Path
from edge_fairmot.service.mqtt.spool import Spool

Path(sys.argv[1]).parent.mkdir()
Spool(Path(sys.argv[1]), 10).close()
spool = Spool(Path(sys.argv[1]), 10)
os.write(1, b"begin")
for number in range(3):
    spool.add("event")
    thread = threading.Thread(target=spool.sync)
    thread.start()
    thread.join()
os.write(1, b"end")
"""


def test_only_the_thread_that_syncs_waits_for_the_disk(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    command = ["strace", "-f", "-e", "trace=fsync,fdatasync,sync_file_range,write", "-o", str(trace)]
    if shutil.which("strace") is None or subprocess.run([*command, "true"], check=False).returncode:
        pytest.skip("needs strace (apt-get install strace), and to be let use it")
    command += [sys.executable, "-c", SYNCED, str(tmp_path / "spool" / "events.db")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    calls = re.search(r'(\d+) +write\(1, "begin".*?\n(.*)"end"', trace.read_text(), re.DOTALL)
    assert calls is not None
    waiting = re.findall(r"^(\d+) +f(?:data)?sync", calls[2], re.MULTILINE)
    assert len(waiting) >= 3
    assert calls[1] not in waiting


def test_a_closed_spool_refuses(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "events.db", 10)
    spool.close()
    spool.close()
    with pytest.raises(sqlite3.Error):
        spool.after(0, 1)
