"""FairMOT's tracker, on arrays: one table row per track, one cost matrix per association."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from edge_fairmot.classes import class_ids
from edge_fairmot.errors import InvalidInputError
from edge_fairmot.tracking import kalman
from edge_fairmot.tracking.association import UNMATCHED, assign, duplicates, embedding_cost, iou_cost
from edge_fairmot.tracking.config import TrackerConfig
from edge_fairmot.tracking.tracks import Measurements, TrackTable, measure
from edge_fairmot.types import BoolArray, Detections, Float32Array, Float64Array, Int64Array, Tracks

MAX_GAP_S = 5.0
"""Maximum gap between two updates that tracked tracks survive; a longer buffer extends it. A slow device
updates every few seconds. After a longer gap, such as the loss of a camera, other people may be in view."""


class Tracker:
    """Assigns identities to detections, frame by frame.

    A track starts unconfirmed, except in the first update; its second match confirms it. It is returned while
    every update matches it. Without a match it is lost, and its embedding can recover it for ``track_buffer``
    frames. Ids count from 1 and belong to the instance.

    The decisions are FairMOT's, in its order, with one addition: a match never crosses classes. A tracker of
    several classes decides as one tracker for each of them would, with ids of one sequence. ByteTrack's
    association of low scores is off by default (:func:`~edge_fairmot.tracking.preset`). Time and memory of a
    call depend on the number of tracks, not on the number of frames so far.

    Parameters
    ----------
    config : TrackerConfig, optional
        ``TrackerConfig()`` when not given.
    class_names : sequence of str
        Name of each class id, for the settings that name classes.

    Raises
    ------
    InvalidInputError
        If a setting names a class that is not there.
    """

    def __init__(self, config: TrackerConfig | None = None, class_names: Sequence[str] = ("person",)) -> None:
        self._config = config = TrackerConfig() if config is None else config
        tracked = class_ids(config.classes, class_names, "classes names")
        self._untracked = [one for one in range(len(class_names)) if one not in tracked and config.classes]
        self._usual = config.for_class("")
        self._config_of = {
            number: config.for_class(name)
            for name in config.class_score_threshold
            for number in class_ids([name], class_names, "class_score_threshold names")
        }
        self.reset()

    @property
    def config(self) -> TrackerConfig:
        """The settings."""
        return self._config

    def reset(self) -> None:
        """Forget everything: the next update is the first, and ids start at 1 again."""
        nothing = measure(Detections.empty(), np.zeros(0, np.float32))
        self._tracks = TrackTable.start(nothing, 1, 0.0, confirmed=False)
        self._next_id = 1
        self._embedding_size: int | None = None
        self._clock = FrameClock(self._config.clock_rate, self._config.clock_rate / self._config.frame_rate)
        self._updated_at: float | None = None

    def update(self, detections: Detections, time_s: float | None = None) -> Tracks:
        """Associate the detections of the next frame with the tracks.

        Parameters
        ----------
        detections : Detections
            Boxes in source pixels. Boxes of a score up to the threshold, or without a positive width and
            height, are ignored. The arrays are neither kept nor changed.
        time_s : float, optional
            The frame's time by the source's clock. Without it, and directly after a call without it, the time
            since the last call is one frame period.

        Returns
        -------
        Tracks
            Confirmed tracks with a match in this update. Boxes are the Kalman filter's posterior, in source
            pixels.

        Raises
        ------
        InvalidInputError
            If a number is not finite, an embedding is zero or changes its size, or time does not go forward.
            The tracker's state is then the same as before the call.
        """
        periods = self._clock.periods_until(time_s)
        measured = measure(detections, self._lowest_score(detections))
        self._check_embedding_size(detections)

        self._predict_motion(periods, time_s)
        self._remove_after_gap()
        row_of = self._associate(measured)  # the track's row for each detection, or UNMATCHED
        matched = row_of != UNMATCHED
        self._update_matched(row_of[matched], measured[matched])
        activated = self._activate(measured[~matched])
        self._bookkeeping(row_of[matched], activated)
        self._remove_duplicates()
        self._updated_at = self._clock.now
        return self._tracked(predicted=False)

    def predict(self, time_s: float | None = None) -> Tracks:
        """Move the tracks to a frame without detections.

        No track is matched, lost or removed. The time lost of lost tracks goes on.

        Parameters
        ----------
        time_s : float, optional
            As for :meth:`update`.

        Returns
        -------
        Tracks
            Confirmed tracks with a match in the last update, with predicted boxes in source pixels. Boxes of
            no positive size are left out.

        Raises
        ------
        InvalidInputError
            If time does not go forward. The tracker's state is then the same as before the call.
        """
        self._predict_motion(self._clock.periods_until(time_s), time_s)
        return self._tracked(predicted=True)

    def rescale(self, factor: tuple[float, float]) -> None:
        """Scale all tracks, because the next images show the same scene in another size.

        Parameters
        ----------
        factor : (float, float)
            Of width and height, new over old.

        Raises
        ------
        InvalidInputError
            If a factor is not positive and finite.
        """
        if not all(0 < part < np.inf for part in factor):
            raise InvalidInputError(f"an image's size changes by positive factors, not {factor}")
        self._tracks.motion = kalman.rescale(self._tracks.motion, factor)

    def move(self, matrix: Float64Array) -> None:
        """Move all tracks to the next image of a moving camera, before :meth:`update` or :meth:`predict`.

        Tracked, lost and unconfirmed tracks move alike: their centres and velocities are mapped, and their
        sizes are scaled. The time since the last image does not matter here.

        Parameters
        ----------
        matrix : float64 (2, 3)
            Maps points of the last image to the next one, source pixels, as
            :meth:`edge_fairmot.camera_motion.CameraMotion.estimate` returns it.

        Raises
        ------
        InvalidInputError
            If it is not (2, 3), finite and invertible.
        """
        if matrix.shape != (2, 3) or not np.isfinite(matrix).all() or not np.linalg.det(matrix[:, :2]) > 0:
            raise InvalidInputError(
                "a camera's motion is a finite matrix (2, 3) of positive determinant, "
                f"not {np.array2string(np.asarray(matrix), separator=', ')}"
            )
        self._tracks.motion = kalman.move(self._tracks.motion, matrix)

    def _lowest_score(self, detections: Detections) -> Float32Array:
        """Return the score that each detection must exceed, (N,); infinite for classes not tracked."""
        lowest = self._by_class(detections.class_id, lambda config: config.lowest_score)
        if self._untracked:
            lowest[np.isin(detections.class_id, self._untracked)] = np.inf
        return lowest

    def _by_class(self, class_id: Int64Array, setting: Callable[[TrackerConfig], float]) -> Float32Array:
        """Return a setting for each class id, (N,). In float32, as scores are: equal scores compare equal."""
        values = np.full(len(class_id), setting(self._usual), np.float32)
        for one, config in self._config_of.items():
            values[class_id == one] = setting(config)
        return values

    def _check_embedding_size(self, detections: Detections) -> None:
        if not len(detections):
            return
        size = detections.embedding.shape[1]
        if self._embedding_size not in (None, size):
            raise InvalidInputError(
                f"embeddings must have {self._embedding_size} numbers as before, not {size}: "
                "call reset() before using another model"
            )
        self._embedding_size = size

    def _predict_motion(self, periods: float, time_s: float | None) -> None:
        """Predict the motion of confirmed tracks. A lost track's box keeps its height."""
        # FairMOT does not predict unconfirmed tracks: their second match uses their first covariance.
        tracks = self._tracks
        moving = tracks.confirmed | self._config.confirm_by_embedding
        tracks.motion[moving] = kalman.predict(tracks.motion[moving], periods, tracks.lost[moving])
        self._clock.advance(periods, time_s)

    def _remove_after_gap(self) -> None:
        """Remove the tracks that expired in frames between the last update and this one."""
        # In a gap, lost tracks age as in frames without detections: a track expires in the first frame beyond
        # the buffer, and is dropped in the frame after it (see _bookkeeping).
        tracks, now, config = self._tracks, self._clock.now, self._config
        if self._updated_at is None or now - self._updated_at < 2:
            return
        max_gap = max(config.max_time_lost, MAX_GAP_S * config.clock_rate)
        overdue = now - tracks.last_update - np.where(tracks.lost, config.max_time_lost, max_gap)
        tracks.removed |= tracks.lost & (overdue > 1)
        self._tracks = tracks[overdue <= 2]

    def _associate(self, measured: Measurements) -> Int64Array:
        """Return the track's row for each detection, (N,), or ``UNMATCHED``."""
        tracks, config = self._tracks, self._config
        threshold = self._by_class(measured.class_id, lambda config: config.score_threshold)
        tracked, high = tracks.confirmed & ~tracks.lost, measured.score > threshold
        row_of = np.full(len(measured), UNMATCHED)
        matched = np.zeros(len(tracks), np.bool_)

        def match(
            which_tracks: BoolArray,
            which_detections: BoolArray,
            cost_of: Callable[[TrackTable, Measurements], Float64Array],
            thresh: float,
        ) -> None:
            rows_left = np.flatnonzero(which_tracks & ~matched)
            columns_left = np.flatnonzero(which_detections & (row_of == UNMATCHED))
            class_of_row, class_of_column = tracks.class_id[rows_left], measured.class_id[columns_left]
            for class_id in set(class_of_row.tolist()).intersection(class_of_column.tolist()):
                rows, columns = rows_left[class_of_row == class_id], columns_left[class_of_column == class_id]
                chosen = assign(cost_of(tracks[rows], measured[columns]), thresh)
                rows, columns = rows[chosen != UNMATCHED], columns[chosen[chosen != UNMATCHED]]
                row_of[columns], matched[rows] = rows, True

        # First association: embeddings, gated by motion; tracked and lost tracks.
        match(tracks.confirmed, high, partial(embedding_cost, config=config), config.first_match_thresh)
        # Second association: IoU; the remaining tracked tracks.
        match(tracked, high, iou_cost, config.second_match_thresh)
        # ByteTrack's addition: the tracked tracks that still remain, with detections of low scores.
        match(tracked, ~high, iou_cost, config.second_match_thresh)
        if config.confirm_by_embedding:
            match(~tracks.confirmed, high, partial(embedding_cost, config=config), config.first_match_thresh)
        # Third association: IoU; unconfirmed tracks.
        match(~tracks.confirmed, high, iou_cost, config.third_match_thresh)
        return row_of

    def _update_matched(self, rows: Int64Array, measured: Measurements) -> None:
        """Update motion, embedding and score of the tracks ``rows``, each with its detection."""
        if not len(rows):
            return
        tracks, alpha = self._tracks, self._config.ema_alpha
        tracks.motion[rows] = kalman.update(tracks.motion[rows], measured.xyah)
        smoothed = alpha * tracks.embedding[rows] + (1 - alpha) * measured.embedding
        norm = np.sqrt(np.einsum("nd,nd->n", smoothed, smoothed))
        tracks.embedding[rows] = smoothed / np.maximum(norm, np.finfo(np.float32).tiny)[:, None]
        # FairMOT keeps the old score of a recovered track.
        tracks.score[rows] = np.where(tracks.lost[rows], tracks.score[rows], measured.score)
        tracks.last_update[rows] = self._clock.now

    def _activate(self, unmatched: Measurements) -> TrackTable:
        """Start a track for each unmatched detection of a sufficient score."""
        thresh = self._by_class(
            unmatched.class_id,
            lambda config: (
                config.score_threshold if config.new_track_thresh is None else config.new_track_thresh
            ),
        )
        activated = TrackTable.start(
            unmatched[unmatched.score > thresh],
            self._next_id,
            self._clock.now,
            confirmed=self._updated_at is None,
        )
        self._next_id += len(activated)
        return activated

    def _bookkeeping(self, matched_rows: Int64Array, activated: TrackTable) -> None:
        """Set each track's state, drop the tracks that end, and restore FairMOT's order."""
        tracks = self._tracks
        matched = np.zeros(len(tracks), np.bool_)
        matched[matched_rows] = True
        was_lost, lost = tracks.lost, tracks.confirmed & ~matched
        # A track that expires now can be matched once more in the next frame, because FairMOT subtracts the
        # removed tracks from the lost ones before it adds those of this frame. After that, a removed track is
        # dropped in the first frame without a match.
        stays = matched | (tracks.confirmed & ~tracks.removed)
        tracks.removed |= was_lost & (self._clock.now - tracks.last_update > self._config.max_time_lost)
        tracks.confirmed |= matched
        tracks.lost = lost
        order = (
            np.flatnonzero(stays & ~was_lost & ~lost),  # tracked before
            len(tracks) + np.arange(len(activated)),
            np.flatnonzero(was_lost & matched),  # recovered
            np.flatnonzero(stays & was_lost & lost),  # lost before
            np.flatnonzero(stays & ~was_lost & lost),  # lost now
        )
        tables = [table for table in (tracks, activated) if len(table)] or [tracks]
        self._tracks = TrackTable.concat(tables)[np.concatenate(order)]

    def _remove_duplicates(self) -> None:
        marked = duplicates(self._tracks, self._config)
        if marked.any():
            self._tracks = self._tracks[~marked]

    def _tracked(self, *, predicted: bool) -> Tracks:
        """Return the confirmed tracks that are not lost, with boxes of a positive size."""
        tracks = self._tracks[self._tracks.confirmed & ~self._tracks.lost]
        xyxy = tracks.xyxy.astype(np.float32)
        shown = Tracks(tracks.track_id, xyxy, tracks.score, tracks.class_id, np.full(len(tracks), predicted))
        return shown[np.asarray((xyxy[:, 2:] > xyxy[:, :2]).all(axis=1))]


