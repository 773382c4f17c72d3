"""How right each contender was, from what was recorded while it was timed: nothing is inferred twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_fairmot.benchmarks.accuracy import evaluate_many
from edge_fairmot.benchmarks.device_speed import (
    FrameCosts,
    Shown,
    keep_up_interval,
    on_screen,
    play_live,
    track_shown,
    track_tape,
)
from edge_fairmot.benchmarks.disagreement import Disagreement, WorstFrames
from edge_fairmot.benchmarks.frame_counts import FrameCounts, count_by_frame, joined
from edge_fairmot.benchmarks.mot_text import MotRows
from edge_fairmot.benchmarks.peak_matching import match_peaks
from edge_fairmot.benchmarks.peak_rungs import PeakRungs
from edge_fairmot.benchmarks.scores import Agreement, Correctness, DeviceSpeedScore, Tally, TrackScore
from edge_fairmot.benchmarks.speed.contender import RECORDED_MARGIN
from edge_fairmot.benchmarks.track_rungs import SequenceRungs, association_figures, track_figures
from edge_fairmot.pipeline import DetectionSchedule
from edge_fairmot.tape import Tape
from edge_fairmot.tracking import TrackerConfig
from edge_fairmot.types import RawDetections, Tracks, UInt8Array

_NO_PICTURE: UInt8Array = np.zeros((0, 0, 3), np.uint8)


@dataclass(frozen=True, slots=True)
class Recording:
    """What a contender found in one source, and how long it took.

    Attributes
    ----------
    name : str
        Of the source.
    tape : Tape
        Of every frame measured.
    costs : FrameCosts
    """

    name: str
    tape: Tape
    costs: FrameCosts


@dataclass(frozen=True, slots=True)
class Yardstick:
    """What contenders are held against.

    Attributes
    ----------
    reference : tuple of Recording
        The reference's, source by source.
    truth : tuple of MotRows or None
        Ground truth of the frames measured; None where there is none.
    score_threshold : float
    detect_every : int or None
        See :class:`edge_fairmot.benchmarks.results.Settings`.
    """

    reference: tuple[Recording, ...]
    truth: tuple[MotRows, ...] | None
    score_threshold: float
    detect_every: int | None

    def tracks(self, recording: Recording) -> list[Tracks]:
        """Track every frame, however long it took."""
        return track_tape(recording.tape, self._config(recording))

    def tracks_at_device_speed(self, recording: Recording, every: int) -> tuple[list[Tracks], list[Shown]]:
        """Track what there is time for; gives what is on the screen at each frame, and what was shown."""
        shown = play_live(recording.costs, DetectionSchedule(every))
        tracks = track_shown(recording.tape, shown, self._config(recording))
        return on_screen(recording.costs.time_s, shown, tracks), shown

    def expected(self) -> tuple[MotRows, ...]:
        """Ground truth or, where there is none, the reference's tracks."""
        if self.truth is not None:
            return self.truth
        return tuple(MotRows.of_tracks(self.tracks(recording)) for recording in self.reference)

    def _config(self, recording: Recording) -> TrackerConfig:
        return TrackerConfig(
            score_threshold=self.score_threshold, frame_rate=recording.tape.header.frame_rate
        )


def judge_contender(recordings: Sequence[Recording], yardstick: Yardstick) -> Correctness:
    """Score a contender.

    Parameters
    ----------
    recordings : sequence of Recording
        Source by source, as those of the yardstick.
    yardstick : Yardstick

    Returns
    -------
    Correctness

    Raises
    ------
    MissingDependencyError
        If there is ground truth and TrackEval is not installed.
    """
    expected = yardstick.expected()
    offline = [yardstick.tracks(recording) for recording in recordings]
    score, counts = _score(offline, expected, with_hota=yardstick.truth is not None)
    intervals = {1, yardstick.detect_every or max(keep_up_interval(rec.costs) for rec in recordings)}
    at_device_speed = tuple(_at_device_speed(recordings, yardstick, every) for every in sorted(intervals))
    agreement, _ = _agree(recordings, offline, yardstick, 0)
    return Correctness(score, at_device_speed, agreement, tuple(map(Tally.of, counts)))


