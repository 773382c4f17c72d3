"""Encoded images by name, from folders, archives and videos."""

from __future__ import annotations

import math
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.sources import open_source
from edge_fairmot.types import UInt8Array

IMAGES = "images"
"""Folder beside the labels that may hold the images."""

JPEG_QUALITY = 95

FRAME_OF_VIDEO = re.compile(r"(?P<video>.+):(?P<index>[0-9]+)")
"""Name of a frame: the video's, and the frame's index from 0."""


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An encoded image; ``time_s`` in its video, NaN outside of one."""

    encoded: bytes
    time_s: float = math.nan


def read_images(names: Sequence[str], places: Sequence[Path]) -> list[StoredImage]:
    """Read images by name.

    An image ``a.jpg`` is a file in one of the places (folders), in its ``images/`` or in a ``.zip`` archive
    there. ``a.mp4:12`` is frame 12, from 0, of the video ``a.mp4`` in one of the places.
    """
    frames: dict[str, dict[int, StoredImage]] = {}
    for video, indices in _frames_by_video(names, places).items():
        frames[video] = _read_frames(_find(video, places) or Path(video), indices)
    archives = _open_archives(places) if len(names) > sum(map(len, frames.values())) else {}
    images = []
    for name in names:
        match = FRAME_OF_VIDEO.fullmatch(name)
        if match and match["video"] in frames:
            images.append(frames[match["video"]][int(match["index"])])
        elif path := _find(name, places):
            images.append(StoredImage(path.read_bytes()))
        elif name in archives:
            images.append(StoredImage(archives[name](name)))
        else:
            raise InvalidInputError(
                f"image {name!r} is in none of {', '.join(map(str, places))}, nor in {IMAGES}/ or an archive "
                "(.zip) there: name its folder with --media"
            )
    return images


def encode(image: UInt8Array) -> bytes:
    """Encode an image as JPEG."""
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()


def _find(name: str, places: Iterable[Path]) -> Path | None:
    candidates = (path / name for place in places for path in (place, place / IMAGES))
    return next((path for path in candidates if path.is_file()), None)


def _frames_by_video(names: Iterable[str], places: Sequence[Path]) -> dict[str, set[int]]:
    indices: dict[str, set[int]] = {}
    for name in names:
        match = FRAME_OF_VIDEO.fullmatch(name)
        # A file may be called so, too.
        if match and not _find(name, places) and _find(match["video"], places):
            indices.setdefault(match["video"], set()).add(int(match["index"]))
    return indices


def _read_frames(path: Path, indices: set[int]) -> dict[int, StoredImage]:
    frames = {}
    with open_source(str(path)) as source:
        for position, frame in enumerate(source):
            if position in indices:
                frames[position] = StoredImage(encode(frame.image), frame.time_s)
    if missing := indices - frames.keys():
        raise InvalidInputError(f"{path} has no frame {min(missing)}: it is not the video of the labels")
    return frames


def _open_archives(places: Iterable[Path]) -> dict[str, Callable[[str], bytes]]:
    readers: dict[str, Callable[[str], bytes]] = {}
    for path in (path for place in places for path in sorted(place.glob("*.zip"))):
        try:
            archive = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise InvalidInputError(f"{path} cannot be read ({error}): restore the archive") from error
        readers = {**dict.fromkeys(archive.namelist(), _reader(archive, path)), **readers}
    return readers


def _reader(archive: zipfile.ZipFile, path: Path) -> Callable[[str], bytes]:
    def read(name: str) -> bytes:
        try:
            return archive.read(name)
        # RuntimeError: encrypted, or an unknown compression.
        except (KeyError, zipfile.BadZipFile, zlib.error, RuntimeError, OSError) as error:
            raise InvalidInputError(f"image {name!r} cannot be read from {path} ({error})") from error

    return read
