"""Refinement of finished tracks: fragments joined, short tracks dropped, gaps filled, boxes smoothed.

All of it needs the future of a track, so it is done after a run. Times are seconds, so that the frame rate
and dropped frames do not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from edge_fairmot.boxes import iou
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.tracking.association import UNMATCHED, assign, cosine_distance
from edge_fairmot.types import BoolArray, Detections, Float32Array, Float64Array, Int64Array, Table, Tracks

TIME_STEP_S = 1e-3
"""Containers such as Matroska store whole milliseconds: the difference of two stamps is off by up to one."""

VELOCITY_S = 0.5
"""The velocity of a track's end is that of a straight line through its boxes of this time."""

REACH = 0.6
"""Fragments: distance between where one is expected and where the other is, box heights, and as much again
per second of the gap."""

LARGEST_GROWTH = 1.4
"""Fragments: ratio of the heights of the two boxes at most."""

SAME_BOX = 0.6
"""A detection that overlaps a track's box by this IoU is the track's."""

SMOOTHING_REACH = 4.0
"""Standard deviations from which on a box has no weight."""


@dataclass(frozen=True, slots=True)
class RefineConfig:
    """What is done to finished tracks; 0 leaves a step out.

    Attributes
    ----------
    fill_gaps_s : float
        Gaps of a track up to this time are filled by straight lines.
    shorter_than_s : float
        Tracks that last less are dropped.
    smooth_s : float
        Standard deviation of the Gaussian in time by which boxes are smoothed.
    join_s : float
        Fragments with a gap up to this time are joined where embeddings are known.
    join_distance : float
        Maximum cosine distance of the mean embeddings of two fragments.

    Raises
    ------
    InvalidInputError
        If a value is outside its range.
    """

    fill_gaps_s: float = 0.5
    shorter_than_s: float = 0.0
    smooth_s: float = 0.0
    join_s: float = 1.0
    join_distance: float = 0.2

    def __post_init__(self) -> None:
        ranges = {"fill_gaps_s": 3600.0, "shorter_than_s": 3600.0, "smooth_s": 60.0, "join_s": 3600.0}
        for name, high in (*ranges.items(), ("join_distance", 2.0)):
            value = getattr(self, name)
            if not 0 <= value <= high:
                raise InvalidInputError(f"{name} must be between 0 and {high:g}, not {value}")


@dataclass(frozen=True, slots=True)
class TrackRows(Table):
    """The boxes of a whole run, one row per box, by track and then by time.

    Attributes
    ----------
    frame : int64 (N,)
        From 1.
    time_s : float64 (N,)
    track_id, class_id : int64 (N,)
    xyxy : float64 (N, 4)
        Source pixels.
    score : float64 (N,)
    predicted, filled : bool (N,)
        Whether a box is of a frame without detection, and whether it was filled in here.
    """

    frame: Int64Array
    time_s: Float64Array
    track_id: Int64Array
    class_id: Int64Array
    xyxy: Float64Array
    score: Float64Array
    predicted: BoolArray
    filled: BoolArray

    @classmethod
    def of_frames(cls, frames: Iterable[tuple[int, float, Tracks]]) -> TrackRows:
        """Return the rows of (frame number, time_s, tracks), as ``read_json_lines`` yields them."""
        parts = [cls.of_frame(0, 0.0, Tracks.empty())]
        parts += [cls.of_frame(*frame) for frame in frames]
        return cls.concat(parts).sorted()

    @classmethod
    def of_frame(cls, number: int, time_s: float, tracks: Tracks) -> TrackRows:
        """Return the rows of one frame."""
        count = len(tracks)
        return cls(
            np.full(count, number, np.int64),
            np.full(count, time_s, np.float64),
            tracks.track_id,
            tracks.class_id,
            tracks.xyxy.astype(np.float64),
            tracks.score.astype(np.float64),
            tracks.predicted,
            np.zeros(count, np.bool_),
        )

    def sorted(self) -> TrackRows:
        """Return the rows by track and then by time."""
        return self[np.lexsort((self.frame, self.track_id))]

    def slices(self) -> Iterator[slice]:
        """Yield the rows of each track."""
        starts = np.flatnonzero(np.diff(self.track_id, prepend=-1))
        for start, end in pairwise((*starts.tolist(), len(self))):
            yield slice(start, end)

    def tracks(self) -> Tracks:
        """Return the columns that :class:`edge_fairmot.Tracks` has."""
        xyxy, score = self.xyxy.astype(np.float32), self.score.astype(np.float32)
        return Tracks(self.track_id, xyxy, score, self.class_id, self.predicted)


