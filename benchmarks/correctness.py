"""Scores of each model and runtime, from the detections that were cached while it was timed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_fairmot.benchmarks.accuracy import evaluate_many
from edge_fairmot.benchmarks.device_speed import (
    FrameCosts,
    Shown,
    keep_up_interval,
    on_screen,
    play_live,
    track_shown,
)
from edge_fairmot.benchmarks.disagreement import Disagreement, WorstFrames
from edge_fairmot.benchmarks.frame_counts import FrameCounts, count_by_frame
from edge_fairmot.benchmarks.mot_text import MotRows, MotTruth
from edge_fairmot.benchmarks.parity_levels import SequenceTracks, association_figures, track_figures
from edge_fairmot.benchmarks.peak_matching import PeakStatistics, match_peaks
from edge_fairmot.benchmarks.results import Agreement, Correctness, DeviceSpeedScore, TrackScore
from edge_fairmot.benchmarks.worker import CACHED_MARGIN, cache_threshold
from edge_fairmot.detection_cache import CachedDetector, CacheInfo
from edge_fairmot.schedule import DetectionSchedule
from edge_fairmot.tracking import TrackerConfig
from edge_fairmot.types import Detections, Float64Array, Frame, RawDetections, Tracks, UInt8Array

_NO_IMAGE: UInt8Array = np.zeros((0, 0, 3), np.uint8)


@dataclass(frozen=True, slots=True)
class CachedSource:
    """The detections of every measured frame of one source, from a detection cache."""

    info: CacheInfo
    time_s: Float64Array  # (F,)
    detections: tuple[Detections, ...]
    numbers: tuple[int, ...]  # of the frames in the source, from 1

    def __len__(self) -> int:
        return len(self.time_s)

    @classmethod
    def read(cls, folder: Path, score_threshold: float) -> CachedSource:
        """Read a cache that a worker wrote with this score threshold."""
        detector = CachedDetector(folder, cache_threshold(score_threshold))
        frames = np.load(folder / "frames.npy")
        found = [
            detector.detect(Frame(_NO_IMAGE, index, time_s))
            for index, time_s in zip(frames["index"].tolist(), frames["time_s"].tolist(), strict=True)
        ]
        detections = tuple(entry for entry in found if entry is not None)
        return cls(detector.info, frames["time_s"], detections, tuple((frames["index"] + 1).tolist()))


@dataclass(frozen=True, slots=True)
class Recording:
    """Detections and times of one model and runtime on one source."""

    name: str  # of the source
    cached: CachedSource
    costs: FrameCosts


@dataclass(frozen=True, slots=True)
class Baseline:
    """The reference's recordings, source by source, and ground truth: what the others are compared with."""

    reference: tuple[Recording, ...]
    truth: tuple[MotTruth, ...] | None  # of the measured frames, by their position
    score_threshold: float
    detect_every: int | None  # see Settings

    def tracks(self, recording: Recording) -> list[Tracks]:
        """Return the tracks of every frame, however long it took."""
        every_frame = [Shown(frame, True, 0.0) for frame in range(len(recording.cached))]
        return self._track(recording, every_frame)

    def tracks_at_device_speed(self, recording: Recording, every: int) -> tuple[list[Tracks], list[Shown]]:
        """Return the tracks on the screen at each frame of the source, and the shown frames."""
        shown = play_live(recording.costs, DetectionSchedule(every))
        return on_screen(recording.costs.time_s, shown, self._track(recording, shown)), shown

    def expected(self) -> tuple[MotRows, ...]:
        """Return the ground truth or, without it, the reference's tracks."""
        if self.truth is not None:
            return tuple(truth.rows for truth in self.truth)
        return tuple(MotRows.of_tracks(self.tracks(recording)) for recording in self.reference)

    def _track(self, recording: Recording, shown: Sequence[Shown]) -> list[Tracks]:
        cached = recording.cached
        config = TrackerConfig(score_threshold=self.score_threshold, frame_rate=cached.info.frame_rate)
        return track_shown(cached.detections, cached.time_s, shown, config)


def score_recordings(recordings: Sequence[Recording], baseline: Baseline) -> Correctness:
    """Return the scores of recordings, which are in the order of the baseline's sources."""
    offline = [baseline.tracks(recording) for recording in recordings]
    score, counts = _score(offline, baseline)
    intervals = {1, baseline.detect_every or max(keep_up_interval(rec.costs) for rec in recordings)}
    at_device_speed = tuple(_at_device_speed(recordings, baseline, every) for every in sorted(intervals))
    agreement, _ = _agree(recordings, offline, baseline, 0)
    return Correctness(score, at_device_speed, agreement, tuple(entry.to_numbers() for entry in counts))


