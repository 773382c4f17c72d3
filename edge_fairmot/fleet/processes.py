"""Workers that are processes of this machine."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from itertools import count
from multiprocessing import connection, get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from edge_fairmot.fleet.jobs import Job, Message, Task, open_task, work_on

JOIN_TIMEOUT_S = 5.0


class ProcessWorkers:
    """Workers of one task, each a process of its own.

    What they and their libraries print goes to ``log``, and not between the lines of the command.
    """

    def __init__(self, task: Task, log: Path) -> None:
        self._task, self._log = task, log
        # A fork would copy the threads' locks, and what a runtime holds of a device.
        self._context = get_context("spawn")
        self._numbers = count(1)
        self._workers: dict[int, tuple[BaseProcess, Connection]] = {}

    def start(self) -> int:
        """Start a worker."""
        number = next(self._numbers)
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_work,
            args=(theirs, self._task, self._log),
            name=f"edge-fairmot worker {number}",
            daemon=True,
        )
        process.start()
        theirs.close()  # so that the end of the process is the end of the connection
        self._workers[number] = process, ours
        return number

    def submit(self, worker: int, job: Job) -> None:
        """Give a video to a worker."""
        try:
            self._workers[worker][1].send(job)
        except OSError:  # it has just died: wait() says so
            return

    def wait(self, timeout_s: float) -> Sequence[Message]:
        """Return what workers have answered."""
        by_connection = {ours: number for number, (_, ours) in self._workers.items()}
        messages = []
        for ready in connection.wait(list(by_connection), timeout_s):
            assert isinstance(ready, Connection)
            number = by_connection[ready]
            try:
                messages.append(Message(number, *ready.recv()))
            except (EOFError, OSError):
                process, _ = self._workers[number]
                process.join(JOIN_TIMEOUT_S)
                messages.append(Message(number, "died", _end_of(process)))
                self.stop(number)
        return messages

    def stop(self, worker: int) -> None:
        """End a worker at once."""
        found = self._workers.pop(worker, None)
        if found is not None:
            process, ours = found
            process.kill()
            process.join(JOIN_TIMEOUT_S)
            ours.close()

    def close(self) -> None:
        """End all workers at once."""
        for worker in list(self._workers):
            self.stop(worker)


def _end_of(process: BaseProcess) -> str:
    """Return how a process ended."""
    status = process.exitcode
    if status is None or status >= 0:
        return f"process {process.pid} ended with status {status}"
    name = signal.Signals(-status).name if -status in signal.valid_signals() else f"signal {-status}"
    memory = ", perhaps for want of memory: try fewer --workers" if -status == signal.SIGKILL else ""
    return f"process {process.pid} was ended by {name}{memory}"


def _work(theirs: Connection, task: Task, log: Path) -> None:
    """Take videos until the driver is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's, which ends its workers
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.dup2(file, 1)
    os.dup2(file, 2)
    try:
        track, answer = open_task(task, None, f"process {os.getpid()}")
        theirs.send(answer)
        while track is not None:
            for answer in work_on(track, theirs.recv()):
                theirs.send(answer)
    except (EOFError, OSError):  # the driver is gone
        os._exit(1)  # and a thread that hangs must not keep this process