def refine(
    rows: TrackRows,
    times_s: Float64Array,
    frame_size: tuple[int, int],
    config: RefineConfig | None = None,
    embeddings: dict[int, Float32Array] | None = None,
) -> TrackRows:
    """Join fragments, drop short tracks, fill gaps and smooth boxes, in this order.

    A gap is not filled where the box before, after or between leaves the image, and nothing is joined or
    filled across classes.

    Parameters
    ----------
    rows : TrackRows
    times_s : float64 (F,)
        Time of each frame of the run, NaN for a frame that is not in it; the first is frame 1.
    frame_size : (int, int)
        Width and height, pixels.
    config : RefineConfig, optional
    embeddings : dict, optional
        Mean embedding of each track, float32 (D,), unit norm: :func:`mean_embeddings`. Fragments are joined
        only where both have one.

    Returns
    -------
    TrackRows
        A joined track has the id of its first fragment.
    """
    config = config or RefineConfig()
    if embeddings and config.join_s:
        rows = join_fragments(rows, embeddings, config)
    if config.shorter_than_s:
        rows = drop_short(rows, config.shorter_than_s)
    if config.fill_gaps_s:
        rows = fill_gaps(rows, times_s, frame_size, config.fill_gaps_s)
    return smooth(rows, config.smooth_s) if config.smooth_s else rows


def drop_short(rows: TrackRows, shortest_s: float) -> TrackRows:
    """Return the rows of the tracks that last ``shortest_s`` or longer, from first to last box."""
    tracks = list(rows.slices())
    first, last = ([getattr(track, end) for track in tracks] for end in ("start", "stop"))
    kept = rows.time_s[np.array(last, np.int64) - 1] - rows.time_s[first] > shortest_s - TIME_STEP_S
    return rows[np.repeat(kept, np.subtract(last, first))] if tracks else rows


def fill_gaps(
    rows: TrackRows, times_s: Float64Array, frame_size: tuple[int, int], longest_s: float
) -> TrackRows:
    """Fill the gaps of each track up to ``longest_s`` by straight lines in time."""
    inside = np.asarray(((rows.xyxy[:, :2] >= 0) & (rows.xyxy[:, 2:] <= frame_size)).all(axis=1))
    elapsed_s, frames = np.diff(rows.time_s), np.diff(rows.frame)
    gap = (np.diff(rows.track_id) == 0) & (np.diff(rows.class_id) == 0) & (frames > 1)
    gap &= (elapsed_s < longest_s + TIME_STEP_S) & inside[:-1] & inside[1:]
    parts = [rows]
    for row in np.flatnonzero(gap).tolist():
        between = np.arange(rows.frame[row] + 1, rows.frame[row + 1])
        between = between[np.isfinite(times_s[between - 1])]
        share = (times_s[between - 1] - rows.time_s[row]) / elapsed_s[row]
        copied = rows[np.full(len(between), row)]
        parts.append(
            replace(
                copied,
                frame=between,
                time_s=times_s[between - 1],
                xyxy=_between(rows.xyxy, row, share[:, None]),
                score=_between(rows.score, row, share),
                filled=np.ones(len(between), np.bool_),
            )
        )
    return TrackRows.concat(parts).sorted()


def _between(column: Float64Array, row: int, share: Float64Array) -> Float64Array:
    """Return values between a row and the next one, at shares of the time between them."""
    return np.asarray(column[row] + share * (column[row + 1] - column[row]))


def smooth(rows: TrackRows, sigma_s: float) -> TrackRows:
    """Replace each box by a line through its track's boxes around it, weighted by a Gaussian in time.

    A line, not a mean: a mean would shorten the ends of a walk.
    """
    xyxy = rows.xyxy.copy()
    for track in rows.slices():
        times_s = rows.time_s[track]
        starts = np.searchsorted(times_s, times_s - SMOOTHING_REACH * sigma_s)
        ends = np.searchsorted(times_s, times_s + SMOOTHING_REACH * sigma_s, "right")
        for index, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
            if end - start > 2:
                near = slice(track.start + start, track.start + end)
                since_s = times_s[start:end] - times_s[index]
                weight = np.exp(-0.5 * (since_s / sigma_s) ** 2)
                xyxy[track.start + index] = _line_at_0(since_s, rows.xyxy[near], weight)
    return replace(rows, xyxy=xyxy)


