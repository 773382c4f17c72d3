"""A file that passes every byte to the operating system at once."""

from __future__ import annotations

import errno
import math
from pathlib import Path

import numpy as np

from edge_fairmot.errors import SinkError
from edge_fairmot.types import FrameResult


def require_finite(result: FrameResult) -> None:
    """Raise SinkError if a box, a score or the time is NaN or infinite: no reader accepts those."""
    frame, tracks = result.frame, result.tracks
    finite = np.isfinite(tracks.xyxy).all(axis=1) & np.isfinite(tracks.score)
    if not finite.all():
        ids = ", ".join(map(str, tracks.track_id[~finite]))
        raise SinkError(
            f"frame {frame.number} has boxes or scores that are not finite (ids {ids}): "
            "check the detections given to the tracker"
        )
    if not math.isfinite(frame.time_s):
        raise SinkError(f"frame {frame.number} has time_s {frame.time_s}: check the source's clock")


class UnbufferedFile:
    """Passes bytes straight to the operating system, so that a killed process loses nothing written.

    A file that exists is replaced, and a missing folder is made. Every failure is a SinkError.
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
        """Write all of ``data``."""
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
        """True after :meth:`close`."""
        return self._file.closed

    def require_open(self) -> None:
        """Raise SinkError if the file is closed."""
        if self._file.closed:
            raise SinkError(f"{self.path} is closed: open a new sink to write more")

    def close(self) -> None:
        """Close the file, also where this raises. May be called twice.

        Network file systems report a full disk only here. After a failed write nothing more is raised.
        """
        try:
            self._file.close()
        except OSError as error:
            if not self._failed:
                raise self._error(error) from error

    def _error(self, error: OSError) -> SinkError:
        fix = "free space there" if error.errno == errno.ENOSPC else "check the folder and its permissions"
        return SinkError(
            f"{self.path} cannot be written ({error.strerror or error}): {fix} or choose another place"
        )
