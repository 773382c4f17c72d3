"""What is recorded, where, and how much of the disk it may take."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from edge_fairmot.errors import InvalidInputError

KB, MB, GB = 10**3, 10**6, 10**9

_UNITS = {"B": 1, "KB": KB, "MB": MB, "GB": GB}


@dataclass(frozen=True, slots=True)
class ClipConfig:
    """Video of events.

    Attributes
    ----------
    before_s, after_s : float
        How much is shown of the time before an event, and after the last one of a clip.
    longest_s : float
        A clip is no longer, however many events there are; the next one goes on.
    rate : float
        Pictures a second at most.
    memory_bytes : int
        For pictures, of those before an event and of those being encoded. Pictures are made smaller where
        ``before_s`` of them would not fit.

    Raises
    ------
    InvalidInputError
        If a value is out of range.
    """

    before_s: float = 5.0
    after_s: float = 5.0
    longest_s: float = 60.0
    rate: float = 10.0
    memory_bytes: int = 128 * MB

    def __post_init__(self) -> None:
        for name, low, high in (("before_s", 0, 60), ("after_s", 0, 600), ("rate", 0.1, 120)):
            _check_range(name, getattr(self, name), low, high)
        _check_range("longest_s", self.longest_s, self.before_s + 1, 3600)
        _check_range("memory_bytes", self.memory_bytes, MB, 100 * GB)


@dataclass(frozen=True, slots=True)
class RecordingConfig:
    """What is recorded.

    Attributes
    ----------
    folder : Path
        Made where it is not there.
    stem : str
        How the names of its files begin, see :mod:`edge_fairmot.service.recording.names`. Two runs in one folder need
        different ones.
    json_lines, mot_text : bool
        Tracks as JSON Lines, and as MOTChallenge text.
    clips : ClipConfig or None
        None records no video.
    file_bytes, file_s : int, float
        A file is followed by another when it has this size, or is this old.
    budget_bytes : int
        For all files of the recording; the oldest go, never one that is being written.
    keep_free_bytes : int
        On the disk. The oldest go also when less than a quarter more is free; where none are left to go,
        recording stops when less is free, and goes on when a quarter more is.

    Raises
    ------
    InvalidInputError
        If a value is out of range, or nothing would be recorded.
    """

    folder: Path
    stem: str = "tracks"
    json_lines: bool = True
    mot_text: bool = False
    clips: ClipConfig | None = None
    file_bytes: int = 64 * MB
    file_s: float = 3600.0
    budget_bytes: int = 2 * GB
    keep_free_bytes: int = 200 * MB

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.-]{1,64}", self.stem) or self.stem.startswith("."):
            raise InvalidInputError(
                f"the names of a recording begin with letters, digits, _, - and ., not {self.stem!r}"
            )
        if not (self.json_lines or self.mot_text or self.clips):
            raise InvalidInputError("nothing to record: ask for json_lines, mot_text or clips")
        _check_range("file_bytes", self.file_bytes, KB, 100 * GB)
        _check_range("file_s", self.file_s, 1, 31 * 86400)
        _check_range("budget_bytes", self.budget_bytes, 4 * self.file_bytes, 10**15)
        _check_range("keep_free_bytes", self.keep_free_bytes, 0, 10**15)


def parse_recording(path: Path) -> RecordingConfig:
    """Read what a path asks for: ``tracks.jsonl``, ``tracks.txt``, or a folder for both and video.

    The names of the files begin with the path's, and their kind is its suffix's.

    Raises
    ------
    InvalidInputError
        If the suffix is another.
    """
    if path.suffix == ".jsonl":
        return RecordingConfig(path.parent, path.stem)
    if path.suffix == ".txt":
        return RecordingConfig(path.parent, path.stem, json_lines=False, mot_text=True)
    if path.suffix and not path.is_dir():
        raise InvalidInputError(
            f"a recording is NAME.jsonl, NAME.txt (MOTChallenge) or a folder for both and video, not {path}"
        )
    return RecordingConfig(path, mot_text=True, clips=ClipConfig())


def parse_size(text: str) -> int:
    """Read a size of storage, as in ``500MB`` or ``1.5 GB``; bytes.

    Raises
    ------
    InvalidInputError
        If it is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]?B)", text.strip().upper())
    if not found:
        raise InvalidInputError(f"a size is written 500MB or 2GB, not {text!r}")
    return round(float(found[1]) * _UNITS[found[2]])


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise InvalidInputError(f"{name} must be between {low:g} and {high:g}, not {value:g}")
