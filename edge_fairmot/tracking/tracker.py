"""Identities over time: the original FairMOT tracker's decisions, on arrays."""

from __future__ import annotations

import numpy as np

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.tracking import kalman
from edge_fairmot.tracking.association import UNMATCHED, associate, duplicates
from edge_fairmot.tracking.config import TrackerConfig
from edge_fairmot.tracking.tracks import Candidates, Roster, select_candidates
from edge_fairmot.types import Detections, Int64Array, Tracks

# FOLDED clock.py: The tracker's time in frame periods. It counts what it is told and never looks at a real clock.

TIME_STEP_S = 1e-3
"""Containers such as Matroska keep whole milliseconds: the difference of two stamps is off by up to one."""

JITTER_PERIODS = 0.02
"""Nominal frame rates are rounded (30 for 29.97), and cameras jitter a little."""

LARGEST_SLACK_PERIODS = 0.25
"""At very high frame rates a millisecond is a large part of a period; beyond this, time counts as it is."""

LATEST_TIME_S = 1e12
"""No clock has counted so many seconds; milliseconds since 1970 have passed it."""

TICK_PERIODS = 2.0**-20
"""Moments are whole multiples of this, so that sums of them are exact and equal ages compare equal."""


class FrameClock:
    """Counts frame periods, whole ones where stamps are absent or fit.

    Parameters
    ----------
    frame_rate : float
        Periods per second.

    Attributes
    ----------
    now : float
        Frame periods since it was made.
    """

    def __init__(self, frame_rate: float) -> None:
        self.now = 0.0
        self._frame_rate = frame_rate
        self._last_time_s: float | None = None

    def periods_until(self, time_s: float | None) -> float:
        """Count the frame periods from the last moment to the next, and change nothing.

        An elapsed time near a whole number of periods is taken for it. So a file of constant frame rate
        gives the same identities with its time stamps as without.

        Parameters
        ----------
        time_s : float or None
            None counts as one period, and so does the first stamp or the first after None.

        Returns
        -------
        float

        Raises
        ------
        InvalidInputError
            If time does not go forward or is not in seconds.
        """
        if time_s is not None and not abs(time_s) < LATEST_TIME_S:
            raise InvalidInputError(
                f"time_s must be finite and within {LATEST_TIME_S:g} seconds, not {time_s}: "
                "divide milliseconds by 1e3, nanoseconds by 1e9"
            )
        if time_s is None or self._last_time_s is None:
            return 1.0
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
        """Make the next moment the last: ``periods`` from :meth:`periods_until` of the same ``time_s``."""
        self.now += periods
        self._last_time_s = time_s


LONGEST_BLINK_S = 5.0
"""People in view are taken for the same after so long without looking, if the buffer is not longer: a slow
device looks every few seconds. After more (a camera was away) they may be anybody."""


