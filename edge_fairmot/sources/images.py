"""Images of a folder as frames, and MOTChallenge sequences (a folder of images or a video)."""

from __future__ import annotations

import configparser
import logging
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from edge_fairmot.errors import SourceError
from edge_fairmot.protocols import SourceInfo
from edge_fairmot.sources.address import format_size
from edge_fairmot.sources.av import VideoSource
from edge_fairmot.sources.base import FrameSource, SourceOptions
from edge_fairmot.types import Frame, UInt8Array

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
SEQINFO_NAME = "seqinfo.ini"

DEFAULT_FRAME_RATE = 25.0
"""Images carry no clock; this is the rate of most MOTChallenge sequences."""

LARGEST_FILE = 1 << 30
REMEDY = "remove it or replace it"

_log = logging.getLogger(__name__)


def is_image(path: Path) -> bool:
    """Return whether the name is that of an image. Hidden files, which macOS adds, are not images."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def read_image(path: Path) -> UInt8Array:
    """Decode an image file: uint8 (H, W, 3), BGR, upright by its EXIF orientation.

    16-bit images are scaled from their smallest and largest value to 0 and 255. Raises SourceError where the
    file cannot be read or decoded, is cut off or is damaged.
    """
    try:
        if not path.is_file():
            missing = "is a link to a file that is not there" if path.is_symlink() else "is not a file"
            raise SourceError(
                f"{path} {missing if path.exists() or path.is_symlink() else 'is missing'}: {REMEDY}"
            )
        if path.stat().st_size > LARGEST_FILE:
            raise SourceError(f"{path} is larger than 1 GiB: {REMEDY}")
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror}): {REMEDY}") from error
    if not data or _lacks_end(data):
        raise SourceError(f"{path} is cut off after {len(data)} bytes: {REMEDY}")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error as error:
        raise SourceError(f"{path} cannot be decoded as an image ({error.err}): {REMEDY}") from error
    if image is None:
        raise SourceError(f"{path} cannot be decoded as an image: {REMEDY}")
    if data.startswith(JPEG_START) and _is_damaged(data):
        raise SourceError(f"{path} is damaged inside: {REMEDY}")
    if image.dtype != np.uint8:
        low, high = int(image.min()), int(image.max())
        image = np.rint((image.astype(np.float32) - low) * (255 / max(1, high - low)))
    return np.asarray(image, np.uint8)


JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
SCAN, COMMENT, APPLICATION = 0xDA, 0xFE, range(0xE0, 0xF0)
"""Codes of JPEG markers, ITU-T T.81, table B.1."""


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker code, start and end of the segments of a JPEG file; the last is the scan with all the rest."""
    start = 2
    while data[start : start + 1] == b"\xff":
        code = start + 1
        while data[code : code + 1] == b"\xff":  # fill bytes, T.81 B.1.1.2
            code += 1
        if code >= len(data):
            return
        end = code + 1 + int.from_bytes(data[code + 1 : code + 3], "big")
        yield data[code], start, len(data) if data[code] == SCAN else end
        if data[code] == SCAN:
            return
        start = end


def _lacks_end(data: bytes) -> bool:
    """Whether the end mark of a JPEG or PNG file is missing. A thumbnail in the header has one of its own."""
    if data.startswith(b"\x89PNG"):
        return b"IEND" not in data
    if not data.startswith(JPEG_START):
        return False
    scans = [start for code, start, _ in _jpeg_segments(data) if code == SCAN]
    return not scans or data.find(JPEG_END, scans[0]) < 0


def _is_damaged(data: bytes) -> bool:
    """Whether a JPEG decodes only with errors ignored: OpenCV fills the rest without a message."""
    from av import CodecContext, Packet  # noqa: PLC0415
    from av.error import FFmpegError, InvalidDataError  # noqa: PLC0415

    # Application data in the header is ignored.
    parts = [
        data[start:end]
        for code, start, end in _jpeg_segments(data)
        if code != COMMENT and code not in APPLICATION
    ]
    packet = Packet(JPEG_START + b"".join(parts))

    def decodes(strictness: str) -> bool:
        decoder = CodecContext.create("mjpeg", "r")
        decoder.options = {"err_detect": strictness}
        try:
            return bool(decoder.decode(packet))
        except InvalidDataError:
            return False

    try:
        return not decodes("explode") and decodes("careful")
    except FFmpegError:  # a kind of JPEG that OpenCV knows and FFmpeg does not
        return False


