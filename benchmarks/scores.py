"""How right one contender was: scores of its tracks, and how they agree with the reference's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_fairmot.benchmarks.frame_counts import FrameCounts


@dataclass(frozen=True, slots=True)
class TrackScore:
    """Tracks against ground truth or, where there is none, against the reference's tracks.

    Attributes
    ----------
    hota : float or None
        None without ground truth.
    mota, idf1 : float or None
        None where nobody is to be seen, and nobody was.
    idsw, fp, fn : int
    """

    hota: float | None
    mota: float | None
    idf1: float | None
    idsw: int
    fp: int
    fn: int


@dataclass(frozen=True, slots=True)
class DeviceSpeedScore:
    """What a viewer would have seen of a live source, had this device tracked it.

    Attributes
    ----------
    detect_every : int
    score : TrackScore
    dropped_share : float
        Frames that the device had no time for.
    detections_per_s : float
    age_ms : float
        Median, from a frame's moment to its tracks.
    """

    detect_every: int
    score: TrackScore
    dropped_share: float
    detections_per_s: float
    age_ms: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """The contender against the reference, peaks and tracks; see :mod:`edge_fairmot.benchmarks.ladder`.

    Attributes
    ----------
    recall, precision : float or None
        Of the reference's peaks; None where there are none.
    iou, cosine : float or None
        Means over matched peaks.
    idf1, mota : float or None
        Of its tracks, with the reference's in the place of ground truth.
    renamed_share : float or None
        Frames in which an identity changed hands.
    """

    recall: float | None
    precision: float | None
    iou: float | None
    cosine: float | None
    idf1: float | None
    mota: float | None
    renamed_share: float | None


@dataclass(frozen=True, slots=True)
class Tally:
    """:class:`edge_fairmot.benchmarks.frame_counts.FrameCounts` of one source, as plain numbers."""

    truth: tuple[int, ...]
    results: tuple[int, ...]
    matched: tuple[int, ...]
    switches: tuple[int, ...]
    identified: tuple[int, ...]

    @classmethod
    def of(cls, counts: FrameCounts) -> Tally:
        """Keep counts."""
        return cls(*(tuple(map(int, getattr(counts, name))) for name in cls.__slots__))

    def counts(self) -> FrameCounts:
        """Give the counts back."""
        return FrameCounts(*(np.array(getattr(self, name), np.int64) for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Correctness:
    """How right one contender was.

    Attributes
    ----------
    score : TrackScore
        Every frame tracked, however long it took.
    at_device_speed : tuple of DeviceSpeedScore
        With a detection in every frame and, where that differs, with the interval that keeps up.
    agreement : Agreement
    tallies : tuple of Tally
        What MOTA and IDF1 are made of, source by source, for comparisons.
    """

    score: TrackScore
    at_device_speed: tuple[DeviceSpeedScore, ...]
    agreement: Agreement
    tallies: tuple[Tally, ...]
