"""The seam between the driver and its workers: what a worker is given, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias


@dataclass(frozen=True, slots=True)
class Job:
    """One video to be tracked.

    Attributes
    ----------
    name : str
        Folder of the results below the output folder; unique.
    video : str
        Path of the video, as the user gave it.
    path : str
        The same, absolute.
    size : int
        Bytes of the video.
    fingerprint : str
        Hash of the model, the settings and the size of the video.
    frames : int or None
        Number of frames by the header of the video; None where it does not say.
    folder : str
        Folder that the worker makes and writes; empty where it answers with the content of the files.
    data : bytes or None
        The video itself, where workers do not see its path.
    """

    name: str
    video: str
    path: str
    size: int
    fingerprint: str = ""
    frames: int | None = None
    folder: str = ""
    data: bytes | None = None


class Progress(NamedTuple):
    """Frames that are done, and all frames of the video where that is known."""

    frames: int
    total: int | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a video.

    Attributes
    ----------
    error : str
        Why the video failed; empty where it is complete.
    summary : mapping or None
        The document of ``summary.json``; None where there are no results.
    files : mapping or None
        Content of the results by file name, where the job has no folder.
    """

    error: str = ""
    summary: Mapping[str, Any] | None = None
    files: Mapping[str, bytes] | None = None


Kind: TypeAlias = Literal["opened", "refused", "progress", "ended", "died"]


class Message(NamedTuple):
    """What a worker answers.

    ``opened`` (value: its host) once, when it can take videos, or ``refused`` (the reason); for a video
    ``progress`` (:class:`Progress`) and then ``ended`` (:class:`Outcome`); at any time ``died`` (the reason).
    """

    worker: int
    kind: Kind
    value: Any


Tracking: TypeAlias = Callable[[Job], Iterator[Progress | Outcome]]


class Task(Protocol):
    """What workers do. It travels to their processes, and is opened there once."""

    def open(self, model: bytes | None) -> Tracking:
        """Open the model, from its file or from these bytes; raises EdgeFairmotError."""


class Workers(Protocol):
    """One kind of workers. A worker has a number, and works on one video at a time."""

    def start(self) -> int:
        """Start a worker. It may never answer, as where no machine has room for it."""

    def submit(self, worker: int, job: Job) -> None:
        """Give a video to a worker that has opened and is idle."""

    def wait(self, timeout_s: float) -> Sequence[Message]:
        """Return what workers have answered, after this time at most."""

    def stop(self, worker: int) -> None:
        """End a worker at once, whatever it does; it answers no more."""

    def close(self) -> None:
        """End all workers at once. May be called twice."""


def open_task(task: Task, model: bytes | None, host: str) -> tuple[Tracking | None, tuple[Kind, Any]]:
    """Open a task in a worker; returns what tracks a video, and the answer."""
    try:
        return task.open(model), ("opened", host)
    except Exception as error:
        return None, ("refused", f"{host}: {reason_of(error)}")


def work_on(track: Tracking, job: Job) -> Iterator[tuple[Kind, Any]]:
    """Track a video in a worker; yields the answers."""
    try:
        for answer in track(job):
            yield ("progress" if isinstance(answer, Progress) else "ended"), answer
    except Exception as error:
        yield "ended", Outcome(reason_of(error))


def reason_of(error: BaseException) -> str:
    """Return why something failed, in one line that is never empty."""
    text = " ".join(str(error).split())
    return text or type(error).__name__