def worst_frames(recordings: Sequence[Recording], yardstick: Yardstick, count: int) -> list[Disagreement]:
    """Find the frames that differ most from the reference's, the worst first; they have no picture yet."""
    offline = [yardstick.tracks(recording) for recording in recordings]
    return _agree(recordings, offline, yardstick, count)[1]


def _score(
    tracks: Sequence[Sequence[Tracks]], expected: Sequence[MotRows], *, with_hota: bool
) -> tuple[TrackScore, list[FrameCounts]]:
    rows = [MotRows.of_tracks(found) for found in tracks]
    counts = [
        count_by_frame(found, truth, len(frames))
        for found, truth, frames in zip(rows, expected, tracks, strict=True)
    ]
    if with_hota:
        pairs = {str(number): pair for number, pair in enumerate(zip(rows, expected, strict=True))}
        found = evaluate_many(pairs).combined
        return TrackScore(found.hota, found.mota, found.idf1, found.idsw, found.fp, found.fn), counts
    total = joined(counts)
    truth, results, matched = (int(values.sum()) for values in (total.truth, total.results, total.matched))
    anybody = truth + results > 0
    score = TrackScore(
        hota=None,
        mota=total.mota if anybody else None,
        idf1=total.idf1 if anybody else None,
        idsw=int(total.switches.sum()),
        fp=results - matched,
        fn=truth - matched,
    )
    return score, counts


def _at_device_speed(recordings: Sequence[Recording], yardstick: Yardstick, every: int) -> DeviceSpeedScore:
    seen, ages_s, detections, dropped, seconds = [], [], 0, 0, 0.0
    for recording in recordings:
        screens, shown = yardstick.tracks_at_device_speed(recording, every)
        time_s = recording.costs.time_s
        seen.append(screens)
        ages_s += [entry.at_s - float(time_s[entry.frame]) for entry in shown]
        detections += sum(entry.detected for entry in shown)
        dropped += len(time_s) - len(shown)
        seconds += float(time_s[-1] - time_s[0]) + 1 / recording.tape.header.frame_rate
    score, _ = _score(seen, yardstick.expected(), with_hota=yardstick.truth is not None)
    frames = sum(len(recording.costs) for recording in recordings)
    return DeviceSpeedScore(
        every, score, dropped / frames, detections / seconds, 1e3 * float(np.median(ages_s))
    )


def _agree(
    recordings: Sequence[Recording],
    tracks: Sequence[Sequence[Tracks]],
    yardstick: Yardstick,
    pictures: int,
) -> tuple[Agreement, list[Disagreement]]:
    peaks, worst, sequences = PeakRungs(), WorstFrames(pictures), []
    comparable = True
    for reference, candidate, found in zip(yardstick.reference, recordings, tracks, strict=True):
        comparable &= reference.tape.embedding.shape[1] == candidate.tape.embedding.shape[1]
        sequence = SequenceRungs(candidate.name, candidate.tape.header.frame_rate)
        sequences.append(sequence)
        for frame, (theirs, ours) in enumerate(zip(yardstick.tracks(reference), found, strict=True)):
            match = match_peaks(
                _raw(reference.tape, frame, comparable),
                _raw(candidate.tape, frame, comparable),
                yardstick.score_threshold,
                RECORDED_MARGIN,
            )
            peaks.add(match)
            renamed = sequence.add(theirs, ours)
            worst.offer(Disagreement.of_frame(candidate.name, frame, _NO_PICTURE, match, renamed))
    found_peaks, figures = peaks.peaks(), track_figures(sequences)
    agreement = Agreement(
        recall=found_peaks.recall,
        precision=found_peaks.precision,
        iou=peaks.boxes().mean,
        cosine=peaks.embeddings().mean if comparable else None,
        idf1=figures.idf1,
        mota=figures.mota,
        renamed_share=association_figures(sequences).share,
    )
    return agreement, [frame for frame in worst.frames() if frame.missed or frame.extra or frame.renamed]


def _raw(tape: Tape, frame: int, comparable: bool) -> RawDetections:
    """Give detections of a frame as the ladder takes them; in source pixels, which all input sizes share."""
    rows = tape.rows(frame)
    embedding = tape.embedding[rows] if comparable else np.ones((rows.stop - rows.start, 1), np.float32)
    return RawDetections(
        tape.boxes_xyxy[rows][None], tape.score[rows][None], tape.class_id[rows][None], embedding[None]
    )
