"""The page with a week of history: its first paint in Chromium, and the memory of the process that serves it.

``python -m tests.service.web.week`` makes 100,000 events, opens the page again and again, and prints the
figures. It is a measurement and no test: its times depend on the machine.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from edge_fairmot.service.history import History, HistoryStore
from edge_fairmot.service.history.store import MINUTE, Batch, Event, Presence, Shape
from edge_fairmot.service.web import CameraHistory, WebConfig

from .browser import opened_browser
from .conftest import served

DAYS = 7
SHAPES = (
    Shape("line", "door", "Front door", ((0.5, 0.3), (0.5, 1.0))),
    Shape("line", "yard", "Yard", ((0.1, 0.5), (0.9, 0.5))),
    Shape("zone", "queue", "Queue"),
)
TIMES = """(() => ({
  paint: performance.getEntriesByName('first-contentful-paint')[0].startTime,
  loaded: performance.getEntriesByType('navigation')[0].loadEventEnd,
}))()"""


def make_history(path: Path, count: int) -> None:
    """Write events at random times of the last week: crossings of two lines, stays in a zone."""
    store, rng = HistoryStore(path), random.Random(1)
    now = time.time_ns() // 1000
    begin = now - DAYS * 86_400_000_000
    camera = store.camera("street")
    store.begin(camera, SHAPES, begin)
    moments = sorted(rng.sample(range(begin, now), count))
    for first in range(0, count, 5000):
        batch = Batch(watched=(moments[first], moments[min(first + 4999, count - 1)]))
        for number, at in enumerate(moments[first : first + 5000], first):
            shape = rng.choice(SHAPES)[:2]
            went = rng.random() < 0.5
            dwell_ms = rng.randrange(2_000, 90_000) if went and shape[0] == "zone" else None
            batch.events.append(Event(at, shape, "person", int(went), number % 10_000, dwell_ms))
            if shape[0] == "zone":
                batch.presence[at // MINUTE, shape, "person"] = Presence(20_000.0, rng.randrange(1, 6))
        store.write(camera, batch)
    store.close()


def serve(path: Path) -> None:
    """Serve the page, print its address, and end when the input ends."""
    with served(WebConfig(), history=CameraHistory(History(path), "street")) as run:
        run.show(1)
        print(run.web.login_address, flush=True)
        sys.stdin.read()


def memory_mb(process: int) -> float:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure(path: Path, loads: int) -> None:
    """Open the page so many times, look at 90 days and all events each time, and print what it took."""
    command = [sys.executable, "-m", "tests.service.web.week", "--serve", str(path)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    address = server.stdout.readline().strip()
    paints, charts, memory = [], [], [memory_mb(server.pid)]
    try:
        with opened_browser() as browse:
            for _ in range(loads):
                with browse(address) as tab:
                    tab.wait("document.querySelector('#over-time').dataset.shown")
                    charts.append(tab.run("performance.now()"))
                    paints.append(tab.run(TIMES)["paint"])
                    tab.page.get_by_label("Time", exact=True).select_option("quarter")
                    tab.wait("document.querySelectorAll('#over-time .bar').length === 180")
                    assert (
                        tab.run("fetch('api/history/events.csv').then((csv) => csv.text())").count("\n") > 1
                    )
                memory.append(memory_mb(server.pid))
    finally:
        server.communicate(timeout=20)
    for name, times in (("first paint", paints), ("chart and events", charts)):
        print(f"{name}: median {statistics.median(times):.0f} ms, longest {max(times):.0f} ms")
    print("memory, MB, by loads:", " ".join(f"{one:.0f}" for one in memory))


def main() -> None:
    """Make the week and measure, or serve it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--loads", type=int, default=20)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve is not None:
        serve(chosen.serve)
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ["STATE_DIRECTORY"] = folder
        path = Path(folder) / "history.db"
        make_history(path, chosen.events)
        print(f"{chosen.events} events: {path.stat().st_size / 1e6:.1f} MB")
        measure(path, chosen.loads)


if __name__ == "__main__":
    main()
