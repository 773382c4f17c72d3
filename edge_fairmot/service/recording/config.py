"""Settings of recordings, and limits of their disk space."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.service import check_range, slug

KB, MB, GB = 10**3, 10**6, 10**9

_UNITS = {"B": 1, "KB": KB, "MB": MB, "GB": GB}

FOLDER_STEM = "tracks"
"""File names in a folder begin with this."""


@dataclass(frozen=True, slots=True)
class RecordingConfig:
    """Settings of a recording. Sizes are written as ``500MB`` or ``2GB``.

    Attributes
    ----------
    path : Path
        ``NAME.jsonl`` or ``NAME.txt`` (MOTChallenge) for tracks and events, or a folder for both formats and
        clips. The time goes into the names: ``NAME-20261123T142920Z.jsonl``.
    clips : bool
        Record a video clip of every event, also where path is not a folder.
    before_s : float
        Part of a clip before its first event, seconds.
    after_s : float
        Part of a clip after its last event, seconds.
    longest_s : float
        Maximum length of a clip, seconds. The next clip continues it.
    rate : float
        Frames per second of a clip at most.
    memory : str
        Memory for frames before an event and for frames that are being encoded. Frames are scaled down if
        before_s of them do not fit.
    file_size : str
        A file of this size is followed by the next one.
    file_s : float
        A file of this age is followed by the next one, seconds.
    budget : str
        Size of all files of the recording. The oldest ones are deleted, but never one that is being written.
    keep_free : str
        Free space on the disk. The oldest files are deleted for it; then recording pauses until there is a
        quarter more.

    Raises
    ------
    InvalidInputError
        If a value is out of range, or a size or the path cannot be read.
    """

    path: Path
    clips: bool = False
    before_s: float = 5.0
    after_s: float = 5.0
    longest_s: float = 60.0
    rate: float = 10.0
    memory: str = "128MB"
    file_size: str = "64MB"
    file_s: float = 3600.0
    budget: str = "2GB"
    keep_free: str = "200MB"

    def __post_init__(self) -> None:
        if self._is_folder and self.path.suffix and not os.path.isdir(self.path):  # False of any text
            raise InvalidInputError(
                "path must be NAME.jsonl, NAME.txt (MOTChallenge) or a folder for both and clips, "
                f"not {self.path}"
            )
        if not re.fullmatch(r"[\w-][\w.-]{0,63}", self.stem):
            raise InvalidInputError(
                f"path must have a name of letters, digits, _, - and ., 64 at most, not {self.stem!r}"
            )
        check_range("before_s", self.before_s, 0, 60)
        check_range("after_s", self.after_s, 0, 600)
        check_range("longest_s", self.longest_s, self.before_s + 1, 3600)
        check_range("rate", self.rate, 0.1, 120)
        check_range("file_s", self.file_s, 1, 31 * 86_400)
        for name, low, high in (
            ("memory", MB, 100 * GB),
            ("file_size", KB, 100 * GB),
            ("budget", 4 * self.bytes_of("file_size"), 1_000_000 * GB),
            ("keep_free", 0, 1_000_000 * GB),
        ):
            if not low <= self.bytes_of(name) <= high:
                raise InvalidInputError(
                    f"{name} must be between {_size(low)} and {_size(high)}, not {getattr(self, name)}"
                )

    def of_camera(self, name: str) -> RecordingConfig:
        """Return the settings of one of several cameras: the same in a folder of its own, with its limits."""
        folder = self.folder / slug(name)
        return replace(self, path=folder if self._is_folder else folder / self.path.name)

    @property
    def _is_folder(self) -> bool:
        return self.path.suffix not in (".jsonl", ".txt")

    @property
    def folder(self) -> Path:
        """Folder of the files; made if missing."""
        return self.path if self._is_folder else self.path.parent

    @property
    def stem(self) -> str:
        """Beginning of the file names."""
        return FOLDER_STEM if self._is_folder else self.path.stem

    @property
    def json_lines(self) -> bool:
        """Whether tracks are recorded as JSON Lines."""
        return self.path.suffix != ".txt" or self._is_folder

    @property
    def mot_text(self) -> bool:
        """Whether tracks are recorded as MOTChallenge text."""
        return self.path.suffix != ".jsonl"

    @property
    def has_clips(self) -> bool:
        """Whether clips are recorded."""
        return self.clips or self._is_folder

    def bytes_of(self, name: str) -> int:
        """Return one of the sizes in bytes; InvalidInputError if it cannot be read."""
        text = getattr(self, name)
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]?B)", text.strip().upper())
        if not found:
            raise InvalidInputError(f"{name} must be a size such as 500MB or 2GB, not {text!r}")
        return round(float(found[1]) * _UNITS[found[2]])


def _size(count: int) -> str:
    unit = next(unit for unit in reversed(_UNITS) if count >= _UNITS[unit] or unit == "B")
    return f"{count / _UNITS[unit]:g}{unit}"
