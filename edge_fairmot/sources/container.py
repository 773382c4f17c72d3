"""What a video file's own structure says: whether its index counts the frames, and whether its end is there.

OpenCV tells neither. Its frame count is exact for some files and an estimate (duration times rate) for
others, and a file that was cut off looks to it like a file that ended.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from edge_fairmot.errors import SourceError

_MP4_FIRST_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"})
_EBML_HEADER = b"\x1a\x45\xdf\xa3"
_MATROSKA_SEGMENT = b"\x18\x53\x80\x67"

EDIT_TOLERANCE_S = 0.1
"""An edit list is rounded to the movie's clock; one that hides less than this hides nothing on purpose."""


@dataclass(frozen=True, slots=True)
class Container:
    """What the structure of a video file promises.

    Attributes
    ----------
    counts_frames : bool
        True where the index lists every frame and every listed frame is shown: OpenCV's count is exact.
    cut_off : bool
        True where the structure reaches beyond the end of the file.
    shown_s : float or None
        Duration left over by an edit list that hides frames; None where nothing is hidden.
    """

    counts_frames: bool = False
    cut_off: bool = False
    shown_s: float | None = None


def read_container(path: Path) -> Container:
    """Read the structure of an MP4, Matroska or AVI file; any other kind promises nothing.

    Raises
    ------
    SourceError
        If an MP4 file has no index: no player can read it.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(128)
        if head[4:8] in _MP4_FIRST_BOXES:
            return _read_mp4(file, path, size)
    if head.startswith(_EBML_HEADER):
        return Container(cut_off=_matroska_end(head) > size)
    if head.startswith(b"RIFF") and len(head) >= 8:
        (length,) = struct.unpack_from("<I", head, 4)
        # A stream has the length at its maximum, a recorder that never finished leaves it at 0.
        return Container(cut_off=length != 0xFFFFFFFF and length + 8 > size)
    return Container()


def _matroska_end(head: bytes) -> int:
    """Where the Segment ends by its own length; 0 where the length is unknown (a live recording)."""
    start = head.find(_MATROSKA_SEGMENT) + 4
    if start < 4 or start >= len(head) or head[start] == 0:
        return 0
    width = 9 - head[start].bit_length()
    length = int.from_bytes(head[start : start + width], "big") & ((1 << 7 * width) - 1)
    return 0 if length == (1 << 7 * width) - 1 else start + width + length


def _read_mp4(file: BinaryIO, path: Path, size: int) -> Container:
    index = b""
    end = 0
    while end + 8 <= size:
        file.seek(end)
        kind, header_size, box_size = _box_header(file.read(16), size - end)
        if box_size < header_size:
            break
        if kind == b"moov":
            file.seek(end + header_size)
            index = file.read(min(box_size, size - end) - header_size)
        end += box_size
    if not index:
        raise SourceError(
            f"{path} has no index (no moov box): the recording was interrupted or the copy is incomplete; "
            "copy or record it again"
        )
    boxes = _boxes(index)
    try:
        shown_s = _shown_s(boxes)
    except struct.error:  # A box too short for what it should hold: FFmpeg will tell.
        shown_s = None
    return Container(
        counts_frames=b"mvex" not in boxes and shown_s is None, cut_off=end > size, shown_s=shown_s
    )


def _box_header(header: bytes, room: int) -> tuple[bytes, int, int]:
    """Kind, header size and box size; a size of 0 means up to the end, 1 that 64 bits follow."""
    box_size, kind = struct.unpack_from(">I4s", header)
    if box_size == 1 and len(header) >= 16:
        return kind, 16, struct.unpack_from(">Q", header, 8)[0]
    return kind, 8, box_size or room


def _iterate_boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    start = 0
    while start + 8 <= len(data):
        kind, header_size, box_size = _box_header(data[start : start + 16], len(data) - start)
        if box_size < header_size:
            return
        yield kind, data[start + header_size : start + box_size]
        start += box_size


def _boxes(data: bytes) -> dict[bytes, list[bytes]]:
    """Payloads of the boxes in a box, by kind."""
    found: dict[bytes, list[bytes]] = {}
    for kind, payload in _iterate_boxes(data):
        found.setdefault(kind, []).append(payload)
    return found


def _shown_s(index: dict[bytes, list[bytes]]) -> float | None:
    """Duration that the video track's edit list leaves, if it hides frames."""
    for track in map(_boxes, index.get(b"trak", [])):
        media = _boxes(track.get(b"mdia", [b""])[0])
        if media.get(b"hdlr", [b""])[0][8:12] != b"vide":
            continue
        edits = _boxes(track.get(b"edts", [b""])[0]).get(b"elst")
        if not edits or b"mvhd" not in index or b"mdhd" not in media:
            return None
        movie_rate, _ = _clock(index[b"mvhd"][0])
        media_rate, media_length = _clock(media[b"mdhd"][0])
        shown_s = _edited_length(edits[0]) / max(movie_rate, 1)
        return shown_s if 0 < shown_s < media_length / max(media_rate, 1) - EDIT_TOLERANCE_S else None
    return None


def _clock(header: bytes) -> tuple[int, int]:
    """Ticks per second and duration in ticks, of an ``mvhd`` or ``mdhd`` box."""
    layout, offset = (">IQ", 20) if header[:1] == b"\x01" else (">II", 12)
    rate, length = struct.unpack_from(layout, header, offset)
    return rate, length


def _edited_length(edits: bytes) -> int:
    layout = ">QqI" if edits[:1] == b"\x01" else ">IiI"
    entries = edits[8 : 8 + struct.unpack_from(">I", edits, 4)[0] * struct.calcsize(layout)]
    # A media time of -1 is an empty edit: a delay that shows nothing.
    return sum(length for length, start, _ in struct.iter_unpack(layout, entries) if start != -1)
