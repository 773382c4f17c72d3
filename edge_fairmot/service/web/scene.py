"""One frame as the page gets it: who is where, what was counted, and the picture."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np

from edge_fairmot.counting import LineTotals, ZoneTotals
from edge_fairmot.errors import SinkError
from edge_fairmot.types import Frame, Tracks, UInt8Array

OLDEST_S = 60.0
"""A frame whose time is further from the monotonic clock than this has its time from another one."""

LENGTH = struct.Struct("<I")
"""Of the head, before it in a message: four bytes, the lowest first."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One frame, its tracks and the totals with it.

    Attributes
    ----------
    number : int
        Of the scenes of this run, from 1.
    frame : Frame
    tracks : Tracks
        Source pixels.
    lines, zones : dict
        Totals by name; empty where nothing is counted.
    taken_s : float
        When the loop left it here, ``time.monotonic``'s clock.
    """

    number: int
    frame: Frame
    tracks: Tracks
    lines: dict[str, LineTotals]
    zones: dict[str, ZoneTotals]
    taken_s: float

    @property
    def seen_s(self) -> float:
        """When the camera saw it, where frames have the time of the monotonic clock; else ``taken_s``."""
        return self.frame.time_s if 0 <= self.taken_s - self.frame.time_s < OLDEST_S else self.taken_s


def describe_scene(scene: Scene) -> dict[str, Any]:
    """Everything but the picture, for JSON: finite numbers only; a track that is not finite is left out."""
    height, width = scene.frame.image.shape[:2]
    tracks = scene.tracks
    finite = np.isfinite(tracks.xyxy).all(axis=1) & np.isfinite(tracks.score)
    time_s = scene.frame.time_s
    return {
        "number": scene.number,
        "frame": scene.frame.index + 1,
        "time_s": time_s if math.isfinite(time_s) else None,
        "size": [width, height],
        "tracks": [
            {"id": track_id, "xyxy": xyxy, "score": score, "class_id": class_id, "predicted": predicted}
            for track_id, xyxy, score, class_id, predicted in zip(
                tracks.track_id[finite].tolist(),
                tracks.xyxy[finite].astype(np.float64).round(1).tolist(),
                tracks.score[finite].astype(np.float64).round(3).tolist(),
                tracks.class_id[finite].tolist(),
                tracks.predicted[finite].tolist(),
                strict=True,
            )
        ],
        "lines": {name: {"in": line.inwards, "out": line.outwards} for name, line in scene.lines.items()},
        "zones": {
            name: {key: round(value, 3) for key, value in asdict(zone).items()}
            for name, zone in scene.zones.items()
        },
    }


def pack_scene(scene: Scene, quality: int, widest: int) -> bytes:
    """Make the message of a scene: length of the head, the head in JSON, the picture in JPEG.

    Parameters
    ----------
    scene : Scene
    quality : int
        Of the JPEG, 1 to 100.
    widest : int
        Pixels; a wider picture is made so wide. Boxes stay in pixels of the source.
    """
    head = json.dumps(describe_scene(scene), allow_nan=False, separators=(",", ":")).encode()
    return b"".join((LENGTH.pack(len(head)), head, encode_picture(scene.frame.image, quality, widest)))


def encode_picture(image: UInt8Array, quality: int, widest: int) -> bytes:
    """JPEG of a picture, uint8 (H, W, 3), BGR; wider ones are made ``widest`` pixels wide.

    Raises
    ------
    SinkError
        If OpenCV cannot encode it.
    """
    height, width = image.shape[:2]
    if width > widest:
        size = widest, max(1, round(height * widest / width))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    done, encoded = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, quality))
    if not done:
        raise SinkError(f"a picture of {width}x{height} pixels cannot be made a JPEG: check the source")
    return encoded.tobytes()
