"""Pictures of a folder as frames."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from edge_fairmot.contracts import SourceInfo
from edge_fairmot.errors import InvalidInputError, SourceError
from edge_fairmot.sources.picture import PICTURE_SUFFIXES, is_picture, read_picture
from edge_fairmot.types import Frame

DEFAULT_FRAME_RATE = 25.0
"""Pictures carry no clock; this is the rate of most MOTChallenge sequences."""


def natural_order(name: str) -> tuple[str, str]:
    """Sort key under which ``img2`` comes before ``img10``.

    Every number is led by its count of digits; the name itself decides between ``img1`` and ``img01``.
    """
    return re.sub("0*([0-9]+)", lambda number: f"{len(number[1]):04d}{number[1]}", name), name


class ImageFolderSource(AbstractContextManager["ImageFolderSource"]):
    """The pictures of one folder (jpg, jpeg, png, bmp, webp), in natural order of their names.

    Parameters
    ----------
    path : str or Path
        Folder. Folders inside it and files of other kinds are passed over.
    frame_rate : float
        Frames per second; ``time_s`` is ``index / frame_rate``.
    same_size : bool
        Whether a picture that differs in size from the first is a fault: frames of one video have one size.

    Raises
    ------
    SourceError
        If it is no folder, holds no picture, or its first picture cannot be decoded.
    InvalidInputError
        If the rate is not positive.
    """

    def __init__(
        self, path: str | Path, frame_rate: float = DEFAULT_FRAME_RATE, *, same_size: bool = True
    ) -> None:
        if not 0 < frame_rate < float("inf"):
            raise InvalidInputError(f"frame_rate must be positive, not {frame_rate}")
        self._path, self._same_size = Path(path), same_size
        self._pictures: list[Path] | None = _list_pictures(self._path)
        height, width = read_picture(self._pictures[0]).shape[:2]
        self._info = SourceInfo(str(path), (width, height), frame_rate, len(self._pictures))
        self._closed = False

    @property
    def info(self) -> SourceInfo:
        """Size of the first picture, count of all."""
        return self._info

    def __iter__(self) -> Iterator[Frame]:
        """Frames in order, once.

        Raises
        ------
        SourceError
            At a picture that cannot be decoded, or differs in size where it must not; at once, if the source
            was read or closed before.
        """
        pictures, self._pictures = self._pictures, None
        if pictures is None:
            raise SourceError(f"{self._path} was read or closed already: open it again")
        return self._read(pictures)

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the iteration. May be called twice."""
        self._closed = True
        self._pictures = None

    def _read(self, pictures: list[Path]) -> Iterator[Frame]:
        width, height = self._info.frame_size
        for index, path in enumerate(pictures):
            if self._closed:
                return
            image = read_picture(path)
            if self._same_size and image.shape[:2] != (height, width):
                raise SourceError(
                    f"{path} is {image.shape[1]}x{image.shape[0]} pixels where {pictures[0].name} is "
                    f"{width}x{height}: remove it or resize it"
                )
            yield Frame(image, index, index / self._info.frame_rate)


def _list_pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise SourceError(f"{folder} is not a folder: check the path")
    try:
        pictures = [path for path in folder.iterdir() if is_picture(path) and path.is_file()]
    except OSError as error:
        raise SourceError(f"{folder} cannot be read ({error.strerror}): check its permissions") from error
    if not pictures:
        kinds = ", ".join(sorted(PICTURE_SUFFIXES))
        raise SourceError(f"{folder} holds no pictures ({kinds}): check the path")
    return sorted(pictures, key=lambda path: natural_order(path.name))
