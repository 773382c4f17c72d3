"""Pictures of a folder as frames."""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from edge_fairmot.errors import InvalidInputError, SourceError
from edge_fairmot.protocols import Source, SourceInfo
from edge_fairmot.sources.video import VideoSource
from edge_fairmot.types import Frame, UInt8Array

# FOLDED picture.py: One picture file: is it one, is it whole, what is in it.

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})


def is_picture(path: Path) -> bool:
    """Whether the name is a picture's. Hidden files, which macOS leaves beside real ones, are not."""
    return path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")


def read_picture(path: Path) -> UInt8Array:
    """Decode one picture, upright by its EXIF orientation.

    Returns
    -------
    uint8 (H, W, 3)
        BGR.

    Raises
    ------
    SourceError
        If it cannot be read or decoded, or ends early.
    """
    remedy = "remove it or replace it"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror}): {remedy}") from error
    # OpenCV 4 fills up a picture that was cut off with grey and calls it good.
    if not data or _lacks_end(data):
        raise SourceError(f"{path} is cut off after {len(data)} bytes: {remedy}")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise SourceError(f"{path} cannot be decoded as a picture ({error.err}): {remedy}") from error
    if image is None:
        raise SourceError(f"{path} cannot be decoded as a picture: {remedy}")
    return np.asarray(image, np.uint8)


def _lacks_end(data: bytes) -> bool:
    """Whether the end marker of a JPEG or PNG is missing."""
    if data.startswith(b"\x89PNG"):
        return b"IEND" not in data
    if not data.startswith(b"\xff\xd8"):
        return False
    # The scan starts after the segments of the header, which may hold a thumbnail with an end of its own.
    position = 2
    while data[position : position + 1] == b"\xff" and data[position + 1 : position + 2] != b"\xda":
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return data.find(b"\xff\xd9", position) < 0


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


# FOLDED sequence.py: A MOTChallenge sequence: a folder that says in ``seqinfo.ini`` what it holds.

SEQINFO_NAME = "seqinfo.ini"


@dataclass(frozen=True, slots=True)
class SequenceInfo:
    """The keys of ``seqinfo.ini`` that are used.

    Attributes
    ----------
    name : str
        The folder's name where the key is absent.
    picture_folder : str
        ``imDir``; ``img1`` where the key is absent.
    frame_rate : float
    frame_size : (int, int)
        Width and height, pixels.
    frame_count : int or None
        ``seqLength``; None where the key is absent.
    """

    name: str
    picture_folder: str
    frame_rate: float
    frame_size: tuple[int, int]
    frame_count: int | None


def read_seqinfo(path: str | Path) -> SequenceInfo:
    """Read a ``seqinfo.ini``.

    Raises
    ------
    SourceError
        If it is not there, not an ini file with a section ``[Sequence]``, or a key is missing or malformed.
    """
    path = Path(path)
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(path.read_text("utf-8-sig"), str(path))
        section = parser["Sequence"]
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror}): check the path") from error
    except (configparser.Error, UnicodeDecodeError, KeyError) as error:
        raise SourceError(
            f"{path} is not a seqinfo.ini with a section [Sequence]: write one as MOTChallenge does"
        ) from error
    return SequenceInfo(
        name=section.get("name", path.resolve().parent.name),
        picture_folder=section.get("imDir", "img1"),
        frame_rate=_positive(section, "frameRate", path),
        frame_size=(_whole(section, "imWidth", path), _whole(section, "imHeight", path)),
        frame_count=_whole(section, "seqLength", path) if "seqLength" in section else None,
    )


class SequenceSource(AbstractContextManager["SequenceSource"]):
    """Frames of one MOTChallenge sequence.

    They are the pictures in ``imDir`` or, where that folder is absent, the video ``<name>.mp4`` beside
    ``seqinfo.ini``. The rate is the one in ``seqinfo.ini``; ``time_s`` is ``index / frameRate``.

    Parameters
    ----------
    path : str or Path
        The folder with ``seqinfo.ini``.

    Raises
    ------
    SourceError
        If ``seqinfo.ini`` is unusable, or the frames are not there, unreadable or of another size.
    """

    def __init__(self, path: str | Path) -> None:
        folder = Path(path)
        self._seqinfo_path = folder / SEQINFO_NAME
        sequence = read_seqinfo(self._seqinfo_path)
        self._frames = _open_frames(folder, sequence)
        given = self._frames.info
        if given.frame_size != sequence.frame_size:
            self._frames.close()
            raise SourceError(
                f"{self._seqinfo_path} says {_size(sequence.frame_size)} pixels, but the frames are "
                f"{_size(given.frame_size)}: correct imWidth and imHeight"
            )
        self._length = sequence.frame_count
        self._closed = False
        self._info = SourceInfo(
            str(path), sequence.frame_size, sequence.frame_rate, self._length or given.frame_count
        )

    @property
    def info(self) -> SourceInfo:
        """What ``seqinfo.ini`` says."""
        return self._info

    def __iter__(self) -> Iterator[Frame]:
        """Frames in order, once.

        Raises
        ------
        SourceError
            As of the pictures or the video; after the last frame, if there are fewer or more than
            ``seqLength``; at once, if the source was read or closed before.
        """
        return self._read(iter(self._frames))

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the frames. May be called twice."""
        self._closed = True
        self._frames.close()

    def _read(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        count = 0
        for frame in frames:
            yield replace(frame, time_s=frame.index / self._info.frame_rate)
            count += 1
        if not self._closed and self._length is not None and count != self._length:
            raise SourceError(
                f"{self._seqinfo_path} says seqLength={self._length}, but there are {count} frames: "
                "restore the missing frames or correct seqLength"
            )


def _open_frames(folder: Path, sequence: SequenceInfo) -> Source:
    pictures = folder / sequence.picture_folder
    if pictures.is_dir():
        return ImageFolderSource(pictures, sequence.frame_rate)
    video = folder / f"{sequence.name}.mp4"
    if video.is_file():
        return VideoSource(video)
    raise SourceError(f"{folder} has neither the pictures {pictures} nor the video {video}: add one of them")


def _positive(section: configparser.SectionProxy, key: str, path: Path) -> float:
    text = section.get(key)
    if text is None:
        raise SourceError(f"{path} lacks the key {key}: add a line such as {key}=25")
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise SourceError(f"{path} has {key}={text}, which is no positive number: correct it")
    return value


def _whole(section: configparser.SectionProxy, key: str, path: Path) -> int:
    value = _positive(section, key, path)
    if value != int(value):
        raise SourceError(f"{path} has {key}={section[key]}, which is no whole number: correct it")
    return int(value)


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