def _line_at_0(x: Float64Array, y: Float64Array, weight: Float64Array) -> Float64Array:
    """Return the value at 0 of the weighted least-squares line through (N,) and (N, C): (C,)."""
    weight = weight / weight.sum()
    mean_x, mean_y = weight @ x, weight @ y
    spread = weight @ (x - mean_x) ** 2
    if spread <= 0:
        return np.asarray(mean_y)
    slope = (weight * (x - mean_x)) @ (y - mean_y) / spread
    return np.asarray(mean_y - slope * mean_x)


def join_fragments(rows: TrackRows, embeddings: dict[int, Float32Array], config: RefineConfig) -> TrackRows:
    """Give the fragments of one person one id: same class, like embeddings, and the motion of one walk."""
    tracks = [track for track in rows.slices() if int(rows.track_id[track.start]) in embeddings]
    if len(tracks) < 2:
        return rows
    first = np.array([track.start for track in tracks])
    last = np.array([track.stop - 1 for track in tracks])
    ids = rows.track_id[first]
    looks = np.stack([embeddings[number] for number in ids.tolist()])
    cost = cosine_distance(looks, looks)
    gap_s = rows.time_s[first][None] - rows.time_s[last][:, None]
    allowed = (gap_s > 0) & (gap_s < config.join_s + TIME_STEP_S)
    allowed &= rows.class_id[last][:, None] == rows.class_id[first]
    feet_out, velocity_out, height_out = _ends(rows, tracks, -1)
    feet_in, velocity_in, height_in = _ends(rows, tracks, 0)
    ratio = height_in[None] / height_out[:, None]
    allowed &= (ratio <= LARGEST_GROWTH) & (ratio >= 1 / LARGEST_GROWTH)
    moved = feet_in[None] - feet_out[:, None]
    expected = (velocity_out[:, None] + velocity_in[None]) / 2 * gap_s[..., None]
    off = np.hypot(*np.moveaxis(moved - expected, -1, 0)) / np.minimum(height_in[None], height_out[:, None])
    allowed &= off <= REACH * (1 + gap_s)
    chosen = assign(np.where(allowed, cost, np.inf), config.join_distance)
    joined = dict(zip(ids.tolist(), ids.tolist(), strict=True))
    for before in np.argsort(rows.time_s[last], kind="stable").tolist():
        if chosen[before] != UNMATCHED:  # the earlier fragment has its final id already
            joined[int(ids[chosen[before]])] = joined[int(ids[before])]
    renamed = np.array([joined.get(number, number) for number in rows.track_id.tolist()], np.int64)
    return replace(rows, track_id=renamed).sorted()


def _ends(rows: TrackRows, tracks: list[slice], end: int) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Return foot points (M, 2), velocities (M, 2) per second and heights (M,) at end 0 or -1 of tracks."""
    feet, velocities, heights = np.zeros((len(tracks), 2)), np.zeros((len(tracks), 2)), np.zeros(len(tracks))
    for number, track in enumerate(tracks):
        times_s, xyxy = rows.time_s[track], rows.xyxy[track]
        near = np.abs(times_s - times_s[end]) <= VELOCITY_S
        points = np.column_stack(((xyxy[near, 0] + xyxy[near, 2]) / 2, xyxy[near, 3]))
        since_s = times_s[near] - times_s[near].mean()
        spread = since_s @ since_s
        feet[number] = points[end]
        velocities[number] = since_s @ points / spread if spread > 0 else 0.0
        heights[number] = np.median(xyxy[near, 3] - xyxy[near, 1])
    return feet, velocities, heights


def mean_embeddings(found: Iterable[tuple[Tracks, Detections]]) -> dict[int, Float32Array]:
    """Return the mean embedding of each track, float32 (D,), unit norm, by track id.

    Parameters
    ----------
    found : iterable of (Tracks, Detections)
        The tracks of each frame, and the detections that they were made of. A track takes the embedding of
        the detection that overlaps it most, at least ``SAME_BOX``.
    """
    sums: dict[int, Float64Array] = {}
    for tracks, detections in found:
        if not len(tracks) or not len(detections):
            continue
        overlap = iou(tracks.xyxy.astype(np.float64), detections.xyxy.astype(np.float64))
        overlap *= tracks.class_id[:, None] == detections.class_id
        best = overlap.argmax(axis=1)
        for row in np.flatnonzero(overlap.max(axis=1) >= SAME_BOX).tolist():
            number, embedding = int(tracks.track_id[row]), detections.embedding[best[row]].astype(np.float64)
            sums[number] = sums.get(number, np.zeros(len(embedding))) + embedding
    norms = {number: float(np.linalg.norm(total)) for number, total in sums.items()}
    return {number: (sums[number] / norm).astype(np.float32) for number, norm in norms.items() if norm > 0}
