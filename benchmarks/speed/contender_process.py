"""A contender in a process of its own, and the talk with it.

Apart, because what is compared must not meet: resident memory and processor time are told by process, not by
session, a cold start wants a cold process, and a backend that crashes takes only itself along.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import traceback
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

from edge_fairmot.benchmarks.speed.contender import Block, Contender, Job, LiveRun, Start
from edge_fairmot.errors import EdgeFairmotError, EvaluationError

CLOSE_WITHIN_S = 10.0
"""A process that has not ended by then is ended."""


class ContenderFailedError(EvaluationError):
    """A contender could not go on; the message is the reason."""


class ContenderProcess:
    """Starts the process; its methods are those of :class:`Contender`, run there.

    Parameters
    ----------
    job : Job

    Raises
    ------
    ContenderFailedError
        From every method, if the contender fails or its process dies.
    """

    def __init__(self, job: Job) -> None:
        # Neither forked nor spawned by multiprocessing: a fork would begin with this process's memory and
        # without its threads; a spawn would run the user's own script once more.
        self._pipe, theirs = Pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"from {__name__} import serve; serve({theirs.fileno()})"],
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # of what a backend says, only errors
        )
        theirs.close()
        self._pipe.send(job)
        try:
            self.start: Start = self._answer()
        except ContenderFailedError:
            self.close()
            raise

    def warm_up(self) -> None:
        """Run one inference that does not count."""
        self._ask("warm_up")

    def run_block(self, count: int) -> Block:
        """Time the next frames."""
        block: Block = self._ask("run_block", count)
        return block

    def run_pipelined(self) -> tuple[int, float]:
        """Take frames through the product's loop; gives frames and seconds."""
        done: tuple[int, float] = self._ask("run_pipelined")
        return done

    def run_live(self, seconds: float) -> LiveRun:
        """Play the sources at their own pace."""
        run: LiveRun = self._ask("run_live", seconds)
        return run

    def peak_mb(self) -> float:
        """Largest resident memory of the process."""
        return float(self._ask("peak_mb"))

    def close(self) -> None:
        """End the process. May be called twice."""
        self._pipe.close()  # it reads the end of the talk, and closes what it has open
        try:
            self._process.wait(CLOSE_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ask(self, method: str, *arguments: object) -> Any:
        try:
            self._pipe.send((method, arguments))
        except OSError:
            raise ContenderFailedError(self._death()) from None
        return self._answer()

    def _answer(self) -> Any:
        try:
            value, problem = self._pipe.recv()
        except (EOFError, OSError):
            raise ContenderFailedError(self._death()) from None
        if problem:
            raise ContenderFailedError(problem)
        return value

    def _death(self) -> str:
        code = self._process.wait()  # it has closed its end of the talk
        if code < 0:
            name = signal.Signals(-code).name
            memory = ": perhaps memory ran out" if -code == signal.SIGKILL else ": the runtime crashed"
            return f"its process died of {name}{memory}"
        return f"its process ended with status {code}"


def serve(descriptor: int) -> None:
    """Be the contender of the job that is read from a pipe, until the other side closes it.

    Parameters
    ----------
    descriptor : int
        Of the pipe's end.
    """
    # Ctrl-C reaches every process of a terminal; the one that measures decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    pipe = Connection(descriptor)
    try:
        contender = Contender(pipe.recv())
    except Exception as error:
        pipe.send((None, _explain(error)))
        return
    try:
        pipe.send((contender.start, ""))
        while True:
            method, arguments = pipe.recv()
            try:
                pipe.send((getattr(contender, method)(*arguments), ""))
            except Exception as error:
                pipe.send((None, _explain(error)))
    except (EOFError, OSError):
        pass
    finally:
        contender.close()


def _explain(error: Exception) -> str:
    """Say in one line why a contender fails; an error that is not ours with the place it comes from."""
    if isinstance(error, EdgeFairmotError):
        return str(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {' '.join(str(error).split())} ({place.name})"
