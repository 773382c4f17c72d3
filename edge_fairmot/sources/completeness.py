"""Whether a video gave the frames that its file promised."""

from __future__ import annotations

from dataclasses import dataclass

INDEX_TOLERANCE = 8
"""Frames that a sound file may list and not show: a stream cut at an open group of pictures loses its leading
B-frames, of which a group of HEVC has at most seven, and some recorders list a last frame without data."""

DURATION_TOLERANCE = 0.1
"""Share of an estimated duration that may be without frames: sound often outlasts the picture."""

LONGEST_GAP_FACTOR = 3.0
"""The last picture of a slide show stays longer than one frame: a missing end must outlast every gap seen."""


@dataclass(frozen=True, slots=True)
class Promise:
    """What a video file says it holds.

    Attributes
    ----------
    frame_count : int or None
        None where the file does not say.
    exact : bool
        True where the count is read from an index, False where it is an estimate.
    cut_off : bool
        True where the file is shorter than its own structure.
    duration_s : float or None
        From the first frame to the end of the last.
    """

    frame_count: int | None
    exact: bool
    cut_off: bool
    duration_s: float | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came out of it.

    Attributes
    ----------
    frame_count : int
    end_s : float
        When the last frame ends, on the clock of the promise.
    longest_gap_s : float
        Longest time between two frames.
    first_lost : int or None
        How many frames were delivered before the first one that could not be decoded and was not the end.
    """

    frame_count: int
    end_s: float
    longest_gap_s: float
    first_lost: int | None


def shortfall(promise: Promise, delivery: Delivery) -> str | None:
    """Say what is missing, as the middle of a sentence that starts with the file's name.

    Returns
    -------
    str or None
        None where nothing is missing.
    """
    count, expected = delivery.frame_count, promise.frame_count
    missing = None if expected is None else expected - count
    if missing is not None and missing <= 0:
        return None
    damaged = delivery.first_lost is not None
    ends_early = _ends_early(promise, delivery)
    if damaged and not ends_early:
        how_many = f"{missing} of {expected}" if promise.exact else "some"
        return f"is damaged: {how_many} frames cannot be decoded, the first after frame {delivery.first_lost}"
    if promise.exact:
        tolerated = missing is not None and missing <= INDEX_TOLERANCE
        complete = tolerated and not damaged and not promise.cut_off
        return None if complete else f"ended after {count} of {expected} frames"
    if promise.cut_off:
        return f"is cut off: it ended after {count} frames, at {delivery.end_s:.2f} s"
    if ends_early:
        return f"ended after {count} frames, at {delivery.end_s:.2f} s of {promise.duration_s:.2f} s"
    return None


def _ends_early(promise: Promise, delivery: Delivery) -> bool:
    if promise.duration_s is None:
        return False
    missing_s = promise.duration_s - delivery.end_s
    return missing_s > max(
        DURATION_TOLERANCE * promise.duration_s, LONGEST_GAP_FACTOR * delivery.longest_gap_s
    )