def natural_order(name: str) -> tuple[str, str]:
    """Sort key with ``img2`` before ``img10``; the name itself decides between ``img1`` and ``img01``."""
    return re.sub("0*([0-9]+)", lambda number: f"{len(number[1]):04d}{number[1]}", name), name


class ImageFolderSource(FrameSource):
    """The images of one folder, in natural order of their names; ``time_s`` is ``index / frame_rate``.

    Images of one video have one size: without ``same_size`` they may differ. With ``numbered`` names end in
    frame numbers, as in a MOTChallenge sequence: ``index`` is the number less one, or the number where the
    first is 0.
    """

    def __init__(
        self,
        path: str | Path,
        options: SourceOptions | None = None,
        *,
        same_size: bool = True,
        numbered: bool = False,
    ) -> None:
        super().__init__(str(path))
        options = options or SourceOptions()
        rate = options.frame_rate or DEFAULT_FRAME_RATE
        images = _list_images(Path(path))
        self.numbers = _read_numbers(images, must=numbered)
        indices = (
            [number - min(1, self.numbers[0]) for number in self.numbers] if numbered else range(len(images))
        )
        self._images = [
            (index, image)
            for index, image in zip(indices, images, strict=True)
            if not (options.is_before(index / rate) or options.is_after(index / rate))
        ][: options.max_frames]
        if not self._images:
            raise SourceError(
                f"{path} ends at {(indices[-1] + 1) / rate:.2f} s: start before {options.start_s:g} s"
            )
        height, width = read_image(self._images[0][1]).shape[:2]
        self._info = SourceInfo(self._name, (width, height), rate, len(self._images))
        self._same_size = same_size
        gaps = Gaps.find(self.numbers) if same_size else None
        if gaps is not None and gaps.count <= len(images):  # else the names are times, not numbers
            how = "the others keep their numbers" if numbered else "frames are counted by their position"
            _log.warning("%s lacks %d images, first number %d: %s", path, gaps.count, gaps.first, how)

    def _frames(self) -> Iterator[Frame]:
        width, height = self._info.frame_size
        for index, path in self._images:
            if self._guard.closed:
                return
            image = read_image(path)
            if self._same_size and image.shape[:2] != (height, width):
                raise SourceError(
                    f"{path} is {image.shape[1]}x{image.shape[0]} pixels where {self._images[0][1].name} is "
                    f"{width}x{height}: remove it or resize it"
                )
            yield Frame(image, index, index / self._info.frame_rate)


def _list_images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise SourceError(f"{folder} is not a folder: check the path")
    try:
        images = [path for path in folder.iterdir() if is_image(path) and not path.is_dir()]
    except OSError as error:
        raise SourceError(f"{folder} cannot be read ({error.strerror}): check its permissions") from error
    if not images:
        kinds = ", ".join(sorted(IMAGE_SUFFIXES))
        raise SourceError(
            f"{folder} holds no images ({kinds}): check the path; "
            "a folder of videos is for edge-fairmot track-many"
        )
    return sorted(images, key=lambda path: natural_order(path.name))


def _read_numbers(images: list[Path], *, must: bool) -> list[int]:
    """Rising numbers at the ends of the names; empty where they are none and need not be."""
    numbers: list[int] = []
    for path in images:
        match = re.search(r"\d{1,15}$", path.stem)
        if match is None or (numbers and int(match[0]) <= numbers[-1]):
            if must:
                raise SourceError(
                    f"{path} does not fit among the frame numbers: name it by its frame, as 000001.jpg, "
                    "or remove it"
                )
            return []
        numbers.append(int(match[0]))
    return numbers


