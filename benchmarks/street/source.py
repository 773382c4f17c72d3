"""The synthetic street as a source: frames without a camera or a file."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager

from edge_fairmot.benchmarks.street import Street, StreetOptions, format_street
from edge_fairmot.errors import SourceError
from edge_fairmot.protocols import SourceInfo
from edge_fairmot.types import Frame, Truth


class SyntheticSource(AbstractContextManager["SyntheticSource"]):
    """Frames of a street with people, drawn as they are asked for.

    Parameters
    ----------
    options : StreetOptions, optional

    Examples
    --------
    >>> from edge_fairmot.sources import open_source
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
        self._closed = False

    @property
    def info(self) -> SourceInfo:
        """Size, rate and length that the street was asked for."""
        return self._info

    def truth(self, index: int) -> Truth:
        """Tell who is where in a frame, given already or not; also from another thread, and after closing."""
        return self._street.truth(index)

    def __iter__(self) -> Iterator[Frame]:
        """Frames in order, once.

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
            yield Frame(self._street.image(index), index, index / self._info.frame_rate)