def worst_frames(recordings: Sequence[Recording], baseline: Baseline, count: int) -> list[Disagreement]:
    """Return the frames that differ most from the reference's, the worst first; they have no image yet."""
    offline = [baseline.tracks(recording) for recording in recordings]
    return _agree(recordings, offline, baseline, count)[1]


def _score(tracks: Sequence[Sequence[Tracks]], baseline: Baseline) -> tuple[TrackScore, list[FrameCounts]]:
    rows, expected = [MotRows.of_tracks(found) for found in tracks], baseline.expected()
    if baseline.truth is not None:
        rows = [truth.without_distractors(found) for truth, found in zip(baseline.truth, rows, strict=True)]
    counts = [
        count_by_frame(found, truth, len(frames))
        for found, truth, frames in zip(rows, expected, tracks, strict=True)
    ]
    if baseline.truth is not None:
        pairs = {str(number): pair for number, pair in enumerate(zip(rows, expected, strict=True))}
        found = evaluate_many(pairs).combined
        return TrackScore(found.hota, found.mota, found.idf1, found.idsw, found.fp, found.fn), counts
    total = FrameCounts.concat(counts)
    mota, idf1 = (total.mota, total.idf1) if total.boxes else (None, None)
    return TrackScore(None, mota, idf1, total.idsw, total.fp, total.fn), counts


def _at_device_speed(recordings: Sequence[Recording], baseline: Baseline, every: int) -> DeviceSpeedScore:
    seen, ages_s, detections, dropped, seconds = [], [], 0, 0, 0.0
    for recording in recordings:
        screens, shown = baseline.tracks_at_device_speed(recording, every)
        time_s = recording.costs.time_s
        seen.append(screens)
        ages_s += [entry.at_s - float(time_s[entry.frame]) for entry in shown]
        detections += sum(entry.detected for entry in shown)
        dropped += len(time_s) - len(shown)
        seconds += float(time_s[-1] - time_s[0]) + 1 / recording.cached.info.frame_rate
    score, _ = _score(seen, baseline)
    frames = sum(len(recording.costs) for recording in recordings)
    return DeviceSpeedScore(
        every, score, dropped / frames, detections / seconds, 1e3 * float(np.median(ages_s))
    )


def _agree(
    recordings: Sequence[Recording], tracks: Sequence[Sequence[Tracks]], baseline: Baseline, worst_frames: int
) -> tuple[Agreement, list[Disagreement]]:
    peaks, worst, sequences = PeakStatistics(), WorstFrames(worst_frames), []
    comparable = True
    for reference, candidate, found in zip(baseline.reference, recordings, tracks, strict=True):
        comparable &= reference.cached.info.embedding_dim == candidate.cached.info.embedding_dim
        sequence = SequenceTracks(candidate.name, candidate.cached.info.frame_rate)
        sequences.append(sequence)
        for frame, (theirs, ours) in enumerate(zip(baseline.tracks(reference), found, strict=True)):
            raw_reference, raw = (
                _raw(side.cached.detections[frame], with_embeddings=comparable)
                for side in (reference, candidate)
            )
            match = match_peaks(raw_reference, raw, baseline.score_threshold, CACHED_MARGIN)
            peaks.add(match)
            changed = sequence.add(theirs, ours)
            worst.offer(Disagreement.of_frame(candidate.name, frame, _NO_IMAGE, match, changed))
    found_peaks, figures = peaks.peaks(), track_figures(sequences)
    agreement = Agreement(
        recall=found_peaks.recall,
        precision=found_peaks.precision,
        iou=peaks.boxes().mean,
        cosine=peaks.embeddings().mean if comparable else None,
        idf1=figures.idf1,
        mota=figures.mota,
        changed_share=association_figures(sequences).share,
    )
    return agreement, [frame for frame in worst.frames() if frame.missed or frame.extra or frame.changed]


def _raw(found: Detections, *, with_embeddings: bool) -> RawDetections:
    """Return detections as the peak matching takes them, in source pixels, which all input sizes share."""
    embedding = found.embedding if with_embeddings else np.ones((len(found), 1), np.float32)
    return RawDetections(found.xyxy[None], found.score[None], found.class_id[None], embedding[None])
