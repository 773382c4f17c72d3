"""The synthetic street as a source: ``synthetic:`` of :func:`edge_fairmot.open_source`."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager

from edge_fairmot.benchmarks.street.options import StreetOptions, format_street, parse_street
from edge_fairmot.benchmarks.street.render import Street
from edge_fairmot.errors import SourceError
from edge_fairmot.protocols import SourceInfo
from edge_fairmot.types import Float64Array, Frame, GroundTruth

RECENT_FRAMES = 32  # ground truth kept of frames just read, more than the loop reads ahead


class SyntheticSource(AbstractContextManager["SyntheticSource"]):
    """Frames of a street with people, drawn when they are read, and their ground truth.

    Parameters
    ----------
    options : StreetOptions, optional

    Examples
    --------
    >>> from edge_fairmot import open_source
    >>> source = open_source("synthetic:seed=3,frames=2,size=576x320")
    >>> for frame in source:
    ...     truth = source.truth(frame.index)
    ...     print(frame.image.shape, len(truth) == len(truth.xyxy) == len(truth.visibility))
    (320, 576, 3) True
    (320, 576, 3) True
    """

    def __init__(self, options: StreetOptions | None = None) -> None:
        options = options or StreetOptions()
        self._street = Street(options)
        self._indices: Iterable[int] | None = (
            itertools.count() if options.frames is None else range(options.frames)
        )
        self._info = SourceInfo(format_street(options), options.size, options.fps, options.frames)
        self._recent: dict[int, GroundTruth] = {}
        self._closed = False

    @property
    def info(self) -> SourceInfo:
        """Size, rate and length that the options ask for."""
        return self._info

    def truth(self, index: int) -> GroundTruth:
        """Ground truth of any frame, read or not; from any thread, also after closing.

        That of a frame just read costs nothing; it is the same object each time.
        """
        truth = self._recent.get(index)
        return self._street.truth(index) if truth is None else truth

    def view(self, index: int) -> Float64Array:
        """Return where the camera looks in any frame, float64 (2, 3): maps street pixels to the image."""
        return self._street.view(index)

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames in order, once.

        Raises
        ------
        SourceError
            If the source was read or closed before.
        """
        indices, self._indices = self._indices, None
        if indices is None:
            raise SourceError(f"{self._info.name} was read or closed already: open it again")
        return self._read(indices)

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the iteration. May be called twice."""
        self._closed = True
        self._indices = None

    def _read(self, indices: Iterable[int]) -> Iterator[Frame]:
        for index in indices:
            if self._closed:
                return
            image, self._recent[index] = self._street.frame(index)
            self._recent.pop(index - RECENT_FRAMES, None)
            yield Frame(image, index, index / self._info.frame_rate)


def open_synthetic(address: str) -> SyntheticSource:
    """Open the street of ``synthetic:NAME=VALUE,...``; the entry point ``synthetic`` names this function."""
    return SyntheticSource(parse_street(address))
