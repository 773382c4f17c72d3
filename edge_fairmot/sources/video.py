"""Frames of a video file, through OpenCV's FFmpeg."""

from __future__ import annotations

import itertools
import shlex
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import cv2

from edge_fairmot.errors import SourceError
from edge_fairmot.protocols import SourceInfo
from edge_fairmot.sources.completeness import Delivery, Promise, shortfall
from edge_fairmot.sources.container import read_container
from edge_fairmot.sources.decoding import DecodedPicture, RisingClock, decode_pictures
from edge_fairmot.types import Frame

DEFAULT_FRAME_RATE = 25.0
"""For a file that gives no rate, or the 1000 that browsers write into WebM because its clock ticks so."""

MAX_FRAME_RATE = 480.0
"""Above this a stated rate is a clock's, not a camera's."""


class VideoSource(AbstractContextManager["VideoSource"]):
    """Frames of one video file, in order, with their presentation times.

    ``time_s`` follows the file's presentation times, so a variable frame rate is kept; where they are missing
    or do not rise, it goes on by one frame period. A damaged file gives every frame that can be decoded and
    then an error; ``index`` counts the frames given. For files without an index of frames, such as Matroska,
    ``info.frame_count`` is an estimate, and damage in the middle shows only where decoding fails. Frames that
    change size are scaled to the first by OpenCV.

    FFmpeg writes its own complaints about a damaged file to stderr, unless ``OPENCV_FFMPEG_LOGLEVEL=-8`` is
    in the environment before a process opens its first video: a program may choose so, a library may not.

    Parameters
    ----------
    path : str or Path
        A file that FFmpeg can decode.

    Raises
    ------
    SourceError
        If it is not there, empty, not a video, or holds no frame that can be decoded.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        # OpenCV crashes where a file is released while another thread decodes from it.
        self._decoding = threading.Lock()
        _check_file(self._path)
        container = read_container(self._path)
        # Other backends would take the name of a picture for a numbered sequence.
        self._capture = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG)
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        frame_count = int(count) if 0 < count < 2**31 else None
        pictures = decode_pictures(self._capture, frame_count)
        first = next(pictures, None)
        if first is None:
            self._capture.release()
            raise SourceError(f"{path} holds no video that can be decoded; {_remedy(self._path)}")
        self._pictures: Iterator[DecodedPicture] | None = itertools.chain([first], pictures)
        duration_s = frame_count / rate if frame_count and rate > 0 else None
        self._promise = Promise(
            frame_count, container.counts_frames, container.cut_off, container.shown_s or duration_s
        )
        height, width = first.image.shape[:2]
        # A rate that is a clock's makes the estimated count one of ticks.
        plausible = 0 < rate <= MAX_FRAME_RATE
        self._info = SourceInfo(
            name=str(path),
            frame_size=(width, height),
            frame_rate=rate if plausible else DEFAULT_FRAME_RATE,
            frame_count=frame_count if plausible or container.counts_frames else None,
        )

    @property
    def info(self) -> SourceInfo:
        """What the file says it holds."""
        return self._info

    def __iter__(self) -> Iterator[Frame]:
        """Frames in order, once.

        Raises
        ------
        SourceError
            After the last good frame, if frames are missing; at once, if the source was read or closed
            before.
        """
        pictures, self._pictures = self._pictures, None
        if pictures is None:
            raise SourceError(f"{self._path} was read or closed already: open it again")
        return self._read(pictures)

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file. May be called twice, and while another thread reads."""
        self._pictures = None
        with self._decoding:
            self._capture.release()

    def _read(self, pictures: Iterator[DecodedPicture]) -> Iterator[Frame]:
        clock = RisingClock(1 / self._info.frame_rate)
        count, first_lost = 0, None
        while (picture := self._decode(pictures)) is not None:
            if picture.lost_before and count and first_lost is None:
                first_lost = count
            # After damage the decoder brings up frames of long before, made of guesses.
            if first_lost is not None and 0 < picture.presented_s <= clock.now_s:
                continue
            yield Frame(picture.image, count, clock.advance(picture.presented_s))
            count += 1
        with self._decoding:
            if not self._capture.isOpened():
                return
        end_s = clock.now_s + clock.period_s
        problem = shortfall(self._promise, Delivery(count, end_s, clock.longest_gap_s, first_lost))
        if problem is not None:
            raise SourceError(f"{self._path} {problem}; copy it again, or {_remedy(self._path)}")

    def _decode(self, pictures: Iterator[DecodedPicture]) -> DecodedPicture | None:
        with self._decoding:
            return next(pictures, None)


def _check_file(path: Path) -> None:
    """Refuse what FFmpeg would refuse with less to say, and to stderr."""
    if not path.is_file():
        raise SourceError(f"{path} is not a file: check the path")
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror}): check its permissions") from error
    if not head:
        raise SourceError(f"{path} is empty (0 bytes): copy or record it again")
    if _is_text(head):
        raise SourceError(f"{path} is a text file, not a video: check the path")


def _is_text(head: bytes) -> bool:
    # Every container but raw YUV4MPEG has control characters in its first bytes, and no text has.
    return not head.startswith(b"YUV4MPEG2") and all(byte >= 0x20 or byte in b"\t\r\n" for byte in head)


def _remedy(path: Path) -> str:
    return f"re-encode what is readable with: ffmpeg -i {shlex.quote(str(path))} -c:v libx264 fixed.mp4"
