"""A file of which nothing waits in this process."""

from __future__ import annotations

import errno
import math
from pathlib import Path

import numpy as np

from edge_fairmot.errors import SinkError
from edge_fairmot.types import Frame, Tracks

# FOLDED finite.py: What no file can carry: NaN and infinity.


def require_finite(frame: Frame, tracks: Tracks) -> None:
    """Refuse what a reader would stumble over.

    Raises
    ------
    SinkError
        If a box, a score or the time is NaN or infinite.
    """
    finite = np.isfinite(tracks.xyxy).all(axis=1) & np.isfinite(tracks.score)
    if not finite.all():
        ids = ", ".join(map(str, tracks.track_id[~finite]))
        raise SinkError(
            f"frame {frame.index + 1} has boxes or scores that are not finite (ids {ids}): "
            "check the detections given to the tracker"
        )
    if not math.isfinite(frame.time_s):
        raise SinkError(f"frame {frame.index + 1} has time_s {frame.time_s}: check the source's clock")


class UnbufferedFile:
    """Hands bytes straight to the operating system, so that a killed process loses nothing written.

    Parameters
    ----------
    path : str or Path
        Replaced where it exists; its folder is made where it does not.

    Raises
    ------
    SinkError
        If it cannot be made.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # A buffer would also fail once more at the end when the disk is full.
            self._file = self.path.open("wb", buffering=0)
            self._failed = False
        except OSError as error:
            raise self._error(error) from error

    def write(self, data: bytes) -> None:
        """Write all of it.

        Raises
        ------
        SinkError
            If it cannot be written, or the file is closed.
        """
        self.require_open()
        left = memoryview(data)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            self._failed = True
            raise self._error(error) from error

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._file.closed

    def require_open(self) -> None:
        """Refuse a write that comes too late.

        Raises
        ------
        SinkError
            If the file is closed.
        """
        if self._file.closed:
            raise SinkError(f"{self.path} is closed: open a new sink to write more")

    def close(self) -> None:
        """Close the file. May be called twice; it is closed also where that raises.

        Raises
        ------
        SinkError
            If the disk says only now that it has not got everything, as those behind a network do. Not where
            a write has failed before: that was told.
        """
        try:
            self._file.close()
        except OSError as error:
            if not self._failed:
                raise self._error(error) from error

    def _error(self, error: OSError) -> SinkError:
        remedy = "free space there" if error.errno == errno.ENOSPC else "check the folder and its permissions"
        return SinkError(
            f"{self.path} cannot be written ({error.strerror or error}): {remedy} or choose another place"
        )