TIME_STEP_S = 1e-3
"""Containers such as Matroska store whole milliseconds: the difference of two stamps is off by up to one."""

JITTER_PERIODS = 0.02
"""Nominal frame rates are rounded (30 for 29.97), and cameras jitter a little."""

LARGEST_SLACK_PERIODS = 0.25
"""Maximum rounding, in periods: at very high frame rates a millisecond is a large part of a period."""

LATEST_TIME_S = 1e12
"""Larger times are not in seconds: milliseconds since 1970 are larger."""

TICK_PERIODS = 2.0**-20
"""Times are whole multiples of this, so that sums are exact and equal ages compare equal."""


class FrameClock:
    """Counts time in frame periods. Without stamps, or with stamps near a whole number, they are whole."""

    def __init__(self, frame_rate: float, unstamped: float = 1.0) -> None:
        self.now = 0.0
        self._unstamped = unstamped  # periods between two calls without a stamp
        self._frame_rate = frame_rate
        self._last_time_s: float | None = None

    def periods_until(self, time_s: float | None) -> float:
        """Return the frame periods from the last call of ``advance`` to ``time_s``; changes nothing.

        A call without a stamp counts as one period, and so does the first stamp after it. A time near a whole
        number of periods is rounded to it: a constant frame rate gives the same identities with and without
        stamps. Raises InvalidInputError if time does not go forward or is not in seconds.
        """
        if time_s is not None and not abs(time_s) < LATEST_TIME_S:
            raise InvalidInputError(
                f"time_s must be finite and within {LATEST_TIME_S:g} seconds, not {time_s}: "
                "divide milliseconds by 1e3, nanoseconds by 1e9"
            )
        if time_s is None or self._last_time_s is None:
            return self._unstamped
        if not time_s > self._last_time_s:
            raise InvalidInputError(
                f"time_s must be later than in the call before, {self._last_time_s}, not {time_s}: "
                "call reset() before another sequence"
            )
        periods = (time_s - self._last_time_s) * self._frame_rate
        whole = round(periods)
        slack = min(JITTER_PERIODS + TIME_STEP_S * self._frame_rate, LARGEST_SLACK_PERIODS)
        if whole > 0 and abs(periods - whole) <= slack:
            return float(whole)
        return round(periods / TICK_PERIODS) * TICK_PERIODS

    def advance(self, periods: float, time_s: float | None) -> None:
        """Set the time to ``time_s``; ``periods`` is what ``periods_until`` returned for it."""
        self.now += periods
        self._last_time_s = time_s
