"""Events on disk: in order, limited in number, and kept through crashes and full disks."""

import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_fairmot.errors import SinkError
from edge_fairmot.service.mqtt.outbox import MAX_UNWRITTEN, Outbox

STEPS = st.lists(
    st.one_of(st.just("add"), st.just("reopen"), st.tuples(st.just("remove"), st.integers(0, 5))), max_size=40
)


@settings(max_examples=40)
@given(steps=STEPS, limit=st.integers(1, 6))
def test_it_keeps_the_newest_events_that_were_not_removed(steps, limit, tmp_path_factory):
    path = tmp_path_factory.mktemp("outbox") / "events.db"
    outbox, expected, added, dropped = Outbox(path, limit), dict[int, str](), 0, 0
    name = outbox.name
    for step in steps:
        if step == "add":
            added += 1
            outbox.add(f"event {added}")
            expected[added] = f"event {added}"
            dropped += len(expected.keys() - set(range(added - limit + 1, added + 1)))
            expected = {number: text for number, text in expected.items() if number > added - limit}
        elif step == "reopen":
            outbox.close()
            outbox = Outbox(path, limit)
        else:
            gone = list(expected)[: step[1]]  # type: ignore[index]
            outbox.remove(gone)
            for number in gone:
                del expected[number]
        assert outbox.after(0, 100) == list(expected.items())
        assert outbox.count() == (len(expected), dropped)
    assert outbox.name == name
    outbox.close()


def test_a_damaged_file_is_set_aside(tmp_path, caplog):
    path = tmp_path / "events.db"
    path.write_bytes(b"no database " * 1000)
    with closing(Outbox(path, 10)) as outbox:
        outbox.add("new")
        assert outbox.after(0, 10) == [(1, "new")]
    assert (tmp_path / "events.db.damaged").read_bytes().startswith(b"no database")
    assert "is damaged" in caplog.text


@pytest.mark.parametrize("place", ["/proc/events.db", "a file/events.db", "a folder"])
def test_a_bad_place_is_named(place, tmp_path):
    (tmp_path / "a file").write_text("in the way")
    (tmp_path / "a folder").mkdir()
    with pytest.raises(SinkError, match="or choose another place") as caught:
        Outbox(tmp_path / place, 10)
    assert place in str(caught.value)


def fill(path):
    with path.open("wb", 0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass


def test_events_wait_in_memory_while_the_disk_is_full(disk_of):
    small_disk = disk_of("16m")
    with closing(Outbox(small_disk / "events.db", 10_000)) as outbox:
        outbox.add("on disk")
        fill(small_disk / "full")
        for number in range(MAX_UNWRITTEN + 300):
            outbox.add(f"{number:04} {'x' * 100}")
        written = len(outbox.after(0, 10_000))
        assert 1 <= written < 300
        waiting, dropped = outbox.count()
        assert waiting + dropped == 1 + MAX_UNWRITTEN + 300
        assert waiting - written == MAX_UNWRITTEN
        oldest = outbox.take_unwritten(2)
        assert [text[:4] for text in oldest] == [f"{written - 1 + dropped:04}", f"{written + dropped:04}"]
        (small_disk / "full").unlink()
        outbox.sync()
        outbox.add("there is space")
        numbers, texts = zip(*outbox.after(0, 10_000), strict=True)
        assert texts[-1] == "there is space"
        assert list(numbers) == sorted(numbers)
        assert outbox.count() == (waiting - 2 + 1, dropped)


def log_of(path):
    """SQLite's log: its salts, which are new in each log, and its content."""
    log = path.with_name(path.name + "-wal").read_bytes()
    return log[16:24], log


def test_sync_begins_the_next_log_which_waits_for_the_disk(tmp_path):
    path = tmp_path / "events.db"
    Outbox(path, 10).close()
    with closing(Outbox(path, 10)) as outbox:
        begun, _ = log_of(path)
        for number in range(3):
            outbox.add(f"event {number}")
            assert log_of(path)[0] == begun
            outbox.sync()
            assert log_of(path)[0] != begun
            begun, _ = log_of(path)
        assert [text for _, text in outbox.after(0, 10)] == ["event 0", "event 1", "event 2"]
        assert outbox.count() == (3, 0)


def test_sync_writes_nothing_without_new_events(tmp_path):
    path = tmp_path / "events.db"
    with closing(Outbox(path, 10)) as outbox:
        outbox.add("event")
        outbox.sync()
        before = log_of(path)
        outbox.sync()
        assert log_of(path) == before
        outbox.remove([1])
        outbox.sync()
        assert log_of(path)[0] != before[0]


SYNCED = """
import os, sys, threading
from pathlib import Path
from edge_fairmot.service.mqtt.outbox import Outbox

Path(sys.argv[1]).parent.mkdir()
Outbox(Path(sys.argv[1]), 10).close()
outbox = Outbox(Path(sys.argv[1]), 10)
os.write(1, b"begin")
for number in range(3):
    outbox.add("event")
    thread = threading.Thread(target=outbox.sync)
    thread.start()
    thread.join()
os.write(1, b"end")
"""


def test_only_the_thread_that_syncs_waits_for_the_disk(tmp_path):
    trace = tmp_path / "trace"
    command = ["strace", "-f", "-e", "trace=fsync,fdatasync,sync_file_range,write", "-o", str(trace)]
    if shutil.which("strace") is None or subprocess.run([*command, "true"], check=False).returncode:
        pytest.skip("needs strace (apt-get install strace) and its permission")
    command += [sys.executable, "-c", SYNCED, str(tmp_path / "outbox" / "events.db")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    calls = re.search(r'(\d+) +write\(1, "begin".*?\n(.*)"end"', trace.read_text(), re.DOTALL)
    assert calls is not None
    waiting = re.findall(r"^(\d+) +f(?:data)?sync", calls[2], re.MULTILINE)
    assert len(waiting) >= 3
    assert calls[1] not in waiting


def test_the_file_of_an_earlier_release_is_read(tmp_path):
    with closing(sqlite3.connect(tmp_path / "events.db", isolation_level=None)) as earlier:
        earlier.execute(
            "CREATE TABLE events (number INTEGER PRIMARY KEY AUTOINCREMENT, payload TEXT NOT NULL)"
        )
        earlier.execute("CREATE TABLE spool (name TEXT NOT NULL, dropped INTEGER NOT NULL)")
        earlier.execute("INSERT INTO spool VALUES ('9f86d081', 3)")
        earlier.execute("INSERT INTO events VALUES (17, 'event')")
    with closing(Outbox(tmp_path / "events.db", 10)) as outbox:
        outbox.add("new")
        assert (outbox.name, outbox.count()) == ("9f86d081", (2, 3))
        assert outbox.after(0, 10) == [(17, "event"), (18, "new")]
