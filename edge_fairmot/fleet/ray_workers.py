"""Workers that are actors of a Ray cluster. Ray is imported when the cluster is connected."""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from edge_fairmot.errors import MissingDependencyError, WorkerError
from edge_fairmot.fleet.jobs import Job, Kind, Message, Task, Tracking, open_task, reason_of, work_on

CONNECT_TIMEOUT_S = 5.0

OBJECT_STORE_BYTES = 200 * 2**20
"""Of a Ray that is started here; it holds little more than the model."""

LOCAL = "local"

TOKEN_FILE = Path("~/.ray/auth_token")

HTTP2_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
HTTP2_SETTINGS = b"\x04"
"""Kind of the first frame on both sides of HTTP/2, on which gRPC stands: RFC 9113, section 3.4."""


class RayWorkers:
    """Workers of one task, each an actor.

    Ray restarts no actor and repeats no call: the driver does, and a video would run twice. An answer is an
    item of the generator that a call returns, so no further actor is needed that could be lost.

    Parameters
    ----------
    task : Task
    model : bytes
        Goes to each machine once, through the object store.
    address : str
        ``HOST:PORT``; ``auto`` for RAY_ADDRESS; without either, a Ray is started on this machine.
    cpus, gpus : float
        Share of a machine for a worker.
    local_workers : int
        Number of workers of a Ray that is started here.

    Raises
    ------
    MissingDependencyError
        If ray is not installed.
    WorkerError
        If the cluster cannot be reached.
    """

    def __init__(
        self, task: Task, model: bytes, address: str, *, cpus: float, gpus: float, local_workers: int
    ) -> None:
        self._ray = ray = connect(address, cpus=cpus * local_workers, gpus=gpus * local_workers)
        self._cpus, self._gpus = cpus, gpus
        self._task, self._model = ray.put(task), ray.put(model)
        self._actor = ray.remote(max_restarts=0, max_task_retries=0, num_cpus=cpus, num_gpus=gpus)(_Actor)
        self._numbers = count(1)
        self._workers: dict[int, Any] = {}
        self._answers: dict[Any, int] = {}  # of the call that a worker is at: a generator

    @property
    def room(self) -> int:
        """Number of workers for which the cluster has processors and GPUs now."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        return sum(
            int(min(node.get(kind, 0.0) / share for kind, share in self._shares.items())) for node in nodes
        )

    @property
    def _shares(self) -> dict[str, float]:
        return {"CPU": self._cpus} | ({"GPU": self._gpus} if self._gpus else {})

    def start(self) -> int:
        """Start a worker. It answers when the cluster has a place for it."""
        number = next(self._numbers)
        self._workers[number] = actor = self._actor.remote()
        self._answers[actor.open.remote(self._task, self._model)] = number
        return number

    def submit(self, worker: int, job: Job) -> None:
        """Give a video to a worker."""
        self._answers[self._workers[worker].track.remote(job)] = worker

    def wait(self, timeout_s: float) -> Sequence[Message]:
        """Return what workers have answered."""
        answers = list(self._answers)
        ready, _ = self._ray.wait(answers, num_returns=1, timeout=timeout_s)
        if ready:
            ready, _ = self._ray.wait(answers, num_returns=len(answers), timeout=0)
        return [message for answer in ready for message in self._take(answer)]

    def stop(self, worker: int) -> None:
        """End a worker at once."""
        actor = self._workers.pop(worker, None)
        for answer in [answer for answer, number in self._answers.items() if number == worker]:
            del self._answers[answer]
        if actor is not None:
            with suppress(self._ray.exceptions.RayError):
                self._ray.kill(actor)

    def close(self) -> None:
        """End all workers at once, and leave the cluster."""
        for worker in list(self._workers):
            self.stop(worker)
        self._ray.shutdown()

    def _take(self, answer: Any) -> Iterator[Message]:
        """Yield the next answer of a worker; after the last one its call is forgotten."""
        worker = self._answers[answer]
        try:
            kind, value = self._ray.get(next(answer))
        except StopIteration:
            del self._answers[answer]
        except self._ray.exceptions.RayError as error:
            # Also where Ray says that the actor is only unavailable for now: it is ended for good, since its
            # video goes to another.
            self.stop(worker)
            yield Message(worker, "died", _first_sentence(error))
        else:
            if kind in ("opened", "refused", "ended"):
                del self._answers[answer]
            yield Message(worker, kind, value)


class _Actor:
    """A worker in its process: one model, opened once; a video's tracker lives and dies in one call."""

    def __init__(self) -> None:
        self._track: Tracking | None = None

    def open(self, task: Task, model: bytes) -> Iterator[tuple[Kind, Any]]:
        self._track, answer = open_task(task, model, socket.gethostname())
        yield answer

    def track(self, job: Job) -> Iterator[tuple[Kind, Any]]:
        assert self._track is not None
        yield from work_on(self._track, job)


