"""Files one after the other, each of which can be read alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic

from edge_fairmot.errors import SinkError
from edge_fairmot.sinks.files import UnbufferedFile


class RotatingFile:
    """Writes to a file, and to the next when it is large or old enough.

    Nothing waits in this process: what was written survives it.

    Parameters
    ----------
    new_path : callable
        Gives the path of a new file.
    header : callable
        Gives the bytes that each file begins with.
    most_bytes : int
        A file grows no larger, unless what is written at once is.
    longest_s : float
        A file older than this is followed by another.
    clock : callable, optional
        Gives seconds that do not go back.
    """

    def __init__(
        self,
        new_path: Callable[[], Path],
        header: Callable[[], bytes],
        most_bytes: int,
        longest_s: float,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._new_path, self._header, self._clock = new_path, header, clock
        self._most_bytes, self._longest_s = most_bytes, longest_s
        self._file: UnbufferedFile | None = None
        self._path: Path | None = None
        self._size = 0
        self._begun_s = 0.0

    @property
    def path(self) -> Path | None:
        """What is being written now, if anything; from any thread, and from before it is there."""
        return self._path

    def write(self, data: bytes) -> None:
        """Write whole lines; they stay together in one file.

        Raises
        ------
        SinkError
            If they cannot be written, or the disk says only now that it has not got those before. The file
            then ends with what it has, and the next write begins another.
        """
        if self._size + len(data) > self._most_bytes or self._clock() - self._begun_s > self._longest_s:
            self.close()
        if self._file is None:
            self._path = path = self._new_path()
            self._file, self._size = UnbufferedFile(path), 0
            self._begun_s = self._clock()
            self._append(self._header())
        self._append(data)

    def _append(self, data: bytes) -> None:
        file = self._file
        assert file is not None
        try:
            file.write(data)
        except SinkError:
            self.close()
            with suppress(OSError):  # of a disk that is gone
                if self._size:
                    os.truncate(file.path, self._size)
                else:
                    file.path.unlink()
            raise
        self._size += len(data)

    def close(self) -> None:
        """Close the file; the next write begins another, also where this raises. May be called twice.

        Raises
        ------
        SinkError
            If the disk says only now that it has not got everything.
        """
        file, self._file, self._path = self._file, None, None
        if file is not None:
            file.close()
