"""A MOTChallenge sequence: a folder that says in ``seqinfo.ini`` what it holds."""

from __future__ import annotations

import configparser
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from edge_fairmot.contracts import Source, SourceInfo
from edge_fairmot.errors import SourceError
from edge_fairmot.sources.image_folder import ImageFolderSource
from edge_fairmot.sources.video import VideoSource
from edge_fairmot.types import Frame

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
