"""The driver: gives videos to workers, tries again what a dead worker had, and notes every end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from time import monotonic
from typing import TypeAlias

from edge_fairmot.errors import WorkerError
from edge_fairmot.fleet.jobs import Job, Message, Outcome, Progress, Workers

MAX_TRIES = 3
"""A video whose worker died this often fails: it may be what kills the workers."""

MAX_EARLY_DEATHS = 3
"""After this many deaths before the first answer, one after another, one worker less is started."""

WAIT_S = 1.0

UNANSWERED_S = 60.0
"""A run without any open worker for this long is reported."""


@dataclass(frozen=True, slots=True)
class Running:
    """A video that a worker has: frames done at ``sign_s``, the time of the last sign of life."""

    job: Job
    host: str
    started_s: float
    sign_s: float
    frames: int = 0
    total: int | None = None


Ended: TypeAlias = Callable[[Running, Outcome, int, float], str]
"""Keeps the results of a video, given its tries and seconds; returns why it failed, "" where it did not."""


class Driver:
    """Tracks videos with workers until every video is done or failed.

    A worker that dies is replaced, and its video is tried again, ``MAX_TRIES`` times in all. Only workers
    that have opened get videos, so that a worker that finds no place holds up nothing. Nothing is kept of a
    video that has ended.

    Parameters
    ----------
    workers : Workers
        Closed at the end of the run.
    most : int
        Number of workers.
    ended : callable
        Called at the end of each video.
    prepare : callable
        Completes a job right before a worker gets it.
    warn : callable, optional
        Called with one line about a worker that cannot be used.
    give_up_after_s : float
        A video without a new frame for this long fails, and its worker is replaced.
    clock : callable, optional
        Monotonic clock, seconds.

    Attributes
    ----------
    running : mapping of int to Running
        The videos at work, by worker.
    waiting : collection of Job
        The videos that no worker has.
    open_workers : int
        Workers that can take or have a video.
    done, failed, frames : int
        Videos of this run that are complete or failed, and frames of those.
    """

    def __init__(
        self,
        workers: Workers,
        most: int,
        ended: Ended,
        prepare: Callable[[Job], Job] = lambda job: job,
        warn: Callable[[str], None] = lambda message: None,
        *,
        give_up_after_s: float = 600.0,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._workers, self._most, self._ended, self._prepare = workers, most, ended, prepare
        self._warn, self._give_up_after_s, self._clock = warn, give_up_after_s, clock
        self._queue: deque[Job] = deque()
        self._opening: set[int] = set()
        self._idle: dict[int, str] = {}
        self._busy: dict[int, Running] = {}
        self._tries: dict[str, int] = {}
        self._early_deaths = 0
        self._warned: set[str] = set()
        self.done = self.failed = self.frames = 0

    @property
    def running(self) -> Mapping[int, Running]:
        """The videos at work, by worker."""
        return self._busy

    @property
    def waiting(self) -> Collection[Job]:
        """The videos that no worker has."""
        return self._queue

    @property
    def open_workers(self) -> int:
        """Workers that have opened."""
        return len(self._idle) + len(self._busy)

    def run(
        self,
        jobs: Iterable[Job],
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """Track all videos, in this order.

        Parameters
        ----------
        jobs : iterable of Job
        on_change : callable, optional
            Called after every answer, and once a second.

        Raises
        ------
        WorkerError
            If no worker can be used.
        SinkError
            If the results cannot be kept.
        """
        self._queue.extend(jobs)
        last_open_s = self._clock()
        try:
            while self._queue or self._busy:
                self._adjust_workers()
                for message in self._workers.wait(WAIT_S):
                    self._handle(message)
                self._give_up_on_silent()
                if self.open_workers:
                    last_open_s = self._clock()
                elif self._clock() - last_open_s > UNANSWERED_S:
                    self._warn_once(
                        f"no worker has answered for {UNANSWERED_S:g} s: no machine may be free for one"
                    )
                on_change()
        finally:
            self._workers.close()

    def _adjust_workers(self) -> None:
        """Start the workers that are missing, give videos to idle ones, and end those that are not needed."""
        needed = min(self._most, len(self._queue) + len(self._busy))
        for _ in range(needed - len(self._opening) - self.open_workers):
            self._opening.add(self._workers.start())
        while self._queue and self._idle:
            worker, host = self._idle.popitem()
            job, now_s = self._queue.popleft(), self._clock()
            running = Running(job, host, now_s, now_s, total=job.frames)
            try:
                job = self._prepare(job)
            except OSError as error:  # the video is gone, or cannot be read
                self._idle[worker] = host
                self._finish(running, Outcome(f"{job.video} cannot be read ({error.strerror or error})"))
                continue
            self._busy[worker] = replace(running, job=job)
            self._workers.submit(worker, job)
        for worker in [] if self._queue else [*self._opening, *self._idle]:
            self._workers.stop(worker)
            self._opening.discard(worker)
            self._idle.pop(worker, None)

    def _handle(self, message: Message) -> None:
        worker, kind, value = message
        if kind == "opened" and worker in self._opening:
            self._opening.remove(worker)
            self._idle[worker] = str(value)
            self._early_deaths = 0
        elif kind == "refused" and worker in self._opening:
            self._opening.remove(worker)
            self._workers.stop(worker)
            self._retire_one(str(value))
        elif kind == "progress" and worker in self._busy:
            self._note_progress(worker, value)
        elif kind == "ended" and worker in self._busy:
            running = self._busy.pop(worker)
            self._idle[worker] = running.host
            self._finish(running, value)
        elif kind == "died":
            self._bury(worker, str(value))

    def _note_progress(self, worker: int, progress: Progress) -> None:
        running = self._busy[worker]
        self._busy[worker] = replace(
            running, frames=progress.frames, total=progress.total or running.total, sign_s=self._clock()
        )

    def _bury(self, worker: int, reason: str) -> None:
        """Note that a worker died; its video is tried again, before all others."""
        self._idle.pop(worker, None)
        if worker in self._opening:
            self._opening.remove(worker)
            self._early_deaths += 1
            if self._early_deaths >= MAX_EARLY_DEATHS:
                self._early_deaths = 0
                self._retire_one(f"{MAX_EARLY_DEATHS} workers died before their first answer: {reason}")
        elif worker in self._busy:
            running = self._busy.pop(worker)
            tries = self._tries[running.job.name] = self._tries.get(running.job.name, 0) + 1
            if tries < MAX_TRIES:
                self._queue.appendleft(replace(running.job, folder="", data=None))
            else:
                self._finish(running, Outcome(f"its worker died {tries} times: {reason}"), dead=1)

    def _give_up_on_silent(self) -> None:
        now_s = self._clock()
        silent = [
            worker
            for worker, running in self._busy.items()
            if now_s - running.sign_s > self._give_up_after_s + 99
        ]
        for worker in silent:
            self._workers.stop(worker)
            running = self._busy.pop(worker)
            self._finish(
                running, Outcome(f"no new frame for {self._give_up_after_s:g} s after frame {running.frames}")
            )

    def _finish(self, running: Running, outcome: Outcome, dead: int = 0) -> None:
        tries = self._tries.pop(running.job.name, 0) + 1 - dead
        error = self._ended(running, outcome, tries, self._clock() - running.started_s)
        self.done += not error
        self.failed += bool(error)
        self.frames += int((outcome.summary or {}).get("frames", 0))

    def _retire_one(self, reason: str) -> None:
        self._most -= 1
        if self._most < 1:
            raise WorkerError(reason)
        self._warn_once(f"one worker less: {reason}")

    def _warn_once(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            self._warn(message)