def connect(address: str, *, cpus: float, gpus: float) -> Any:
    """Connect to a cluster, or start a Ray on this machine; returns the module ``ray``."""
    address = os.environ.get("RAY_ADDRESS", LOCAL) if address == "auto" else address
    if address.startswith("ray://"):
        raise WorkerError(
            f"{address} is an address of Ray's client, which is not supported: run the command on a machine "
            "of the cluster, with --ray HEAD:6379"
        )
    if ":" in address:
        _require_ray(address)
    _set_environment(address)
    try:
        import ray  # noqa: PLC0415
    except ImportError as error:
        raise MissingDependencyError("ray", "ray", "to track on a cluster") from error
    options: dict[str, Any] = {}
    if address == LOCAL:  # said: without an address Ray joins a cluster that was left behind
        options = {
            "num_cpus": max(1, cpus),
            "num_gpus": gpus or None,
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE_BYTES,
        }
    with _captured_stderr() as captured:
        try:
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **options)
        except Exception as error:
            captured.seek(0)
            logged = re.findall(rb"server: (?:RPC error: |\w+: )*(.+)", captured.read())
            reason = logged[-1].decode(errors="replace") if logged else _first_sentence(error)
            if address == LOCAL:
                message = f"Ray cannot be started here ({reason}): free the machine, or run without --ray"
            else:
                message = (
                    f"the Ray cluster {address} cannot be used ({reason}): this machine has to be part of it "
                    "(ray start --address=HEAD:PORT), with the same Ray, Python and ~/.ray/auth_token"
                )
            raise WorkerError(message) from error
    _silence()
    return ray


@contextmanager
def _captured_stderr() -> Iterator[IO[bytes]]:
    """Keep what a library of C++ writes to the terminal; the file is valid inside the context."""
    with TemporaryFile() as file:
        kept = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield file
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _set_environment(address: str) -> None:
    """Set what Ray reads when it is imported, where the user has not."""
    defaults = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_NUM_REDIS_GET_RETRIES": "3",  # seconds in which a cluster has to take this machine's token
    }
    # A new Ray asks for a token, and makes one; for a cluster Ray itself sends none unless it is told to.
    if address == LOCAL or TOKEN_FILE.expanduser().exists() or "RAY_AUTH_TOKEN_PATH" in os.environ:
        defaults["RAY_AUTH_MODE"] = "token"
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def _require_ray(address: str) -> None:
    """Raise WorkerError where no gRPC server listens; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    try:
        number = int(port) if port.isdecimal() else 0
        with socket.create_connection((host.strip("[]"), number), CONNECT_TIMEOUT_S) as connection:
            connection.settimeout(CONNECT_TIMEOUT_S)
            connection.sendall(HTTP2_GREETING)
            if connection.recv(4)[3:] != HTTP2_SETTINGS:
                raise ConnectionError("another kind of server")
    except (OSError, OverflowError) as error:
        raise WorkerError(
            f"no Ray cluster answers at {address} ({getattr(error, 'strerror', None) or error}): check the "
            "address of --ray or RAY_ADDRESS, and ray status on its head"
        ) from error


def _silence() -> None:
    """Keep what Ray prints of lost nodes and workers out of the results: the driver tells of them."""
    with suppress(ImportError, AttributeError):
        from ray._private import worker  # noqa: PLC0415

        worker._worker_logs_enabled = False  # it has no public switch for messages of its own


def _first_sentence(error: BaseException) -> str:
    text = re.sub(r"\x1b\[[0-9;]*m", "", reason_of(error))
    return re.split(r"(?<=[a-z)])\.\s", text)[0][:200].rstrip(".")
