"""The frame message: tracks, counts and JPEG of one frame; and the slot that holds the newest one."""

from __future__ import annotations

import json
import logging
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import Any, TypeAlias

import cv2
import numpy as np

from edge_fairmot.errors import SinkError
from edge_fairmot.sinks.text import counts_document
from edge_fairmot.types import FrameResult, UInt8Array

MAX_AGE_S = 60.0
"""A frame time that is further from the monotonic clock than this comes from another clock."""

HEADER_LENGTH = struct.Struct("<I")
"""First four bytes of a message: length of the JSON header."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WebFrame:
    """A result for the page: ``number`` counts from 1, ``received_s`` is on ``time.monotonic``'s clock."""

    number: int
    result: FrameResult
    received_s: float

    @property
    def captured_s(self) -> float:
        """Time of capture, if the source uses the monotonic clock; else ``received_s``."""
        time_s = self.result.frame.time_s
        return time_s if 0 <= self.received_s - time_s < MAX_AGE_S else self.received_s


def frame_document(frame: WebFrame) -> dict[str, Any]:
    """Return all but the image as strict JSON; a track that is not finite is left out."""
    source, tracks = frame.result.frame, frame.result.tracks
    tracks = tracks[np.isfinite(tracks.xyxy).all(axis=1) & np.isfinite(tracks.score)]
    names = frame.result.class_names
    return {
        "number": frame.number,
        "frame": source.number,
        "time_s": source.time_s if math.isfinite(source.time_s) else None,
        "size": list(source.size),
        "tracks": [
            {"id": track_id, "xyxy": xyxy, "score": score, "class_id": class_id, "predicted": predicted}
            for track_id, xyxy, score, class_id, predicted in zip(
                tracks.track_id.tolist(),
                tracks.xyxy.astype(np.float64).round(1).tolist(),
                tracks.score.astype(np.float64).round(3).tolist(),
                tracks.class_id.tolist(),
                tracks.predicted.tolist(),
                strict=True,
            )
        ],
        **({"class_names": list(names)} if len(names) > 1 else {}),
        **counts_document(frame.result.counts),
    }


def frame_message(frame: WebFrame, quality: int, max_width: int) -> bytes:
    """Return the message of one frame: length of the header, header in JSON, image in JPEG."""
    header = json.dumps(frame_document(frame), allow_nan=False, separators=(",", ":")).encode()
    image = encode_jpeg(frame.result.frame.image, quality, max_width)
    return b"".join((HEADER_LENGTH.pack(len(header)), header, image))


def encode_jpeg(image: UInt8Array, quality: int, max_width: int) -> bytes:
    """Encode uint8 (H, W, 3), BGR, scaled down to ``max_width`` pixels; SinkError if OpenCV cannot."""
    height, width = image.shape[:2]
    if width > max_width:
        size = max_width, max(1, round(height * max_width / width))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    done, encoded = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, quality))
    if not done:
        raise SinkError(f"an image of {width}x{height} pixels cannot be encoded as JPEG: check the source")
    return encoded.tobytes()


Deliver: TypeAlias = Callable[[WebFrame, bytes], None]


class LatestFrame:
    """Slot of the newest frame, between the loop's thread, the encoding thread and the server's thread.

    Nothing is queued: a frame that no client was ready for is never encoded.
    """

    def __init__(self, encode: Callable[[WebFrame], bytes]) -> None:
        self.frame: WebFrame | None = None
        self._encode = encode
        self._wake = Event()
        self._wanted = self._closed = False

    def put(self, frame: WebFrame) -> None:
        """Replace the newest frame; returns at once."""
        self.frame = frame
        if self._wanted:
            self._wake.set()

    def want(self, wanted: bool) -> None:
        """Set whether a client is ready for a frame."""
        self._wanted = wanted
        if wanted:
            self._wake.set()

    def run(self, deliver: Deliver) -> None:
        """Encode and deliver wanted frames, each one once, until :meth:`close`."""
        number = 0
        while True:
            self._wake.wait()
            self._wake.clear()
            if self._closed:
                return
            frame = self.frame
            if frame is None or frame.number == number:
                continue
            number = frame.number
            try:
                deliver(frame, self._encode(frame))
            except Exception:  # the thread outlives a frame that cannot be encoded
                _log.exception("frame %d cannot be shown on the page", frame.result.frame.number)

    def close(self) -> None:
        """End :meth:`run`."""
        self._closed = True
        self._wake.set()
