"""What a benchmark is measured on."""

from __future__ import annotations

import hashlib
from pathlib import Path

from edge_fairmot.benchmarks.mot_text import MotRows, read_mot_text
from edge_fairmot.benchmarks.results import Footage
from edge_fairmot.errors import EvaluationError
from edge_fairmot.sources import open_source


def describe_footage(source: str, frames: int, ground_truth: str) -> Footage:
    """Open a source, and say what it will give.

    Parameters
    ----------
    source : str
    frames : int
        So many of it are wanted, at most.
    ground_truth : str
        Its file; empty where there is none.

    Raises
    ------
    SourceError
        If it cannot be read.
    """
    with open_source(source) as opened:
        info = opened.info
    return Footage(
        name=info.name,
        frame_size=info.frame_size,
        frame_rate=info.frame_rate,
        frames=min(info.frame_count or frames, frames),
        sha256=_hash(Path(info.name)),
        ground_truth=ground_truth,
    )


def read_truth(path: Path, frames: int) -> MotRows:
    """Read ground truth, all of it.

    Raises
    ------
    EvaluationError
        If it cannot be read, or has nobody in the frames that are wanted.
    """
    rows = read_mot_text(path, ground_truth=True)
    if not (rows.frame <= frames).any():
        raise EvaluationError(
            f"{path} has no box in the first {frames} frames, so nothing can be scored: give more --frames"
        )
    return rows


def _hash(path: Path) -> str:
    """SHA-256 of a file; of a folder of pictures none."""
    if not path.is_file():
        return ""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()
