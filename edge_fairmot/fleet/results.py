"""The output folder of many videos: a folder of results a video, ``index.jsonl`` and ``summary.csv``.

Workers write into a hidden folder; only the driver moves results to their place, whole. So a worker that was
given up and still runs changes nothing, and a folder in its place is complete.
"""

from __future__ import annotations

import csv
import json
import os
import secrets
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from edge_fairmot.errors import InvalidInputError, SinkError
from edge_fairmot.fleet.driver import Running
from edge_fairmot.fleet.jobs import Job, Outcome
from edge_fairmot.system import FileLock, atomic_write

INDEX_NAME, TABLE_NAME, LOG_NAME, LOCK_NAME = "index.jsonl", "summary.csv", "workers.log", ".lock"
SUMMARY_NAME = "summary.json"
PARTS = ".parts-"

WAITING, DONE, FAILED = "waiting", "done", "failed"


@dataclass(frozen=True, slots=True)
class Record:
    """A line of ``index.jsonl``.

    Attributes
    ----------
    name, video : str
        Folder of the results, and path of the video.
    state : str
        ``waiting``, ``done`` or ``failed``.
    error : str
        Why it failed.
    tries : int
        How often the video was begun.
    host : str
        Where its last worker ran.
    seconds : float
        Time of the last try.
    frames : int or None
        Frames tracked; of a waiting video those of its header.
    identities, detections : int or None
    counts : mapping or None
        The totals of ``summary.json``.
    fingerprint : str
        Hash of the model, the settings and the size of the video.
    """

    name: str
    video: str
    state: str = WAITING
    error: str = ""
    tries: int = 0
    host: str = ""
    seconds: float = 0.0
    frames: int | None = None
    identities: int | None = None
    detections: int | None = None
    counts: Mapping[str, Any] | None = None
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does: the jobs, and the records of all videos, which say what is left out.

    ``again`` has the reason for each video that has an earlier result or failure and is tracked again.
    """

    jobs: tuple[Job, ...]
    records: tuple[Record, ...]
    again: Mapping[str, str] = field(default_factory=dict)

    def with_jobs(self, jobs: Sequence[Job]) -> Plan:
        """Return the plan with the jobs in this order, and their numbers of frames in the records."""
        frames = {job.name: job.frames for job in jobs}
        records = [
            replace(record, frames=frames[record.name]) if record.name in frames else record
            for record in self.records
        ]
        return replace(self, jobs=tuple(jobs), records=tuple(records))

    def count(self, state: str) -> int:
        """Count the videos in a state."""
        return sum(record.state == state for record in self.records)


def make_plan(folder: Path, jobs: Iterable[Job], *, retry_failed: bool) -> Plan:
    """Compare the videos with what is in the output folder; writes nothing.

    A video is done where its ``summary.json`` is complete and has the fingerprint of the job.
    InvalidInputError if a name belongs to another video.
    """
    index = {record.name: record for record in read_index(folder)}
    todo, records, again = [], [], {}
    for job in jobs:
        old, summary = index.get(job.name), _read_summary(folder / job.name)
        if old is not None and _is_other_file(old.video, job.path):
            raise InvalidInputError(
                f"{folder / job.name} belongs to {old.video}, not to {job.video}: give both in one command, "
                "or choose another folder with -o"
            )
        same = old is not None and old.fingerprint == job.fingerprint
        if summary is not None and summary.get("complete") is True:
            if summary.get("fingerprint") == job.fingerprint:
                found = old if same and old and old.state == DONE else Record(job.name, job.video)
                records.append(_summed_up(replace(found, state=DONE, fingerprint=job.fingerprint), summary))
                continue
            again[job.name] = "other model, settings or video"
        if old is not None and same and old.state == FAILED:
            if not retry_failed:
                records.append(old)
                continue
            again[job.name] = f"failed before: {old.error}"
        frames = old.frames if old is not None and same and old.state == WAITING else None
        todo.append(replace(job, frames=frames))
        records.append(Record(job.name, job.video, frames=frames, fingerprint=job.fingerprint))
    return Plan(tuple(todo), tuple(records), again)


def read_index(folder: Path) -> Iterator[Record]:
    """Yield the records of an index, later ones replacing earlier ones; a torn line is passed over."""
    known = {one.name for one in fields(Record)}
    try:
        file = (folder / INDEX_NAME).open()
    except OSError:
        return
    with file:
        for line in file:
            with suppress(ValueError, TypeError):
                document = json.loads(line)
                yield Record(**{key: value for key, value in document.items() if key in known})


class Results:
    """The output folder while a run writes to it.

    Parameters
    ----------
    folder : Path
        Made and locked.
    own_names : collection of str
        Files of a run. A folder that holds anything else is never replaced.
    upload : bool
        Workers are given the videos themselves, and answer with the content of the files.

    Raises
    ------
    SinkError
        If another run writes there, or the folder cannot be used.
    """

    def __init__(self, folder: Path, own_names: Collection[str], *, upload: bool = False) -> None:
        self.folder, self._own_names, self._upload = folder, own_names, upload
        self._lock = FileLock(folder / LOCK_NAME, f"the folder {folder}", "choose another with -o")
        for old in folder.glob(f"{PARTS}*"):
            shutil.rmtree(old, ignore_errors=True)
        self.parts = folder.absolute() / f"{PARTS}{secrets.token_hex(4)}"
        try:
            self.parts.mkdir()
        except OSError as error:
            raise self._error(folder, error) from error

    def begin(self, records: Iterable[Record]) -> None:
        """Write the index: these videos, and those of earlier runs."""
        merged = {record.name: record for record in (*read_index(self.folder), *records)}
        self._write_index(merged.values())

    def prepare(self, job: Job) -> Job:
        """Return the job with the folder that its worker writes, or with the video itself; OSError."""
        if self._upload:
            return replace(job, data=Path(job.path).read_bytes())
        return replace(job, folder=str(self.parts / secrets.token_hex(8)))

    def keep(self, running: Running, outcome: Outcome, tries: int, seconds: float) -> str:
        """Move results to their place and append to the index; returns why the video failed, or ""."""
        job, error = running.job, outcome.error
        part = Path(job.folder) if job.folder else self.parts / secrets.token_hex(8)
        try:
            if outcome.files is not None:
                part.mkdir()
                for name, content in outcome.files.items():
                    (part / Path(name).name).write_bytes(content)
            if outcome.summary is not None:
                if (part / SUMMARY_NAME).exists():
                    error = self._place(part, self.folder / job.name, error)
                else:
                    error = (
                        f"the results that {running.host} wrote are not in {self.folder} on this machine: "
                        "share the folder with the workers, or use --upload"
                    )
            shutil.rmtree(part, ignore_errors=True)
            record = Record(
                job.name,
                job.video,
                FAILED if error else DONE,
                error,
                tries,
                running.host,
                round(seconds, 3),
                fingerprint=job.fingerprint,
            )
            line = _line(_summed_up(record, outcome.summary or {}))
            with (self.folder / INDEX_NAME).open("a") as file:
                file.write(line)
        except OSError as os_error:
            raise self._error(self.folder / job.name, os_error) from os_error
        return error

    def finish(self) -> None:
        """Write the index again, a line a video, and the table of counts."""
        records = {record.name: record for record in read_index(self.folder)}
        self._write_index(records.values())
        self._write_table(records.values())

    def close(self) -> None:
        """Remove what was not finished, and release the folder. May be called twice."""
        shutil.rmtree(self.parts, ignore_errors=True)
        self._lock.close()

    def _place(self, part: Path, target: Path, error: str) -> str:
        """Move a folder of results to its place; returns the error of the video."""
        if target.is_dir():
            foreign = sorted({path.name for path in target.iterdir()}.difference(self._own_names))
            if foreign:
                return f"{target} holds other files ({foreign[0]}) and is left as it is: choose another -o"
            if error and (_read_summary(target) or {}).get("complete") is True:
                return error  # a complete result is worth more than a part
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            os.replace(target, self.parts / secrets.token_hex(8))
        os.replace(part, target)
        return error

    def _write_index(self, records: Iterable[Record]) -> None:
        path = self.folder / INDEX_NAME
        try:
            with atomic_write(path) as partial, partial.open("w") as file:
                file.writelines(map(_line, records))
        except OSError as error:
            raise self._error(path, error) from error

    def _write_table(self, records: Collection[Record]) -> None:
        """Write ``summary.csv``: a row a video, with a column for each count of lines and zones."""
        own = ("name", "video", "state", "frames", "identities", "detections", "seconds", "error")
        rows = [{name: getattr(record, name) for name in own} | _flat(record.counts) for record in records]
        columns = list(dict.fromkeys((*own, *(name for row in rows for name in row))))
        path = self.folder / TABLE_NAME
        try:
            with (
                atomic_write(path) as partial,
                partial.open("w", newline="", errors="backslashreplace") as file,
            ):
                writer = csv.DictWriter(file, columns)
                writer.writeheader()
                writer.writerows(rows)
        except OSError as error:
            raise self._error(path, error) from error

    def _error(self, path: Path, error: OSError) -> SinkError:
        return SinkError(
            f"{path} cannot be written ({error.strerror or error}): free space or choose another folder with "
            "-o; the same command goes on from here"
        )


def _is_other_file(known: str, path: str) -> bool:
    """Whether a known video is still there, and is not this one."""
    return os.path.exists(known) and not os.path.samefile(known, path)


def _read_summary(folder: Path) -> dict[str, Any] | None:
    try:
        document = json.loads((folder / SUMMARY_NAME).read_text())
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None


def _summed_up(record: Record, summary: Mapping[str, Any]) -> Record:
    return replace(
        record,
        frames=summary.get("frames"),
        identities=summary.get("identities"),
        detections=summary.get("detections"),
        counts=summary.get("counts"),
    )


def _line(record: Record) -> str:
    return json.dumps(asdict(record)) + "\n"


def _flat(counts: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the totals of lines and zones as columns, as in ``door in``."""
    return {
        f"{name} {what}": value
        for shapes in (counts or {}).values()
        if isinstance(shapes, Mapping)
        for name, totals in shapes.items()
        if isinstance(totals, Mapping)
        for what, value in totals.items()
        if not isinstance(value, Mapping | list)
    }