class Tracker:
    """Gives detections identities, frame by frame.

    A track begins unconfirmed (except in the first update), is confirmed by its second match, and is given
    out while it is matched in every update. Without a match it is lost, and can be found again by its
    appearance until the buffer is over. Identities count from 1 and belong to the instance.

    The decisions are the original's, in its order, with one addition: a match never crosses classes. What
    else it can do (:meth:`TrackerConfig.in_crowds`) is off unless asked for. Time and memory of a
    call depend on the tracks alive, not on the frames gone by.

    Parameters
    ----------
    config : TrackerConfig, optional
        Defaults to ``TrackerConfig()``.
    """

    def __init__(self, config: TrackerConfig | None = None) -> None:
        self._config = TrackerConfig() if config is None else config
        self.reset()

    @property
    def config(self) -> TrackerConfig:
        """The settings it was made with."""
        return self._config

    def reset(self) -> None:
        """Forget everything: the next update is the first, and identities begin at 1 again."""
        self._roster = Roster.empty(0)
        self._dimension: int | None = None
        self._next_id = 1
        self._clock = FrameClock(self._config.frame_rate)
        self._last_update: float | None = None

    def update(self, detections: Detections, time_s: float | None = None) -> Tracks:
        """Take in what was found in the next frame.

        Parameters
        ----------
        detections : Detections
            Boxes in source pixels. Rows whose score is not above the threshold and boxes without positive
            width and height are passed over. Nothing of it is kept or changed.
        time_s : float, optional
            The frame's time on the source's clock. Without it, or right after a call without it, the time
            since the last call is one frame period.

        Returns
        -------
        Tracks
            Confirmed tracks that were matched now; boxes are the filter's posterior, source pixels.

        Raises
        ------
        InvalidInputError
            If a number is not finite, an embedding is zero or of another length than before, or time does
            not go forward. The tracker is then as it was before the call.
        """
        periods = self._clock.periods_until(time_s)
        candidates = select_candidates(detections, self._config.lowest_score)
        self._check_dimension(detections)
        if self._dimension is None and len(detections):
            self._dimension = detections.embedding.shape[1]
            self._roster = Roster.empty(self._dimension)

        self._move(periods, time_s)
        self._expire_in_skipped_frames()
        row_of = associate(self._roster, candidates, self._config)
        columns = np.flatnonzero(row_of != UNMATCHED)
        self._absorb(row_of[columns], candidates, columns)
        sure = candidates.score > self._config.birth_score
        born = self._begin(candidates, np.flatnonzero(sure & (row_of == UNMATCHED)))
        self._rearrange(row_of[columns], born)
        named = duplicates(
            self._roster, self._config.duplicate_iou_distance, spare_hidden=self._config.spare_hidden
        )
        if named.any():
            self._roster = self._roster.take(np.flatnonzero(~named))
        self._last_update = self._clock.now
        return self._tracks(predicted=False)

    def predict(self, time_s: float | None = None) -> Tracks:
        """Move on to a frame in which no detections were looked for.

        Nothing is matched, lost or removed, but time passes: a lost track's buffer runs on.

        Parameters
        ----------
        time_s : float, optional
            As for :meth:`update`.

        Returns
        -------
        Tracks
            Confirmed tracks that were matched in the last update, where they should be now, marked as
            predicted; source pixels. A box that has shrunk to nothing is left out.

        Raises
        ------
        InvalidInputError
            If time does not go forward. The tracker is then as it was before the call.
        """
        self._move(self._clock.periods_until(time_s), time_s)
        return self._tracks(predicted=True)

    def rescale(self, factor: tuple[float, float]) -> None:
        """Go on in pictures of another size that show the same.

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
            raise InvalidInputError(f"a picture's size changes by positive factors, not {factor}")
        self._roster.motion = kalman.rescale(self._roster.motion, factor)

    def _check_dimension(self, detections: Detections) -> None:
        found = detections.embedding.shape[1]
        if len(detections) and self._dimension not in (None, found):
            raise InvalidInputError(
                f"embeddings must have {self._dimension} numbers as before, not {found}: "
                "call reset() before using another model"
            )

    def _move(self, periods: float, time_s: float | None) -> None:
        # Unconfirmed tracks are not moved, in the original either: the match that confirms them starts
        # from their first covariance.
        roster, moving = self._roster, self._roster.confirmed
        if moving.any():
            roster.motion[:, moving] = kalman.predict(
                roster.motion[:, moving], periods, holds_height=roster.lost[moving]
            )
        self._clock.advance(periods, time_s)

    def _expire_in_skipped_frames(self) -> None:
        # Between updates one period apart nothing happens here. Over a longer gap lost tracks age as if
        # its frames had been empty: retired in the first one beyond the buffer, out in the next (see
        # `_rearrange`), which here have both gone by. Over a far longer one those in view go too.
        roster, now = self._roster, self._clock.now
        if self._last_update is None or now - self._last_update < 2:
            return
        longest_blink = max(self._config.longest_loss, LONGEST_BLINK_S * self._config.frame_rate)
        limit = np.where(roster.lost, self._config.longest_loss, longest_blink)
        overdue = now - roster.matched - limit
        roster.retired |= roster.lost & (overdue > 1)
        if (overdue > 2).any():
            self._roster = roster.take(np.flatnonzero(overdue <= 2))

    def _absorb(self, rows: Int64Array, candidates: Candidates, columns: Int64Array) -> None:
        if not len(rows):
            return
        roster, momentum = self._roster, self._config.feature_momentum
        roster.motion[:, rows] = kalman.correct(roster.motion[:, rows], candidates.xyah[columns])
        blend = momentum * roster.feature[rows] + (1 - momentum) * candidates.feature[columns]
        norm = np.sqrt(np.einsum("nd,nd->n", blend, blend))
        roster.feature[rows] = blend / np.maximum(norm, np.finfo(np.float32).tiny)[:, None]
        # The original leaves the score of a track that is found again as it was.
        roster.score[rows] = np.where(roster.lost[rows], roster.score[rows], candidates.score[columns])
        roster.matched[rows] = self._clock.now

    def _begin(self, candidates: Candidates, columns: Int64Array) -> Roster:
        count, now = len(columns), self._clock.now
        track_id = np.arange(self._next_id, self._next_id + count, dtype=np.int64)
        self._next_id += count
        return Roster(
            motion=kalman.initiate(candidates.xyah[columns]),
            feature=candidates.feature[columns],
            track_id=track_id,
            class_id=candidates.class_id[columns],
            score=candidates.score[columns],
            started=np.full(count, now),
            matched=np.full(count, now),
            confirmed=np.full(count, self._last_update is None),
            lost=np.zeros(count, np.bool_),
            retired=np.zeros(count, np.bool_),
        )

    def _rearrange(self, matched_rows: Int64Array, born: Roster) -> None:
        roster = self._roster
        matched = np.zeros(len(roster), np.bool_)
        matched[matched_rows] = True
        was_lost, lost = roster.lost, roster.confirmed & ~matched
        # The original strikes removed tracks from the lost ones before it adds this frame's to them. So a
        # track that is retired here has the next frame to be matched in, and ever after goes as soon as it
        # is without a match.
        stays = matched | (roster.confirmed & ~roster.retired)
        too_old = self._clock.now - roster.matched > self._config.longest_loss
        roster.retired |= was_lost & too_old
        roster.confirmed |= matched
        roster.lost = lost
        if stays.all() and not len(born) and np.array_equal(lost, was_lost):
            return
        order = (
            np.flatnonzero(stays & ~was_lost & ~lost),
            len(roster) + np.arange(len(born)),
            np.flatnonzero(was_lost & matched),
            np.flatnonzero(stays & was_lost & lost),
            np.flatnonzero(stays & ~was_lost & lost),
        )
        everybody = roster.joined(born) if len(born) else roster
        self._roster = everybody.take(np.concatenate(order))

    def _tracks(self, *, predicted: bool) -> Tracks:
        roster = self._roster
        rows = np.flatnonzero(roster.confirmed & ~roster.lost)
        if predicted:
            rows = rows[(roster.motion[0, rows, 2:] > 0).all(axis=1)]
        return Tracks(
            track_id=roster.track_id[rows],
            xyxy=roster.xyxy(rows).astype(np.float32),
            score=roster.score[rows],
            class_id=roster.class_id[rows],
            predicted=np.full(len(rows), predicted),
        )