@dataclass(frozen=True, slots=True)
class Gaps:
    """Numbers that are missing in a row of frame numbers, which may go in steps (every fifth frame)."""

    count: int
    first: int

    @classmethod
    def find(cls, numbers: list[int]) -> Gaps | None:
        """Find the gaps between rising numbers; None where there are none."""
        steps = [after - number for number, after in pairwise(numbers)]
        step, times = Counter(steps).most_common(1)[0] if steps else (1, 0)
        step = step if times > 1 else 1
        missing = [max(0, found - 1) // step if found > step else 0 for found in steps]
        if not any(missing):
            return None
        return cls(sum(missing), next(n + step for n, lacks in zip(numbers, missing, strict=False) if lacks))


@dataclass(frozen=True, slots=True)
class SequenceInfo:
    """The keys of ``seqinfo.ini`` that are used; ``frame_count`` is ``seqLength``, None where absent."""

    name: str
    image_folder: str
    frame_rate: float
    frame_size: tuple[int, int]
    frame_count: int | None


def read_seqinfo(path: str | Path) -> SequenceInfo:
    """Read a ``seqinfo.ini``.

    Raises SourceError where it is absent, holds no section ``[Sequence]``, or lacks a key or its value.
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
        image_folder=section.get("imDir", "img1"),
        frame_rate=_positive(section, "frameRate", path),
        frame_size=(_whole(section, "imWidth", path), _whole(section, "imHeight", path)),
        frame_count=_whole(section, "seqLength", path) if "seqLength" in section else None,
    )


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


class SequenceSource(FrameSource):
    """Frames of one MOTChallenge sequence: the folder with ``seqinfo.ini``, or its folder of images.

    They are the images in ``imDir``, numbered by their names, or, where that folder is absent, the video
    ``<name>.mp4`` beside ``seqinfo.ini``. ``time_s`` is ``index / frameRate``.
    """

    def __init__(self, path: str | Path, options: SourceOptions | None = None) -> None:
        folder = find_sequence(Path(path)) or Path(path)
        self._seqinfo_path, options = folder / SEQINFO_NAME, options or SourceOptions()
        sequence = read_seqinfo(self._seqinfo_path)
        self._source = _open_frames(folder, sequence, options)
        super().__init__(str(path))
        info = self._source.info
        if info.frame_size != sequence.frame_size:
            self.close()
            raise SourceError(
                f"{self._seqinfo_path} says {format_size(sequence.frame_size)} pixels, but the frames are "
                f"{format_size(info.frame_size)}: correct imWidth and imHeight"
            )
        self._length = None if options.selects_part else sequence.frame_count
        self._info = replace(info, name=self._name)

    def close(self) -> None:
        """End the iteration and release the frames. May be called twice, from any thread."""
        super().close()
        self._source.close()

    def _frames(self) -> Iterator[Frame]:
        count = last = 0
        for frame in self._source:
            yield frame
            count, last = count + 1, frame.index + 1
        if not self._guard.closed and self._length is not None:
            self._check_length(count, last, self._length)

    def _check_length(self, count: int, last: int, length: int) -> None:
        numbers = self._source.numbers if isinstance(self._source, ImageFolderSource) else []
        gaps = Gaps.find(numbers)
        if length == count or (gaps is None and numbers and length in (last, last - numbers[0] + 1)):
            return
        first = f", and number {gaps.first} is missing" if gaps else ""
        raise SourceError(
            f"{self._seqinfo_path} says seqLength={length}, but there are {count} frames{first}: restore the "
            "missing frames or correct seqLength"
        )


def find_sequence(folder: Path) -> Path | None:
    """Find the MOTChallenge sequence of a folder, or of a folder of its images; None if there is none."""
    if (folder / SEQINFO_NAME).exists():
        return folder
    parent = folder.absolute().parent
    if (parent / SEQINFO_NAME).exists() and read_seqinfo(parent / SEQINFO_NAME).image_folder == folder.name:
        return parent
    return None


def _open_frames(
    folder: Path, sequence: SequenceInfo, options: SourceOptions
) -> ImageFolderSource | VideoSource:
    options = replace(options, frame_rate=options.frame_rate or sequence.frame_rate)
    images, video = folder / sequence.image_folder, folder / f"{sequence.name}.mp4"
    if images.is_dir():
        return ImageFolderSource(images, options, numbered=True)
    if video.is_file():
        return VideoSource(video, options)
    raise SourceError(f"{folder} has neither the images {images} nor the video {video}: add one of them")
