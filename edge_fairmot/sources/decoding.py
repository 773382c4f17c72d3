"""Pictures out of an open ``cv2.VideoCapture``, past undecodable packets, and a clock that rises."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np

from edge_fairmot.types import UInt8Array

MAX_LOST_PACKETS = 3000
"""OpenCV answers a packet that cannot be decoded as it answers the end of the file, so the end is where this
many answers in a row are the same: two minutes of video. At a true end they take a few hundredths of a
second, and none are asked for where the promised count is reached."""


LARGEST_STEP_BACK_S, LARGEST_STEP_S = 1.0, 10.0
"""Between two pictures of a live stream; a camera's clock that goes further was set, or is mistaken."""


@dataclass(frozen=True, slots=True)
class DecodedPicture:
    """One picture of a video.

    Attributes
    ----------
    image : uint8 (H, W, 3)
        BGR, upright.
    presented_s : float
        Presentation time from the first frame, as the file gives it; 0 where it gives none.
    lost_before : int
        Packets that could not be decoded since the picture before.
    """

    image: UInt8Array
    presented_s: float
    lost_before: int


def decode_pictures(capture: cv2.VideoCapture, frame_count: int | None) -> Iterator[DecodedPicture]:
    """Decode until the end, going on after packets that cannot be decoded.

    Parameters
    ----------
    capture : cv2.VideoCapture
        Open. Released from outside, it ends the iteration.
    frame_count : int or None
        What the file promises; from there on the first failure is the end.
    """
    given = lost = 0
    while lost < MAX_LOST_PACKETS:
        decoded, image = capture.retrieve() if capture.grab() else (False, None)
        if decoded:
            # OpenCV 4 gives a raw stream a time far before zero.
            presented_s = max(0.0, capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
            yield DecodedPicture(np.asarray(image, np.uint8), presented_s, lost)
            given += 1
            lost = 0
        elif frame_count is not None and given >= frame_count:
            return
        else:
            lost += 1


@dataclass(slots=True)
class RisingClock:
    """Presentation times made strictly rising.

    Raw streams carry no times and some AVI files lose those of the last frames: a time that does not rise is
    replaced by one frame period after the time before.

    Attributes
    ----------
    period_s : float
    now_s : float
        The time last given; minus infinity before the first.
    longest_gap_s : float
        Longest time between two pictures.
    """

    period_s: float
    now_s: float = field(default=-math.inf, init=False)
    longest_gap_s: float = field(default=0.0, init=False)

    def advance(self, presented_s: float) -> float:
        """Time of the next picture, seconds."""
        last_s = self.now_s
        self.now_s = presented_s if presented_s > last_s else last_s + self.period_s
        if last_s > -math.inf:
            self.longest_gap_s = max(self.longest_gap_s, self.now_s - last_s)
        return self.now_s


@dataclass(slots=True)
class StreamClock:
    """Times of a live stream, strictly rising, whatever happens to the camera's clock.

    A jump counts as one frame period, and the stream's own differences go on from there: waiting until a
    clock that was set back has caught up would take as long as it was set back.

    Attributes
    ----------
    rising : RisingClock
    shift_s : float
        Of the stream's times, for the jumps up to now.
    """

    rising: RisingClock
    shift_s: float = field(default=0.0, init=False)

    def advance(self, presented_s: float | None) -> float:
        """Time of the next picture, seconds; None where the stream gives it none."""
        last_s = self.rising.now_s
        expected_s = max(0.0, last_s + self.rising.period_s)
        if presented_s is None:
            return self.rising.advance(expected_s)
        step_s = presented_s + self.shift_s - last_s
        if last_s > -math.inf and not -LARGEST_STEP_BACK_S <= step_s <= LARGEST_STEP_S:
            self.shift_s = expected_s - presented_s
        return self.rising.advance(presented_s + self.shift_s)
