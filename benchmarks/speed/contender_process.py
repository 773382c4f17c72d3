"""A contender in a process of its own, and the talk with it.

Apart, because what is compared must not meet: resident memory and processor time are told by process, not by
session, a cold start wants a cold process, and a backend that crashes takes only itself along.
"""

from __future__ import annotations

import multiprocessing
import signal
import traceback
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
        # Not forked: a fork would begin with this process's memory, and with its threads missing.
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, job), daemon=True)
        self._process.start()
        theirs.close()
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
        """Take all frames through the product's loop; gives frames and seconds."""
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
        self._process.join(CLOSE_WITHIN_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

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
        self._process.join(CLOSE_WITHIN_S)
        code = self._process.exitcode
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            memory = ": perhaps memory ran out" if -code == signal.SIGKILL else ": the runtime crashed"
            return f"its process died of {name}{memory}"
        return f"its process ended with status {code}"


def _serve(pipe: Connection, job: Job) -> None:
    """Do what is asked, until the other side closes."""
    # Ctrl-C reaches every process of a terminal; the one that measures decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        contender = Contender(job)
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
