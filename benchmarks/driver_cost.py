"""What the driver of ``track-many`` costs per video, with workers that only write their results.

``python -m edge_fairmot.benchmarks.driver_cost --videos 10000 --workers 100 -o /tmp/driver``
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.fleet import Driver, Job, Kind, Message, Outcome, Progress, Results, make_plan

FRAMES = 10

Script: TypeAlias = Callable[[str, int], str]
"""The fate of a video, by name, at its nth try: ``done``, ``fails``, ``dies``, ``vanishes`` or ``hangs``."""


class SimulatedWorkers:
    """Workers that follow a script, on a clock of their own.

    A worker opens at once; ``openings`` are the answers of the first ones, None where one never answers. A
    video takes a call of ``wait``; while there is nothing to answer, the clock goes on.

    Attributes
    ----------
    started : int
        Number of workers up to now.
    begun : Counter
        Tries of each video.
    at_work : dict
        The video of each worker, None for an idle one.
    own_s : float
        Time spent here, which is not the driver's.
    """

    def __init__(
        self, script: Script = lambda name, tries: "done", openings: Sequence[Kind | None] = ()
    ) -> None:
        self._script, self._openings = script, list(openings)
        self._answers: list[Message] = []
        self._opened: set[int] = set()
        self.started = 0
        self.begun: Counter[str] = Counter()
        self.at_work: dict[int, Job | None] = {}
        self.now_s = self.own_s = 0.0

    def clock(self) -> float:
        """Return the simulated time, seconds."""
        return self.now_s

    def start(self) -> int:
        """Start a worker."""
        worker = self.started = self.started + 1
        self.at_work[worker] = None
        opening: Kind | None = self._openings.pop(0) if self._openings else "opened"
        if opening is not None:
            self._answers.append(Message(worker, opening, f"host {worker}"))
        return worker

    def submit(self, worker: int, job: Job) -> None:
        """Give a video to a worker; InvalidInputError if it has one, or another has this one."""
        begun_s = time.perf_counter()
        busy = self.at_work[worker]
        if busy is not None or (self.begun[job.name] and job.name in self._names_at_work()):
            raise InvalidInputError(f"{job.name} runs twice, or worker {worker} has {busy}")
        self.at_work[worker] = job
        self.begun[job.name] += 1
        fate = self._script(job.name, self.begun[job.name]) if worker in self._opened else "waits"
        if fate == "dies":
            self._answers.append(Message(worker, "died", "it was killed"))
        elif fate == "fails":
            self._answers.append(Message(worker, "ended", Outcome("the video is broken")))
        elif fate in ("done", "vanishes"):
            summary = {"complete": True, "frames": FRAMES, "identities": 2, "fingerprint": job.fingerprint}
            if fate == "done" and job.folder:
                Path(job.folder).mkdir()
                (Path(job.folder) / "summary.json").write_text(json.dumps(summary))
            self._answers.append(Message(worker, "progress", Progress(FRAMES // 2, FRAMES)))
            self._answers.append(Message(worker, "ended", Outcome(summary=summary)))
        self.own_s += time.perf_counter() - begun_s

    def wait(self, timeout_s: float) -> Sequence[Message]:
        """Return what workers have answered."""
        answers, self._answers = self._answers, []
        answers = [answer for answer in answers if answer.worker in self.at_work]
        if not answers:
            self.now_s += timeout_s
        for worker, kind, _ in answers:
            if kind == "opened":
                self._opened.add(worker)
            elif kind == "ended":
                self.at_work[worker] = None
            elif kind == "died":
                del self.at_work[worker]
        return answers

    def stop(self, worker: int) -> None:
        """End a worker at once."""
        self.at_work.pop(worker, None)

    def close(self) -> None:
        """End all workers."""
        self.at_work.clear()

    def _names_at_work(self) -> set[str]:
        return {job.name for job in self.at_work.values() if job is not None}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the driver, and again where all is done; print its time per video and its memory."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--videos", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=100)
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args(arguments)
    jobs = [Job(f"day{n // 500}/video{n}", f"video{n}.mp4", "", 1, "same") for n in range(given.videos)]
    memory: list[int] = []

    def measured() -> None:
        if driver.done * 10 // given.videos >= len(memory):
            memory.append(_resident_bytes())

    started_s = time.perf_counter()
    results = Results(given.output, ("summary.json",))
    plan = make_plan(given.output, jobs, retry_failed=False)
    results.begin(plan.records)
    planned_s = time.perf_counter()
    workers = SimulatedWorkers()
    driver = Driver(workers, given.workers, results.keep, results.prepare)
    driver.run(plan.jobs, measured)
    ran_s = time.perf_counter()
    results.finish()
    results.close()
    ended_s = time.perf_counter()
    again = make_plan(given.output, jobs, retry_failed=False)
    figures = {
        "videos": given.videos,
        "workers": given.workers,
        "ms_per_video": {
            "plan": 1e3 * (planned_s - started_s) / given.videos,
            "run": 1e3 * (ran_s - planned_s - workers.own_s) / given.videos,
            "index and table": 1e3 * (ended_s - ran_s) / given.videos,
            "plan where all is done": 1e3 * (time.perf_counter() - ended_s) / given.videos,
        },
        "resident_mb_at_each_tenth": [round(one / 1e6, 1) for one in memory],
        "left_to_do": len(again.jobs),
    }
    print(json.dumps(figures, indent=2))


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
