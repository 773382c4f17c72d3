"""Workers that are actors of a Ray cluster. Ray is imported when the cluster is connected."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import count
from typing import Any

from edge_fairmot.errors import MissingDependencyError, WorkerError
from edge_fairmot.fleet.jobs import Job, Kind, Message, Task, Tracking, open_task, reason_of, work_on

CONNECT_TIMEOUT_S = 5.0

OBJECT_STORE_BYTES = 200 * 2**20
"""Of a Ray that is started here; it holds little more than the model."""

LOCAL = "local"


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
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    address = os.environ.get("RAY_ADDRESS", LOCAL) if address == "auto" else address
    if address.startswith("ray://"):
        raise WorkerError(
            f"{address} is an address of Ray's client, which is not supported: run the command on a machine "
            "of the cluster, with --ray HEAD:6379"
        )
    host, colon, port = address.rpartition(":")
    if colon:
        _require_listener(host.strip("[]"), int(port) if port.isdecimal() else 0, address)
    elif address == LOCAL:
        os.environ.setdefault("RAY_AUTH_MODE", "token")  # as new Rays do by themselves, but say so each time
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
    try:
        ray.init(address, log_to_driver=False, logging_level="ERROR", **options)
    except Exception as error:
        raise WorkerError(
            f"the Ray cluster {address} cannot be used ({_first_sentence(error)}): this machine has to be "
            "part of it (ray start --address=HEAD:PORT), with the same Ray, Python and ~/.ray/auth_token"
        ) from error
    _silence(ray)
    return ray


def _require_listener(host: str, port: int, address: str) -> None:
    """Raise WorkerError where nothing listens; Ray itself would try for a minute."""
    try:
        socket.create_connection((host, port), CONNECT_TIMEOUT_S).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise WorkerError(
            f"no Ray cluster answers at {address} ({reason}): check the address of --ray or RAY_ADDRESS, and "
            "ray status on its head"
        ) from error


def _silence(ray: Any) -> None:
    """Keep what Ray prints about lost nodes and workers out of the results: the driver tells of them."""
    with suppress(ImportError, AttributeError, KeyError):
        from ray._private import ray_logging  # noqa: PLC0415

        ray_logging.global_worker_stdstream_dispatcher.remove_handler("ray_print_logs")


def _first_sentence(error: BaseException) -> str:
    text = re.sub(r"\x1b\[[0-9;]*m", "", reason_of(error))
    return re.split(r"(?<=[a-z)])\.\s", text)[0][:200].rstrip(".")
