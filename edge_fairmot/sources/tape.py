"""A tape as a source: grey frames at the recorded times, for runs without video."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from edge_fairmot.errors import SourceError
from edge_fairmot.protocols import SourceInfo
from edge_fairmot.tape import read_tape
from edge_fairmot.types import Float64Array, Frame, Int64Array

GREY = 128


class TapeSource(AbstractContextManager["TapeSource"]):
    """Grey frames with the indices and times of a tape, in the size of the source that it was recorded from.

    There is a frame for every one in which the recorded run looked for detections; those between, if it had
    an interval, are not on the tape. Indices keep their gaps.

    Parameters
    ----------
    path : str or Path
        A tape, see :mod:`edge_fairmot.tape`.

    Raises
    ------
    TapeError
        If it cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        tape = read_tape(path)
        self._path = Path(path)
        # The rest of the tape, nearly all of it embeddings, is let go.
        self._frames: tuple[Int64Array, Float64Array] | None = (tape.frame_index, tape.time_s)
        self._info = SourceInfo(str(path), tape.header.frame_size, tape.header.frame_rate, len(tape))
        self._closed = False

    @property
    def info(self) -> SourceInfo:
        """Size and rate of the recorded source, count of the frames on the tape."""
        return self._info

    def __iter__(self) -> Iterator[Frame]:
        """Frames in order, once.

        Raises
        ------
        SourceError
            If the source was read or closed before.
        """
        frames, self._frames = self._frames, None
        if frames is None:
            raise SourceError(f"{self._path} was read or closed already: open it again")
        return self._read(*frames)

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the iteration. May be called twice."""
        self._closed = True
        self._frames = None

    def _read(self, frame_index: Int64Array, time_s: Float64Array) -> Iterator[Frame]:
        width, height = self._info.frame_size
        for index, moment_s in zip(frame_index.tolist(), time_s.tolist(), strict=True):
            if self._closed:
                return
            # A new one each: a sink may draw on its frame.
            yield Frame(np.full((height, width, 3), GREY, np.uint8), index, moment_s)
