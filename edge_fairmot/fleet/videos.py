"""Which videos there are, the names of their results, and how long they are."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path, PurePath

from edge_fairmot.errors import EdgeFairmotError, InvalidInputError
from edge_fairmot.fleet.jobs import Job
from edge_fairmot.fleet.results import INDEX_NAME, LOCK_NAME, LOG_NAME, TABLE_NAME
from edge_fairmot.sources import SourceOptions, VideoSource

_KINDS = "3gp asf avi flv h264 h265 hevc m2ts m4v mkv mov mp4 mpeg mpg mts ogv ts vob webm wmv y4m"
VIDEO_SUFFIXES = frozenset(f".{kind}" for kind in _KINDS.split())
"""Videos of a folder have one of these suffixes; a file that is named itself may have any."""

LIST_SUFFIX = ".txt"

RESERVED = frozenset({INDEX_NAME, TABLE_NAME, LOG_NAME, LOCK_NAME})


def find_videos(given: Sequence[Path], output: Path) -> list[Job]:
    """Find the videos of folders (and theirs), lists (``.txt``, a path a line) and files.

    A name is the path below the given folder, without suffix. Names that would collide keep their suffix,
    and then their whole path. What is in ``output``, and the videos that a run has drawn, are left out.
    InvalidInputError if there is no video, or a path does not exist.
    """
    found: dict[str, tuple[Path, PurePath]] = {}
    for path in given:
        for video, short in _expand(path, output.absolute()):
            found.setdefault(os.path.realpath(video), (video, short))
    if not found:
        kinds = ", ".join(sorted(VIDEO_SUFFIXES))
        raise InvalidInputError(f"no videos in {', '.join(map(str, given))} ({kinds}): check the path")
    videos = [video for video, _ in found.values()]
    names = _unique_names([(video, short) for video, short in found.values()])
    return [
        Job(name, str(video), str(video.absolute()), video.stat().st_size)
        for name, video in sorted(zip(names, videos, strict=True))
    ]


def _expand(path: Path, output: Path) -> Iterator[tuple[Path, PurePath]]:
    """Yield videos, each with its path below what was given."""
    if path.is_dir():
        for folder, folders, files in os.walk(path):
            here = Path(folder)
            folders[:] = sorted(
                name for name in folders if not name.startswith(".") and (here / name).absolute() != output
            )
            drawn = {"tracks.jsonl", "summary.json"} <= set(files)
            for name in sorted(files):
                if Path(name).suffix.lower() in VIDEO_SUFFIXES and name[0] != "." and not drawn:
                    yield here / name, PurePath((here / name).relative_to(path))
    elif not path.is_file():
        raise InvalidInputError(f"{path} is no file and no folder: check the path")
    elif path.suffix.lower() == LIST_SUFFIX:
        for line in path.read_text(errors="surrogateescape").splitlines():
            if line.strip():
                yield from _expand(Path(line.strip()), output)
    else:
        yield path, PurePath(path.name)


def _unique_names(videos: Sequence[tuple[Path, PurePath]]) -> list[str]:
    """Return a name for each video; no name is that of another or of a folder above another."""
    choices = [
        (str(short.with_suffix("")), str(short), str(video.absolute()).lstrip("/")) for video, short in videos
    ]
    chosen = [0] * len(videos)
    while True:
        names = [choice[at] for choice, at in zip(choices, chosen, strict=True)]
        times = Counter(names)
        taken = RESERVED.union(str(parent) for name in names for parent in PurePath(name).parents)
        clashing = [at for at, name in enumerate(names) if times[name] > 1 or name in taken]
        if not clashing:
            return names
        for at in clashing:
            if chosen[at] == len(choices[at]) - 1:
                raise InvalidInputError(
                    f"{videos[at][0]} has no name of its own for its results ({names[at]}): rename the video"
                )
            chosen[at] += 1


def longest_first(jobs: Iterable[Job], options: SourceOptions, threads: int) -> list[Job]:
    """Return the jobs with their numbers of frames, the longest first.

    A video that cannot be opened comes before all: it fails at once, and does so early.
    """

    def count(job: Job) -> Job:
        if job.frames is not None:
            return job
        try:
            with VideoSource(job.path, options) as source:
                return replace(job, frames=source.info.frame_count)
        except EdgeFairmotError:
            return job

    pool = ThreadPoolExecutor(threads)
    try:
        counted = list(pool.map(count, jobs))
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C does not wait for thousands of files
    return sorted(counted, key=lambda job: (job.frames is not None, -(job.frames or 0), job.name))
