"""What ``track-many`` shows: the videos at work on a terminal, and what a run would do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from edge_fairmot.cli.console import print_pairs, printable, stderr, stdout
from edge_fairmot.fleet import Driver, Job, Plan
from edge_fairmot.fleet.results import DONE, FAILED

ROWS = 20
"""Most videos shown at once."""


@contextmanager
def showing(driver: Driver, jobs: Sequence[Job]) -> Iterator[Callable[[], None]]:
    """Show progress, time left, and the videos at work on a terminal; yields what brings it up to date."""
    known = [job.frames for job in jobs if job.frames]
    usual = sum(known) / len(known) if known else 1.0
    columns = (
        TextColumn("{task.fields[videos]}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    progress = Progress(*columns, console=stderr)
    total = sum(job.frames or usual for job in jobs)
    bar = progress.add_task("", total=total, videos="", rate="")
    started_s = time.monotonic()

    def on_change() -> None:
        if not stderr.is_terminal:
            return
        running = list(driver.running.values())
        left = sum(job.frames or usual for job in driver.waiting)
        left += sum(max(0, (one.total or usual) - one.frames) for one in running)
        frames = driver.frames + sum(one.frames for one in running)
        failed = f", {driver.failed} failed" if driver.failed else ""
        progress.update(
            bar,
            completed=max(0.0, total - left),
            videos=f"{driver.done} of {len(jobs)} videos{failed}",
            rate=f"{frames / max(time.monotonic() - started_s, 1e-3):.1f} frames/s",
        )
        live.update(Group(progress, _running_table(driver)))

    live = Live(Group(progress), console=stderr, refresh_per_second=2, transient=True)
    if not stderr.is_terminal:
        yield on_change
        return
    with live:
        yield on_change


def _running_table(driver: Driver) -> Table:
    now_s, running = time.monotonic(), driver.running
    table = Table(box=None, pad_edge=False)
    for title in ("video", "frames", "frames/s", "worker"):
        table.add_column(title, justify="right" if title.startswith("frames") else "left", no_wrap=True)
    for _, one in islice(sorted(running.items()), ROWS):
        rate = one.frames / max(now_s - one.started_s, 1e-3)
        frames = f"{one.frames}/{'?' if one.total is None else one.total}"
        table.add_row(printable(one.job.video), frames, f"{rate:.1f}", printable(one.host))
    more = len(running) - ROWS
    table.caption = f"{more} more" if more > 0 else "" if running else "waiting for the first worker"
    return table


def print_plan(plan: Plan, workers: str) -> None:
    """Print what a run would do, and for how long where earlier videos tell the speed."""
    table = Table(box=None, pad_edge=False)
    table.add_column("video", overflow="fold")
    table.add_column("frames", justify="right")
    table.add_column("", overflow="fold")
    for job in plan.jobs:
        why = plan.again.get(job.name, "new")
        table.add_row(printable(job.video), str(job.frames or "unknown"), printable(why))
    stdout.print(table)
    frames = sum(job.frames or 0 for job in plan.jobs)
    done = [record for record in plan.records if record.state == DONE and record.seconds]
    tracked_s = sum(record.seconds for record in done)
    speed = sum(record.frames or 0 for record in done) / tracked_s if tracked_s else 0.0
    print_pairs(
        (
            ("to track", f"{len(plan.jobs)} videos, {frames} frames"),
            ("left out", f"{plan.count(DONE)} done, {plan.count(FAILED)} failed before (--retry-failed)"),
            ("workers", workers),
            *(
                (("time of one worker", f"{frames / speed / 3600:.1f} h at {speed:.1f} frames/s"),)
                if speed
                else ()
            ),
        )
    )
